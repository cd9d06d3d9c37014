"""The queue: messages and hints, on Redis and in its twin in memory."""

from __future__ import annotations

import base64
import json
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from contract.errors import RedisUnreachable
from contract.queue import Queue, WorkerInfo
from contract.queue.redis import RedisQueue
from producer.local import redis_server
from tests.making import NAMESPACE, PREFIX, Clock, all_messages, clock_back, pop
from tests.twins.queue import MemoryQueue

JOB, MODEL = "20261122-174512-3f9ac2d1", "tiny"


def worker(name: str = "w1", model: str = MODEL) -> WorkerInfo:
    return WorkerInfo(name, model, "d1", "int8", 2, "0.1.0")


def run_out(queue: Queue, clock: Clock, chunk: int) -> None:
    """Let the short lease of a chunk expire: by the test's clock, or by waiting for that of Redis."""
    clock.now += 1.0
    deadline = time.monotonic() + 30
    while (hints := queue.hints(MODEL, JOB)).leases[chunk] > hints.now:
        assert time.monotonic() < deadline


# Messages


def test_messages_come_in_order_and_are_recorded_as_sent(queue: Queue):
    before = queue.hints(MODEL, JOB)
    queue.send(MODEL, JOB, [4, 2])
    queue.send(MODEL, JOB, [7])

    hints = queue.hints(MODEL, JOB)

    assert (before.sent, before.leases, before.waiting) == ({}, {}, 0)
    assert set(hints.sent) == {2, 4, 7}
    assert all(before.now - 0.001 <= when <= hints.now for when in hints.sent.values())
    assert hints.waiting == 3
    assert all_messages(queue, MODEL) == [(JOB, 4), (JOB, 2), (JOB, 7)]
    assert queue.hints(MODEL, JOB).waiting == 0


def test_sending_nothing_does_nothing(queue: Queue):
    queue.send(MODEL, JOB, [])
    assert queue.hints(MODEL, JOB).waiting == 0


def test_a_message_goes_to_the_workers_of_its_model_only(queue: Queue):
    queue.send(MODEL, JOB, [0])
    assert pop(queue, "other") is None
    assert queue.hints("other", JOB).waiting == 0
    assert pop(queue, MODEL) == (JOB, 0)


def test_jobs_do_not_see_each_others_hints(queue: Queue):
    queue.send(MODEL, JOB, [0])
    queue.lease(JOB, 0, "w1", 60)
    queue.plan(MODEL, JOB, 1, 5, 0.0)
    hints = queue.hints(MODEL, "another")
    assert (hints.sent, hints.leases, hints.waiting, hints.following) == ({}, {}, 1, None)
    assert queue.lease("another", 0, "w2", 60)
    assert queue.claim("other", 9, 9) is None


def test_on_the_wire_a_message_is_json_that_names_the_task(redis_queue: RedisQueue, redis_client: redis.Redis):
    redis_queue.send(MODEL, JOB, [3])

    assert [key for key in redis_client.keys("*tiny*") if redis_client.type(key) == "list"] == [f"{PREFIX}v1.tiny"]
    message = json.loads(redis_client.lindex(f"{PREFIX}v1.tiny", 0))
    assert message["headers"]["task"] == "bulkqa.score.v1"
    assert message["content-type"] == "application/json"
    assert message["properties"]["body_encoding"] == "base64"
    args, kwargs, _ = json.loads(base64.b64decode(message["body"]))
    assert (args, kwargs) == ([JOB, 3], {})


def test_every_key_in_redis_has_the_prefix(redis_queue: RedisQueue, redis_client: redis.Redis):
    redis_queue.send(MODEL, JOB, [3])
    redis_queue.lease(JOB, 3, "w1", 60)
    redis_queue.plan(MODEL, JOB, 1, 5, 0.0)
    redis_queue.claim(MODEL, 9, 9)
    redis_queue.announce(worker())
    foreign = [key for key in redis_client.keys("*") if not key.startswith(PREFIX)]
    assert foreign == []


def test_unused_hints_of_a_job_expire(redis_queue: RedisQueue, redis_client: redis.Redis):
    redis_queue.plan(MODEL, JOB, 0, 5, 0.0)
    redis_queue.claim(MODEL, 9, 9)
    redis_queue.send(MODEL, JOB, [0])
    redis_queue.lease(JOB, 0, "w1", 60)
    of_job = redis_client.keys(f"*{JOB}*")
    assert len(of_job) == 5
    assert all(redis_client.ttl(key) > 0 for key in [*of_job, f"{PREFIX}order:{MODEL}"])


# Leases


def test_a_lease_keeps_others_away(queue: Queue):
    assert queue.lease(JOB, 0, "w1", 60)
    assert not queue.lease(JOB, 0, "w2", 60)
    assert queue.lease(JOB, 1, "w2", 60)
    hints = queue.hints(MODEL, JOB)
    assert set(hints.leases) == {0, 1}
    assert all(until > hints.now for until in hints.leases.values())


def test_its_owner_may_renew_a_lease(queue: Queue):
    assert queue.lease(JOB, 0, "w1", 10)
    first = queue.hints(MODEL, JOB).leases[0]
    assert queue.lease(JOB, 0, "w1", 60)
    assert queue.hints(MODEL, JOB).leases[0] > first


def test_an_expired_lease_is_free(queue: Queue, clock: Clock):
    assert queue.lease(JOB, 0, "w1", 0.01)
    run_out(queue, clock, 0)
    assert queue.lease(JOB, 0, "w2", 60)
    assert not queue.lease(JOB, 0, "w1", 60)


def test_a_lease_in_the_future_is_ignored(queue: Queue, clock: Clock, request: pytest.FixtureRequest):
    queue.send(MODEL, JOB, [0])
    queue.lease(JOB, 0, "dead", 60)
    queue.lease(JOB, 1, "alive", 60)
    clock_back(queue, JOB, clock, request)
    assert queue.hints(MODEL, JOB).leases == {}
    assert queue.lease(JOB, 1, "alive", 60), "its owner renews it"
    assert queue.lease(JOB, 0, "w2", 60)

    hints = queue.hints(MODEL, JOB)

    assert hints.sent[0] > hints.now
    assert all(hints.now < until <= hints.now + 60 for until in hints.leases.values())
    assert set(hints.leases) == {0, 1}
    assert not any(queue.lease(JOB, chunk, "w3", 60) for chunk in (0, 1))
    queue.release(JOB, 0, "w2")
    queue.finish(JOB, 1, "alive")
    assert queue.hints(MODEL, JOB).leases == {}


@pytest.mark.parametrize("since", [None, 0.0, 1e300, "now"])
def test_a_lease_longer_than_any_worker_takes_is_ignored(
    redis_queue: RedisQueue, redis_client: redis.Redis, since: float | str | None
):
    """Until the year 2283, with an owner or without; and one without a start."""
    now = redis_client.time()[0]
    for chunk, until in ((0, 9876543210.0), (1, float("inf")), (-1, 9876543210.0)):
        redis_client.zadd(f"{PREFIX}lease:{JOB}", {str(chunk): until})
        redis_client.hset(f"{PREFIX}owner:{JOB}", str(chunk), "nobody")
        if since is not None:
            redis_client.zadd(f"{PREFIX}since:{JOB}", {str(chunk): now if since == "now" else since})
    assert redis_queue.hints(MODEL, JOB).leases == {}
    assert all(redis_queue.lease(JOB, chunk, "w1", 60) for chunk in (0, 1, -1))
    assert not redis_queue.lease(JOB, 0, "w2", 60)


def test_a_lease_given_back_is_free_at_once(queue: Queue):
    queue.send(MODEL, JOB, [0])
    queue.lease(JOB, 0, "w1", 60)
    queue.release(JOB, 0, "w1")
    hints = queue.hints(MODEL, JOB)
    assert hints.leases == {}
    assert set(hints.sent) == {0}
    assert queue.lease(JOB, 0, "w2", 60)


def test_one_of_many_acquires_a_lease(queue: Queue):
    gate = threading.Barrier(6)

    def take(owner: int) -> bool:
        gate.wait()
        return queue.lease(JOB, 0, f"w{owner}", 60)

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(take, range(6))).count(True) == 1


def test_a_finished_chunk_has_no_hints(queue: Queue):
    queue.send(MODEL, JOB, [0, 1])
    queue.lease(JOB, 0, "w1", 60)
    queue.finish(JOB, 0, "w1")
    hints = queue.hints(MODEL, JOB)
    assert (set(hints.sent), hints.leases) == ({1}, {})
    assert queue.lease(JOB, 0, "w2", 60)


@pytest.mark.parametrize("end", ["release", "finish"])
def test_a_frozen_worker_does_not_end_the_lease_of_its_successor(queue: Queue, clock: Clock, end: str):
    queue.send(MODEL, JOB, [0])
    queue.lease(JOB, 0, "frozen", 0.01)
    run_out(queue, clock, 0)
    queue.lease(JOB, 0, "w2", 60)

    getattr(queue, end)(JOB, 0, "frozen")

    hints = queue.hints(MODEL, JOB)
    assert hints.leases[0] > hints.now
    assert not queue.lease(JOB, 0, "w3", 60)
    assert queue.lease(JOB, 0, "w2", 60), "its owner renews it"
    getattr(queue, end)(JOB, 0, "w2")
    assert queue.hints(MODEL, JOB).leases == {}
    assert queue.lease(JOB, 0, "w3", 60)


def test_a_chunk_is_finished_by_any_worker(queue: Queue):
    """The chunk's message is forgotten, though another worker holds its lease."""
    queue.send(MODEL, JOB, [0, 1])
    queue.lease(JOB, 0, "w2", 60)
    queue.finish(JOB, 0, "frozen")
    hints = queue.hints(MODEL, JOB)
    assert (set(hints.sent), set(hints.leases)) == ({1}, {0})


@pytest.mark.parametrize("end", ["release", "finish"])
def test_an_expired_lease_is_ended_by_its_owner(queue: Queue, clock: Clock, end: str):
    queue.lease(JOB, 0, "w1", 0.01)
    run_out(queue, clock, 0)
    getattr(queue, end)(JOB, 0, "w1")
    getattr(queue, end)(JOB, 0, "w1")
    assert queue.hints(MODEL, JOB).leases == {}


# The next chunk


def claims(queue: Queue, waiting: int = 99, each: int = 99) -> list[tuple[str, int]]:
    return list(iter(lambda: queue.claim(MODEL, waiting, each), None))


def test_chunks_are_claimed_in_order_while_the_job_has_room(queue: Queue):
    queue.plan(MODEL, JOB, 0, 5, 0.0)
    assert claims(queue, each=2) == [(JOB, 0), (JOB, 1)]
    hints = queue.hints(MODEL, JOB)
    assert (set(hints.sent), hints.following) == ({0, 1}, 2)
    assert all(0 <= hints.now - when < 60 for when in hints.sent.values())
    queue.finish(JOB, 1, "w1")
    assert claims(queue, each=2) == [(JOB, 2)]


def test_nothing_is_claimed_while_the_queue_is_full(queue: Queue):
    queue.plan(MODEL, JOB, 0, 5, 0.0)
    queue.send(MODEL, "another", [0, 1])
    assert queue.claim(MODEL, 2, 99) is None
    assert pop(queue, MODEL) == ("another", 0)
    assert queue.claim(MODEL, 2, 99) == (JOB, 0)


def test_there_is_room_for_each_worker_of_the_model(queue: Queue):
    queue.plan(MODEL, JOB, 0, 50, 0.0)
    for name, model in (("a", MODEL), ("b", MODEL), ("c", "other")):
        queue.announce(worker(name, model))
    found = []
    while message := queue.claim(MODEL, 2, 3):
        found.append(message)
        queue.put(MODEL, *message)
    assert found == [(JOB, number) for number in range(4)]
    assert all_messages(queue, MODEL) == found
    assert len(claims(queue, waiting=2, each=3)) == 2, "six in all"


def test_jobs_are_served_whole_in_order_of_due(queue: Queue):
    for job, chunks, due in (("large", 3, 900.0), ("small", 2, 100.0), ("other", 1, 500.0)):
        queue.plan(MODEL, job, 0, chunks, due)
    assert claims(queue) == [("small", 0), ("small", 1), ("other", 0), ("large", 0), ("large", 1), ("large", 2)]


def test_the_jobs_that_are_due_before_a_moment_are_known(queue: Queue):
    for job, due in (("large", 900.0), ("small", 100.0), ("other", 500.0)):
        queue.plan(MODEL, job, 0, 2, due)
    assert queue.planned(MODEL, 500.0, 9) == ["small", "other"]
    assert queue.planned(MODEL, 1000.0, 2) == ["small", "other"]
    assert queue.planned("another", 1000.0, 2) == []
    claims(queue)
    assert queue.planned(MODEL, 1000.0, 9) == [], "nothing is left to send"


def test_a_job_at_its_limit_lets_others_pass(queue: Queue):
    queue.plan(MODEL, "first", 0, 9, 1.0)
    queue.plan(MODEL, "second", 0, 1, 2.0)
    assert claims(queue, each=2) == [("first", 0), ("first", 1), ("second", 0)]
    queue.finish("first", 0, "w1")
    assert claims(queue, each=2) == [("first", 2)]


def test_an_existing_plan_goes_on(queue: Queue):
    queue.plan(MODEL, JOB, 3, 5, 0.0)
    assert queue.claim(MODEL, 9, 9) == (JOB, 3)
    queue.plan(MODEL, JOB, 0, 5, 0.0)
    assert claims(queue) == [(JOB, 4)]
    assert queue.hints(MODEL, JOB).following == 5


def test_the_messages_that_wait_are_known(queue: Queue):
    queue.send(MODEL, "small", [0])
    queue.send(MODEL, "large", [3, 4])
    queue.send(MODEL, "pinned", [7], "0123456789abcdef")
    assert sorted(queue.queued(MODEL, "0123456789abcdef", 9)) == [
        ("large", 3), ("large", 4), ("pinned", 7), ("small", 0)
    ]  # fmt: skip
    assert sorted(queue.queued(MODEL, "", 9)) == [("large", 3), ("large", 4), ("small", 0)]
    assert len(queue.queued(MODEL, "", 2)) == 2
    assert queue.queued("another", "", 9) == []


def test_a_job_that_is_planned_no_more_has_no_turn(queue: Queue):
    for job in (JOB, "other"):
        queue.plan(MODEL, job, 0, 2, 0.0)
    assert queue.lease(JOB, 7, "w1", 5.0)
    queue.unplan(MODEL, JOB)
    queue.unplan(MODEL, JOB)
    assert queue.planned(MODEL, 1.0, 9) == ["other"]
    assert claims(queue) == [("other", 0), ("other", 1)]
    hints = queue.hints(MODEL, JOB)
    assert (hints.following, list(hints.leases)) == (None, [7]), "who holds a chunk goes on holding it"
    queue.plan(MODEL, JOB, 1, 2, 0.0)
    assert claims(queue) == [(JOB, 1)]


def test_a_chunk_is_claimed_once_under_concurrency(queue: Queue):
    queue.plan(MODEL, JOB, 0, 20, 0.0)
    with ThreadPoolExecutor(6) as pool:
        claimed = list(pool.map(lambda _: queue.claim(MODEL, 99, 99), range(30)))
    assert sorted(found[1] for found in claimed if found) == list(range(20))
    assert claimed.count(None) == 10


def test_finish_reports_the_last_chunk(queue: Queue):
    queue.plan(MODEL, JOB, 0, 3, 0.0)
    assert claims(queue, each=2) == [(JOB, 0), (JOB, 1)]
    assert not queue.finish(JOB, 0, "w1")
    assert not queue.finish(JOB, 1, "w1"), "one was not sent yet"
    assert claims(queue) == [(JOB, 2)]
    assert not queue.finish(JOB, 1, "w1"), "one is under way"
    assert queue.finish(JOB, 2, "w1")


def test_after_a_wipe_there_are_no_hints(queue: Queue, request: pytest.FixtureRequest):
    queue.plan(MODEL, JOB, 0, 5, 0.0)
    queue.announce(worker())
    queue.claim(MODEL, 9, 9)
    if isinstance(queue, MemoryQueue):
        queue.wipe()
    else:
        request.getfixturevalue("redis_client").flushall()

    assert queue.claim(MODEL, 9, 9) is None
    hints = queue.hints(MODEL, JOB)
    assert (hints.sent, hints.leases, hints.waiting, queue.workers()) == ({}, {}, 0, [])
    assert hints.following is None
    assert queue.finish(JOB, 0, "w1"), "it may have been the last"
    queue.plan(MODEL, JOB, 4, 5, 0.0)
    assert queue.claim(MODEL, 9, 9) == (JOB, 4)


def test_a_forgotten_job_has_no_hints(queue: Queue):
    queue.plan(MODEL, JOB, 0, 5, 0.0)
    queue.claim(MODEL, 9, 9)
    queue.lease(JOB, 0, "w1", 60)
    queue.forget(JOB)
    queue.forget(JOB)
    hints = queue.hints(MODEL, JOB)
    assert (hints.sent, hints.leases, hints.following) == ({}, {}, None)
    assert queue.lease(JOB, 0, "w2", 60)
    assert queue.claim(MODEL, 9, 9) is None


# Workers


def test_workers_are_listed_from_heartbeat_to_leave(queue: Queue):
    two, one = worker("w2", "other"), worker("w1")
    queue.announce(two)
    queue.announce(one)
    queue.announce(one)
    assert queue.workers() == [one, two]
    queue.announce(worker("w3"))
    assert (queue.serving(MODEL), queue.serving("other"), queue.serving("none")) == (2, 1, 1)
    queue.leave("w3", MODEL)
    queue.leave("w2", "other")
    queue.leave("never-there", "other")
    assert queue.workers() == [one]
    assert (queue.serving(MODEL), queue.serving("other")) == (1, 1), "one at least"


def test_a_worker_without_a_heartbeat_does_not_count(queue: Queue, clock: Clock, request: pytest.FixtureRequest):
    queue.announce(worker("silent"))
    clock.now += 100.0
    if isinstance(queue, RedisQueue):  # its clock cannot be moved; what was noted can
        client = request.getfixturevalue("redis_client")
        noted = json.loads(client.hget(f"{PREFIX}workers", "silent"))
        client.hset(f"{PREFIX}workers", "silent", json.dumps(noted | {"seen": noted["seen"] - 100.0}))
        client.zincrby(f"{PREFIX}serving:{MODEL}", -100.0, "silent")
    for name in ("lively", "also"):
        queue.announce(worker(name))
    assert queue.workers() == [worker("also"), worker("lively")]
    assert queue.serving(MODEL) == 2


def test_fields_of_a_later_worker_are_ignored(redis_queue: RedisQueue, redis_client: redis.Redis):
    redis_queue.announce(worker())
    noted = json.loads(redis_client.hget(f"{PREFIX}workers", "w1"))
    redis_client.hset(f"{PREFIX}workers", "w1", json.dumps(noted | {"later": {"of": "a later version"}}))
    assert redis_queue.workers() == [worker()]


def test_foreign_data_is_ignored(redis_queue: RedisQueue, redis_client: redis.Redis):
    redis_queue.announce(worker())
    strange = [b"garbage", b"\xff", b"[]", b"{}", b'{"seen": "now"}', json.dumps({"seen": 9e9}).encode()]
    for number, value in enumerate(strange):
        redis_client.hset(f"{PREFIX}workers", f"x{number}", value)
    redis_client.hset(f"{PREFIX}workers", b"\xff", b"")
    redis_queue.send(MODEL, JOB, [3])
    redis_queue.lease(JOB, 4, "w1", 60)
    for kind in ("sent", "lease"):
        redis_client.zadd(f"{PREFIX}{kind}:{JOB}", {"x": 1.0, b"\xff": 1.0, "": 1.0, "1.5": 1.0})

    hints = redis_queue.hints(MODEL, JOB)

    assert (set(hints.sent), set(hints.leases)) == ({3}, {4})
    assert redis_queue.workers() == [worker()]
    assert redis_client.hlen(f"{PREFIX}workers") == 2, "what can be named is removed"


def test_touch_extends_a_message_and_never_creates_one(redis_queue: RedisQueue, redis_client: redis.Redis):
    redis_client.zadd(f"{PREFIX}unacked_index", {"tag": 1.0})
    redis_queue.touch("tag")
    redis_queue.touch("gone")
    assert redis_client.zrange(f"{PREFIX}unacked_index", 0, -1) == ["tag"]
    assert redis_client.zscore(f"{PREFIX}unacked_index", "tag") > 1.0


# Redis unreachable


def every_use(queue: RedisQueue) -> list:
    return [
        queue.ping,
        lambda: queue.send(MODEL, JOB, [0]),
        lambda: queue.hints(MODEL, JOB),
        lambda: queue.lease(JOB, 0, "w1", 60),
        lambda: queue.release(JOB, 0, "w1"),
        lambda: queue.finish(JOB, 0, "w1"),
        lambda: queue.claim(MODEL, 2, 2),
        lambda: queue.plan(MODEL, JOB, 0, 5, 0.0),
        lambda: queue.forget(JOB),
        lambda: queue.announce(worker()),
        lambda: queue.leave("w1", MODEL),
        lambda: queue.waiting(MODEL, "d1"),
        lambda: queue.serving(MODEL),
        queue.workers,
    ]


@pytest.mark.slow
def test_every_call_to_an_absent_redis_names_it_without_secrets():
    # Port 1 of this machine refuses connections: it is reserved, and nothing listens there.
    queue = RedisQueue("redis://someone:secret@127.0.0.1:1/0", NAMESPACE)
    try:
        for use in every_use(queue):
            with pytest.raises(RedisUnreachable) as caught:
                use()
            assert "redis://127.0.0.1:1/0" in caught.value.message
            assert "refused" in caught.value.message
            assert "secret" not in str(caught.value)
            assert "someone" not in str(caught.value)
            assert "BULKQA_REDIS_URL" in (caught.value.remedy or "")
            assert caught.value.exit_code == 6
    finally:
        queue.close()


def test_a_restarted_redis_is_used_again():
    with tempfile.TemporaryDirectory(prefix="bqa-", dir="/tmp") as folder:
        with redis_server(Path(folder)) as url:
            queue = RedisQueue(url, NAMESPACE)
            queue.send(MODEL, JOB, [0])
        with pytest.raises(RedisUnreachable):
            queue.send(MODEL, JOB, [1])
        with redis_server(Path(folder)):
            queue.send(MODEL, JOB, [2])
            assert all_messages(queue, MODEL) == [(JOB, 2)]
            queue.close()


def test_a_redis_that_refuses_writes_is_unreachable(redis_queue: RedisQueue, redis_client: redis.Redis):
    redis_queue.ping()
    redis_client.config_set("maxmemory", "1")
    try:
        with pytest.raises(RedisUnreachable, match="maxmemory"):
            redis_queue.send(MODEL, JOB, [0])
        with pytest.raises(RedisUnreachable, match="maxmemory"):
            redis_queue.lease(JOB, 0, "w1", 60)
    finally:
        redis_client.config_set("maxmemory", "0")


def test_heartbeats_have_the_chunk_held_and_an_age(queue: Queue):
    said = replace(worker(), host="h", job=JOB, chunk=3, held_seconds=2.5, rows_per_second=4.0, rss=7, draining=True)
    queue.announce(said)
    (found,) = queue.workers()
    assert found == said
    assert 0 <= found.age_seconds < 45


@pytest.mark.parametrize(
    "forged", [{"chunk": "x"}, {"host": ["h"]}, {"rss": None}, {"held_seconds": float("inf")}, {"model": {}}]
)
def test_an_invalid_heartbeat_is_ignored(redis_queue: RedisQueue, redis_client: redis.Redis, forged: dict[str, object]):
    redis_queue.announce(worker())
    redis_queue.announce(worker("w2"))
    entry = json.loads(redis_client.hget(f"{PREFIX}workers", "w2") or "")
    redis_client.hset(f"{PREFIX}workers", "w2", json.dumps(entry | forged))
    assert redis_queue.workers() == [worker()]
