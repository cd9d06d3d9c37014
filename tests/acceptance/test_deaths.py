"""Jobs whose workers, children and Redis die under them: every row once, in order, with its answer.

Real Redis, real worker processes, real signals, the real reader.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
import redis

from contract.format import layout
from contract.ledger import records
from contract.queue import TASK, queue_name
from contract.queue.app import make_app
from tests.acceptance.cluster import Cluster, check, child_of, kill, until, write_rows

pytestmark = pytest.mark.timeout(150)

ROWS = 120


#: For workers that die: their test waits until it has run out. A chunk that takes longer is scored twice, written once.
SHORT = {"BULKQA_LEASE": "2"}


def submit(running: Cluster, rows: int = ROWS, chunk_rows: int = 15, **poison: tuple[int, ...]) -> str:
    file = write_rows(running.folder / "in.csv", rows, **poison)
    return running.submit(file, chunk_rows=chunk_rows)


def test_two_workers_share_a_job(running: Cluster) -> None:
    running.worker()
    running.worker()
    running.ready(2)
    job = submit(running)
    status = running.finish(job)
    assert status["status"] == "completed"
    assert len(status["workers"]) == 2
    check(running, job, ROWS)


def test_a_killed_child_costs_no_row(running: Cluster) -> None:
    worker = running.worker(**SHORT)
    job = submit(running)
    running.await_parts(job, 2)
    child_of(worker).kill()
    assert running.finish(job)["status"] == "completed"
    check(running, job, ROWS)
    assert worker.poll() is None, "the worker itself must survive its child"


def test_a_worker_killed_beside_another_costs_no_row(running: Cluster) -> None:
    first, _ = running.worker(**SHORT), running.worker(**SHORT)
    running.ready(2)
    job = submit(running)
    running.await_parts(job, 2)
    kill(first)
    assert running.finish(job)["status"] == "completed"
    check(running, job, ROWS)


def test_killing_the_only_worker_leaves_the_job_to_the_next(running: Cluster) -> None:
    worker = running.worker(**SHORT)
    job = submit(running)
    running.await_parts(job, 2)
    kill(worker)
    running.worker()
    assert running.finish(job)["status"] == "completed"
    check(running, job, ROWS)


def test_a_stopped_worker_gives_its_chunk_back_at_once(running: Cluster) -> None:
    worker = running.worker()
    file = write_rows(running.folder / "in.csv", 80, padding=8)
    job = running.submit(file, chunk_rows=40)  # seconds of work each: the signal comes amid the first
    until(lambda: records.attempts(running.storage, job), "a chunk to be under way")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(20) == 0
    assert running.parts(job) == 0
    tries = records.attempts(running.storage, job)
    assert tries, "a chunk was given back"
    assert not any(t.dead for t in tries.values()), "a try that ended in order must not count as a death"
    hints = running.queue.hints("minilm-l6-qa", job)
    assert hints.waiting == 2, "what was not finished waits on the queue"
    assert hints.leases == {}
    assert running.queue.workers() == []
    running.worker()
    assert running.finish(job)["status"] == "completed"
    check(running, job, 80)


def test_a_signal_to_the_whole_group_stops_in_order(running: Cluster) -> None:
    worker = running.worker()
    job = submit(running)
    running.await_parts(job, 1)
    os.killpg(worker.pid, signal.SIGTERM)
    assert worker.wait(20) == 0
    running.worker()
    assert running.finish(job)["status"] == "completed"
    check(running, job, ROWS)


def test_an_emptied_redis_costs_no_row(running: Cluster) -> None:
    running.worker()
    job = submit(running)
    running.await_parts(job, 2)
    with redis.Redis(unix_socket_path=running.redis_url.removeprefix("redis+socket://").split("?")[0]) as client:
        client.flushall()
    assert running.finish(job)["status"] == "completed"
    check(running, job, ROWS)


def test_scaling_up_and_down_costs_no_row(running: Cluster) -> None:
    first = running.worker()
    job = submit(running, rows := 2 * ROWS)  # under way until the others have started
    running.await_parts(job, 1)
    second, third = running.worker(), running.worker()
    running.ready(3)
    running.await_parts(job, 3)
    for worker in (first, second):
        worker.send_signal(signal.SIGTERM)
    assert first.wait(20) == second.wait(20) == 0
    assert running.finish(job)["status"] == "completed"
    check(running, job, rows)
    assert third.poll() is None


def test_a_frozen_worker_that_thaws_doubles_nothing(running: Cluster) -> None:
    frozen = running.worker(**SHORT)
    job = submit(running)
    running.await_parts(job, 1)
    os.killpg(frozen.pid, signal.SIGSTOP)
    running.worker()
    assert running.finish(job)["status"] == "completed"
    before = running.storage.read(layout.predictions(job))
    os.killpg(frozen.pid, signal.SIGCONT)
    frozen.send_signal(signal.SIGTERM)
    assert frozen.wait(30) == 0
    assert running.storage.read(layout.predictions(job)) == before
    check(running, job, ROWS)


@pytest.mark.parametrize("how", ["abort", "exit", "hang", "memory", "exhaust"])
def test_a_row_that_ends_its_process_is_found_and_passed_over(running: Cluster, how: str) -> None:
    """tests/acceptance/poison makes the reader do `how` on questions with the word POISON in them."""
    poison = str(Path(__file__).with_name("poison"))
    running.worker(threads=2, PYTHONPATH=poison, POISON=how, BULKQA_STALL="4", **SHORT)
    job = submit(running, rows=60, chunk_rows=30, poison=(11, 12))
    status = running.finish(job, seconds=120)
    code = "inference_error" if how in ("memory", "exhaust") else "worker_crash"
    assert status["status"] == "completed_with_errors"
    check(running, job, 60, errors={11: code, 12: code})
    assert max(running.attempts(job).values()) <= 4, "two tries find the first such row of a chunk, one each more"


def test_a_message_cannot_have_its_worker_killed(running: Cluster) -> None:
    """Celery would honour a limit of time that a message asks for, and each kill would count against the chunk."""
    job = submit(running, chunk_rows=ROWS)
    app, queue = make_app(running.redis_url, running.namespace), queue_name("minilm-l6-qa")
    with app.connection_for_write() as connection:
        connection.default_channel.queue_purge(queue)
    for _ in range(5):
        app.send_task(TASK, (job, 0), queue=queue, time_limit=0.5, soft_time_limit=0.2)
    running.worker()
    assert running.finish(job)["status"] == "completed"
    check(running, job, ROWS)
    assert running.attempts(job) == {0: 1}


def test_a_key_of_a_job_that_was_removed_can_be_used_again(shared: Cluster) -> None:
    for rows in (20, 30):
        file = write_rows(shared.folder / "in.csv", rows)
        job = shared.submit(file, key="removed, and used again", chunk_rows=5)
        assert shared.finish(job)["status"] == "completed"
        check(shared, job, rows)
        shared.storage.discard(layout.folder(job))


def test_a_job_submitted_while_no_worker_runs_waits_and_says_so(running: Cluster) -> None:
    job = submit(running, rows=30)
    status = json.loads(running.producer("status", job, "--json").stdout)
    assert (status["status"], status["reason"]["code"]) == ("queued", "no_worker")
    running.worker()
    assert running.finish(job)["status"] == "completed"


def test_a_client_that_dies_between_manifest_and_messages_is_made_good_by_the_sweeper(running: Cluster) -> None:
    job = submit(running, rows=30)
    with redis.Redis(unix_socket_path=running.redis_url.removeprefix("redis+socket://").split("?")[0]) as client:
        client.flushall()  # as if nothing had been sent
    running.worker()
    running.ready()
    import sys

    command = [sys.executable, "-m", "worker", "sweep", "--interval", "0.5", "--health-file", str(running.folder / "h")]
    with subprocess.Popen(command, env=running.env, cwd=running.folder, stderr=subprocess.DEVNULL) as sweeper:
        until(lambda: running.storage.exists(layout.report(job)), "the sweeper to see the job through")
        sweeper.terminate()
        assert sweeper.wait(10) == 0
    check(running, job, 30)


def test_cancel_keeps_what_is_done_and_marks_the_rest(running: Cluster) -> None:
    worker = running.worker()
    job = submit(running)
    running.await_parts(job, 1)
    os.killpg(worker.pid, signal.SIGSTOP)  # however long the command takes to start, the job is not done before
    running.producer("cancel", job)
    os.killpg(worker.pid, signal.SIGCONT)
    status = running.finish(job)
    counts = status["request_counts"]
    assert status["status"] == "cancelled"
    assert counts["answered"] >= 15
    assert counts["answered"] + counts["cancelled"] == ROWS
    done = counts["answered"]
    predictions = json.loads(running.storage.read(layout.predictions(job)))["predictions"]
    assert [p["row"] for p in predictions] == list(range(ROWS))
    codes = [p["error"]["code"] for p in predictions if p["status"] == "error"]
    assert codes == ["job_cancelled"] * (ROWS - done)


def test_an_interrupted_worker_gives_its_chunk_back_and_ends_in_order(running: Cluster) -> None:
    worker = running.worker()
    job = running.submit(write_rows(running.folder / "in.csv", 400, padding=8), chunk_rows=200)
    until(lambda: records.attempts(running.storage, job), "a chunk to be scored")
    os.kill(worker.pid, signal.SIGINT)
    assert worker.wait(timeout=30) == 0
    assert "again will terminate" not in running.log()
    assert not any(made.dead for made in records.attempts(running.storage, job).values())
