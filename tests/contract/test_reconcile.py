"""Whatever is lost, a job ends: reconcile sends what is missing, gives up what kills, publishes what is complete."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from contract.errors import RedisUnreachable, UnknownJob
from contract.format import layout
from contract.format.job import Manifest, Options
from contract.ledger import counting, quarantine, records
from contract.ledger.quarantine import InFlight, given_up, poison
from contract.ledger.reconcile import BRIEF, WHOLE, Bound, cancel, reconcile, retire, to_send
from contract.queue import VISIBILITY_TIMEOUT, Hints, Queue, WorkerInfo
from contract.queue.redis import RedisQueue
from contract.settings import Settings
from contract.storage import Storage
from contract.storage.local import LocalStorage
from producer.input.options import ReadOptions
from producer.jobs.submit import submit
from producer.jobs.verify import verify_job
from producer.request import Request
from tests.making import (
    Clock,
    Hand,
    all_messages,
    clock_back,
    csv,
    finish,
    finish_parts,
    job_of,
    part_of,
    pop,
    predictions,
    submitted_rows,
)
from tests.twins.queue import MemoryQueue
from tests.twins.storage import MemoryStorage


@pytest.fixture
def away():
    """A queue on a Redis that does not answer: port 1 of this machine refuses connections."""
    queue = RedisQueue("redis://127.0.0.1:1/0", "test")
    yield queue
    queue.close()


# A job that nothing happens to


def test_a_job_is_brought_to_its_end(storage: Storage, queue: Queue, settings: Settings):
    manifest = job_of(storage, settings, csv(20, bad=(0, 7), silent=(3,), odd=(4,)))
    finish(manifest.id, storage, queue, settings)

    found = predictions(storage, manifest.id)

    assert [p["status"] for p in found] == [
        "error" if n in (0, 4, 7) else "no_answer" if n == 3 else "answered" for n in range(20)
    ]
    assert [p["answer"] for p in found if p["status"] == "answered"] == [
        f"word{n}" for n in range(20) if n not in (0, 3, 4, 7)
    ]
    assert records.status(storage, queue, manifest.id).status == "completed_with_errors"
    hints = queue.hints(manifest.model, manifest.id)
    assert (hints.sent, hints.leases) == ({}, {}), "hints of a job that ended are forgotten"


def test_once_it_was_sent_workers_alone_bring_it_to_its_end(storage: Storage, queue: Queue, settings: Settings):
    manifest = job_of(storage, settings, rows=30)
    assert reconcile(manifest.id, storage, queue, settings).sent == (0, 1)
    done = Hand(storage, queue, settings).run()
    assert [chunk for _, chunk in done] == list(range(10))
    assert records.status(storage, queue, manifest.id).status == "completed"


def test_no_more_than_a_window_of_messages_waits(storage: Storage, queue: Queue, settings: Settings):
    manifest = job_of(storage, settings, rows=30)
    hand = Hand(storage, queue, settings)
    reconcile(manifest.id, storage, queue, settings)
    for _ in range(8):
        assert queue.hints(manifest.model, manifest.id).waiting == 2
        hand.step()
        reconcile(manifest.id, storage, queue, settings)


def test_the_window_grows_with_the_workers_of_the_model(storage: Storage, queue: Queue, settings: Settings):
    manifest = job_of(storage, settings, rows=30)
    for name, model in (("a", "tiny"), ("b", "tiny"), ("c", "other")):
        queue.announce(WorkerInfo(name, model, "d", "int8", 1, "0"))
    assert reconcile(manifest.id, storage, queue, settings).sent == (0, 1, 2, 3)


def test_workers_go_on_where_the_window_ended(storage: Storage, queue: Queue, settings: Settings):
    manifest = job_of(storage, settings, rows=30)
    reconcile(manifest.id, storage, queue, settings)
    assert queue.claim(manifest.model, 99, 99) == (manifest.id, 2)


def test_what_was_sent_is_not_sent_again(storage: Storage, queue: Queue, settings: Settings):
    manifest = job_of(storage, settings, rows=30)
    assert reconcile(manifest.id, storage, queue, settings).sent == (0, 1)
    for owner in ("client", "sweeper", "client"):
        assert reconcile(manifest.id, storage, queue, settings, owner).sent == ()
    assert all_messages(queue, manifest.model) == [(manifest.id, 0), (manifest.id, 1)]


def test_after_the_end_reconcile_does_nothing(storage: Storage, queue: Queue, settings: Settings):
    manifest = job_of(storage, settings)
    finish(manifest.id, storage, queue, settings)
    report = storage.read(layout.report(manifest.id))

    repair = reconcile(manifest.id, storage, queue, settings)

    assert (repair.finished, repair.sent, repair.published) == (True, (), False)
    assert storage.read(layout.report(manifest.id)) == report


def test_work_goes_on_when_the_clock_of_redis_went_back(
    storage: Storage, queue: Queue, clock: Clock, settings: Settings, request: pytest.FixtureRequest
):
    """One chunk's worker died, the messages of others are lost: all are sent again at once, and once."""
    manifest = job_of(storage, settings, rows=30)
    reconcile(manifest.id, storage, queue, settings)
    Hand(storage, queue, settings, name="dead").begin(*pop(queue, "tiny"))
    all_messages(queue, "tiny")
    clock_back(queue, manifest.id, clock, request)
    assert reconcile(manifest.id, storage, queue, settings).sent == (0, 1, 2)
    assert reconcile(manifest.id, storage, queue, settings).sent == ()
    assert len(Hand(storage, queue, settings).run()) == 10
    assert records.status(storage, queue, manifest.id).status == "completed"


def test_a_job_that_is_not_there_is_unknown(storage: Storage, queue: Queue, settings: Settings):
    with pytest.raises(UnknownJob):
        reconcile("nothing", storage, queue, settings)


@pytest.mark.parametrize("chunk_rows", [1, 4, 7, 100])
def test_how_rows_are_cut_into_chunks_does_not_show(settings: Settings, chunk_rows: int):
    documents = []
    for rows in (3, chunk_rows):
        storage, given = MemoryStorage(), settings.model_copy(update={"chunk_rows": rows})
        manifest = job_of(storage, given, csv(20, bad=(0, 7), odd=(4,)), key="k")
        finish(manifest.id, storage, MemoryQueue(), given)
        documents.append([storage.read(key(manifest.id)) for key in (layout.predictions, layout.errors)])
    assert documents[0] == documents[1]


# What is lost is sent again


def test_a_message_that_vanished_is_sent_again_after_a_grace(
    memory_queue: MemoryQueue, clock: Clock, storage: Storage, settings: Settings
):
    manifest = job_of(storage, settings, rows=6)
    reconcile(manifest.id, storage, memory_queue, settings)
    all_messages(memory_queue, manifest.model)
    assert reconcile(manifest.id, storage, memory_queue, settings).sent == (), "it may be between queue and lease"
    clock.now += 11
    assert reconcile(manifest.id, storage, memory_queue, settings).sent == (0, 1)
    assert reconcile(manifest.id, storage, memory_queue, settings).sent == ()


def test_beside_other_messages_one_that_vanished_is_believed_for_longer(
    memory_queue: MemoryQueue, clock: Clock, storage: Storage, settings: Settings
):
    manifest = job_of(storage, settings, rows=6)
    reconcile(manifest.id, storage, memory_queue, settings)
    assert pop(memory_queue, manifest.model) == (manifest.id, 0)
    clock.now += 11
    assert reconcile(manifest.id, storage, memory_queue, settings).sent == ()
    clock.now += VISIBILITY_TIMEOUT
    assert 0 in reconcile(manifest.id, storage, memory_queue, settings).sent


def test_a_chunk_that_is_being_scored_is_left_alone(storage: Storage, queue: Queue, settings: Settings):
    manifest = job_of(storage, settings)
    reconcile(manifest.id, storage, queue, settings)
    hand = Hand(storage, queue, settings.model_copy(update={"lease": 600.0}))
    assert [hand.begin(*message) for message in all_messages(queue, manifest.model)] == [1, 1]
    assert reconcile(manifest.id, storage, queue, settings).sent == ()


def test_a_chunk_whose_worker_fell_silent_is_sent_again_once(storage: Storage, queue: Queue, settings: Settings, clock):
    manifest = job_of(storage, settings, rows=3)
    reconcile(manifest.id, storage, queue, settings)
    Hand(storage, queue, settings.model_copy(update={"lease": 0.01})).begin(*pop(queue, "tiny"))
    wait_for_lease(queue, manifest.id, 0, clock)

    assert reconcile(manifest.id, storage, queue, settings).sent == (0,)
    for _ in range(3):
        assert reconcile(manifest.id, storage, queue, settings).sent == (), "its message waits for a worker"
    Hand(storage, queue, settings, name="other").run()
    assert predictions(storage, manifest.id)


def test_a_second_death_is_noticed_too(memory_queue: MemoryQueue, clock: Clock, storage: Storage, settings: Settings):
    manifest = job_of(storage, settings, rows=3)
    for death in range(2):
        assert reconcile(manifest.id, storage, memory_queue, settings).sent == (0,), f"after {death} deaths"
        assert Hand(storage, memory_queue, settings, name=f"w{death}").begin(*pop(memory_queue, "tiny")) == death + 1
        assert reconcile(manifest.id, storage, memory_queue, settings).sent == ()
        clock.now += settings.lease + 1
    assert reconcile(manifest.id, storage, memory_queue, settings).sent == (0,)


def test_after_a_wipe_of_redis_only_what_is_missing_is_sent(
    storage: Storage, queue: Queue, settings: Settings, request: pytest.FixtureRequest
):
    manifest = job_of(storage, settings, rows=12)
    reconcile(manifest.id, storage, queue, settings)
    Hand(storage, queue, settings).step()
    wipe(queue, request)
    assert reconcile(manifest.id, storage, queue, settings).sent == (1, 2)
    Hand(storage, queue, settings).run()
    assert predictions(storage, manifest.id)


def test_a_worker_that_ends_a_chunk_after_a_wipe_sends_the_rest(
    storage: Storage, queue: Queue, settings: Settings, request: pytest.FixtureRequest
):
    manifest = job_of(storage, settings, rows=12)
    reconcile(manifest.id, storage, queue, settings)
    hand = Hand(storage, queue, settings)
    message = pop(queue, "tiny")
    hand.begin(*message)
    wipe(queue, request)
    hand.end(*message)
    assert [chunk for _, chunk in hand.run()] == [1, 2, 3]
    assert predictions(storage, manifest.id)


def test_every_message_twice_is_every_row_once(storage: Storage, queue: Queue, settings: Settings):
    manifest = job_of(storage, settings, rows=12)
    reconcile(manifest.id, storage, queue, settings)
    hand = Hand(storage, queue, settings)
    done = set()
    while message := pop(queue, "tiny"):
        if message in done:
            assert hand.begin(*message) is None, "it has its part"
            continue
        done.add(message)
        queue.send("tiny", message[0], [message[1]])
        assert hand.begin(*message) == 1
        assert Hand(storage, queue, settings, name="other").begin(*message) is None, "the first is at it"
        hand.end(*message)
    assert len(done) == records.report(storage, manifest.id).attempts == 4
    assert len(predictions(storage, manifest.id)) == 12


# Chunks that kill


def deaths(manifest, storage: Storage, queue: MemoryQueue, clock: Clock, settings: Settings, count: int) -> None:
    for _ in range(count):
        reconcile(manifest.id, storage, queue, settings)
        waiting = all_messages(queue, "tiny")
        waiting.remove((manifest.id, 0))
        queue.messages["v1.tiny"].extend(waiting)
        assert Hand(storage, queue, settings, name=f"w{clock.now}").begin(manifest.id, 0)
        clock.now += settings.lease + 1


def test_a_chunk_that_killed_enough_workers_is_given_up_and_the_rest_is_not(
    memory_queue: MemoryQueue, clock: Clock, storage: Storage, settings: Settings
):
    manifest = job_of(storage, settings, csv(8, bad=(1,)))
    deaths(manifest, storage, memory_queue, clock, settings, 3)
    assert reconcile(manifest.id, storage, memory_queue, settings).given_up == (0,)
    finish(manifest.id, storage, memory_queue, settings)

    found = predictions(storage, manifest.id)

    assert [p.get("error", {}).get("code") for p in found] == ["worker_crash", "empty_question", "worker_crash"] + [
        None
    ] * 5
    assert "3 workers died" in found[0]["error"]["message"]
    assert records.status(storage, memory_queue, manifest.id).top_errors[0] == ("worker_crash", 2)


def test_before_the_last_death_a_chunk_is_tried_again(
    memory_queue: MemoryQueue, clock: Clock, storage: Storage, settings: Settings
):
    manifest = job_of(storage, settings, rows=3)
    deaths(manifest, storage, memory_queue, clock, settings, 2)
    finish(manifest.id, storage, memory_queue, settings)
    assert {p["status"] for p in predictions(storage, manifest.id)} == {"answered"}


def test_chunks_that_were_given_back_are_never_given_up(
    memory_queue: MemoryQueue, clock: Clock, storage: Storage, settings: Settings
):
    manifest = job_of(storage, settings, rows=3)
    hand = Hand(storage, memory_queue, settings)
    reconcile(manifest.id, storage, memory_queue, settings)
    for _ in range(10):
        message = pop(memory_queue, "tiny")
        hand.give_back(*message, hand.begin(*message))
        memory_queue.send("tiny", message[0], [message[1]])
        clock.now += 100
        assert reconcile(manifest.id, storage, memory_queue, settings).given_up == ()
    hand.run()
    assert {p["status"] for p in predictions(storage, manifest.id)} == {"answered"}


def test_a_chunk_on_its_last_try_is_not_given_up_because_redis_was_wiped_or_is_away(
    memory_queue: MemoryQueue, clock: Clock, storage: Storage, settings: Settings, away: RedisQueue
):
    manifest = job_of(storage, settings, rows=3)
    deaths(manifest, storage, memory_queue, clock, settings, 2)
    reconcile(manifest.id, storage, memory_queue, settings)
    hand, message = Hand(storage, memory_queue, settings), pop(memory_queue, "tiny")
    assert hand.begin(*message) == 3

    memory_queue.wipe()
    assert reconcile(manifest.id, storage, memory_queue, settings).given_up == ()
    with pytest.raises(RedisUnreachable):
        reconcile(manifest.id, storage, away, settings)
    hand.end(*message)

    assert {p["status"] for p in predictions(storage, manifest.id)} == {"answered"}


def test_a_death_is_explained_by_a_poison_row_and_by_no_other():
    nothing, named = InFlight(), InFlight((1,))
    assert not given_up([nothing] * 2, 3)
    assert given_up([nothing] * 3, 3)
    assert given_up([nothing, named, named], 3), "it names a row, which did not prove guilty"
    assert given_up([nothing, *(InFlight((row,)) for row in range(9))], 3), "however many rows it names"
    assert not given_up([nothing, named, InFlight((), poison=(1,))], 3)
    ten = [
        nothing,
        *(InFlight((row,), poison=tuple(range(row))) for row in range(10)),
        InFlight((), False, tuple(range(10))),
    ]
    assert not given_up(ten, 3), "ten poison rows of one chunk are eleven deaths"
    assert given_up([*ten, InFlight((11,)), nothing], 4)
    assert given_up([InFlight((1, 2), poison=(1,)), *[InFlight((2,), poison=(1,))] * 3], 3), (
        "the second row is innocent"
    )


def test_a_worker_that_is_killed_during_quarantine_makes_the_row_poison_the_second_time_only():
    assert poison([InFlight((7,)), InFlight((7,), quarantine=True)]) == set()
    assert poison([InFlight((7,)), InFlight((7,), quarantine=True), InFlight((7,), quarantine=True)]) == {7}
    assert poison([InFlight((8,), quarantine=True, poison=(3,))]) == {3}


def test_a_chunk_whose_tries_name_rows_that_are_innocent_is_given_up_after_as_many_deaths(
    memory_queue: MemoryQueue, clock: Clock, storage: Storage, settings: Settings
):
    manifest = job_of(storage, settings, rows=3)
    for number in range(1, 4):
        deaths(manifest, storage, memory_queue, clock, settings, 1)
        storage.replace(layout.in_flight(manifest.id, 0, number), InFlight((number - 1,)).to_bytes())
    assert reconcile(manifest.id, storage, memory_queue, settings).given_up == (0,)


def test_a_record_of_rows_in_flight_that_cannot_be_read_explains_nothing(storage: Storage):
    for damaged in (b"", b"[]", b"{", b'{"rows": 1, "trial": false, "condemned": []}'):
        storage.replace(layout.in_flight("a", 0, 1), damaged)
        assert quarantine.read(storage, "a", 0, 1) == InFlight()


# Damage


def test_a_damaged_part_is_scored_again_with_the_same_outcome(storage: Storage, queue: Queue, settings: Settings):
    manifest = job_of(storage, settings)
    finish_parts(storage, manifest)
    whole = storage.read(layout.part(manifest.id, 1))
    for damaged in (whole[:-20], whole.replace(b"word", b"WORD", 1), b""):
        storage.replace(layout.part(manifest.id, 1), damaged)
        repair = reconcile(manifest.id, storage, queue, settings)
        assert not repair.finished
        assert not storage.exists(layout.report(manifest.id))
        assert reconcile(manifest.id, storage, queue, settings).sent == (1,)
        Hand(storage, queue, settings).begin(*pop(queue, "tiny"))
        storage.create(layout.part(manifest.id, 1), part_of(storage, manifest, 1))
    assert reconcile(manifest.id, storage, queue, settings).published
    assert {p["status"] for p in predictions(storage, manifest.id)} == {"answered"}


@pytest.mark.parametrize("how", ["missing", "altered"])
def test_rows_of_a_damaged_chunk_say_so_and_the_rest_is_answered(
    storage: Storage, queue: Queue, settings: Settings, how: str
):
    manifest = job_of(storage, settings)
    key = layout.chunk(manifest.id, 1)
    storage.delete(key) if how == "missing" else storage.replace(key, b"PAR1")
    finish(manifest.id, storage, queue, settings)
    codes = [p.get("error", {}).get("code") for p in predictions(storage, manifest.id)]
    assert codes == [None] * 3 + ["chunk_damaged"] * 3 + [None] * 2


def test_a_part_that_is_damaged_while_it_is_put_together_is_no_accident(settings: Settings, queue: Queue):
    class Failing(MemoryStorage):
        """Loses a part after its first reading."""

        def read(self, key: str) -> bytes:
            data = super().read(key)
            if key == layout.part(manifest.id, 1) and armed:
                self.delete(key)
                armed.clear()
            return data

    storage, armed = Failing(), []
    manifest = job_of(storage, settings, csv(8, odd=(4,)))  # for the error file its part is read again
    finish_parts(storage, manifest)
    armed.append(True)

    reconcile(manifest.id, storage, queue, settings)
    assert not armed
    finish(manifest.id, storage, queue, settings)
    assert [p["row"] for p in predictions(storage, manifest.id) if p["status"] == "error"] == [4]


class Overtaken(MemoryStorage):
    """Once a part was found damaged here, another has it scored again before anything is done about it here."""

    def __init__(self) -> None:
        super().__init__()
        self.other: list[Callable[[], None]] = []

    def delete(self, key: str) -> None:
        """The tally goes when damage is found, before the part does."""
        if self.other and key.endswith("progress.json"):
            self.other.pop()()
        super().delete(key)


def with_a_damaged_part(storage: Storage, settings: Settings) -> tuple[Manifest, bytes]:
    """A job whose parts are all there, the second one cut short; with the bytes it had."""
    manifest = job_of(storage, settings)
    finish_parts(storage, manifest)
    whole = storage.read(layout.part(manifest.id, 1))
    storage.replace(layout.part(manifest.id, 1), whole[:-20])
    return manifest, whole


@pytest.mark.slow
@pytest.mark.parametrize("published", [False, True])
def test_of_two_that_find_a_part_damaged_the_second_leaves_the_good_one(
    settings: Settings, away: RedisQueue, *, published: bool
):
    storage, queue = Overtaken(), MemoryQueue()
    manifest, whole = with_a_damaged_part(storage, settings)

    def scored_again() -> None:
        storage.replace(layout.part(manifest.id, 1), whole)
        if published:
            assert reconcile(manifest.id, storage, queue, settings, "other").published

    storage.other.append(scored_again)
    reconcile(manifest.id, storage, away, settings)

    assert not storage.other
    assert storage.read(layout.part(manifest.id, 1)) == whole
    assert reconcile(manifest.id, storage, away, settings).finished
    assert verify_job(storage, manifest.id).problems == ()


def test_of_a_job_that_has_ended_no_part_is_removed(settings: Settings, queue: Queue):
    """Not even a damaged one: `producer verify` tells, and its chunk would not be scored again."""
    storage = Overtaken()
    manifest, whole = with_a_damaged_part(storage, settings)

    def ended_and_damaged() -> None:
        storage.replace(layout.part(manifest.id, 1), whole)
        assert reconcile(manifest.id, storage, MemoryQueue(), settings, "other").published
        storage.replace(layout.part(manifest.id, 1), whole[:-30])

    storage.other.append(ended_and_damaged)
    assert reconcile(manifest.id, storage, queue, settings).finished
    assert storage.read(layout.part(manifest.id, 1)) == whole[:-30]


# Publishing


def test_two_that_put_a_job_together_at_once_make_the_same_bytes(local_storage: LocalStorage, settings: Settings):
    manifest = job_of(local_storage, settings, csv(60, bad=(5, 50), odd=(7,)))
    finish_parts(local_storage, manifest)
    gate = threading.Barrier(4)

    def put_together(owner: int) -> bool:
        gate.wait()
        return reconcile(manifest.id, local_storage, MemoryQueue(), settings, f"o{owner}").finished

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(put_together, range(4))) == [True] * 4

    alone = MemoryStorage()
    twin = job_of(alone, settings, csv(60, bad=(5, 50), odd=(7,)))
    finish_parts(alone, twin)
    assert reconcile(twin.id, alone, MemoryQueue(), settings).published
    for key in (layout.predictions, layout.errors):
        assert local_storage.read(key(manifest.id)) == alone.read(key(twin.id))
    predictions(local_storage, manifest.id)


def test_while_one_puts_a_job_together_others_leave_it_to_them(
    memory_queue: MemoryQueue, clock: Clock, storage: Storage, settings: Settings
):
    manifest = job_of(storage, settings)
    finish_parts(storage, manifest)
    assert memory_queue.lease(manifest.id, -1, "another", 60.0)
    assert not reconcile(manifest.id, storage, memory_queue, settings).finished
    assert not storage.exists(layout.report(manifest.id))
    clock.now += 61  # the other died
    assert reconcile(manifest.id, storage, memory_queue, settings).published


def test_what_a_dead_one_published_already_is_kept(storage: Storage, queue: Queue, settings: Settings):
    """Predictions were there, the report was not: the report is of those predictions."""
    manifest = job_of(storage, settings)
    finish_parts(storage, manifest)
    reconcile(manifest.id, storage, queue, settings)
    document, report = storage.read(layout.predictions(manifest.id)), records.report(storage, manifest.id)
    storage.delete(layout.report(manifest.id))
    assert reconcile(manifest.id, storage, queue, settings).published
    assert storage.read(layout.predictions(manifest.id)) == document
    assert records.report(storage, manifest.id).outputs == report.outputs


def test_the_report_tells_what_was_done(storage: Storage, queue: Queue, settings: Settings):
    manifest = job_of(storage, settings, csv(8, bad=(0,)), metadata={"team": "x"})
    finish(manifest.id, storage, queue, settings)
    report = records.report(storage, manifest.id)
    assert (report.status, report.reason.code, report.progress) == ("completed_with_errors", "some_rows_failed", 1.0)
    assert (report.attempts, report.workers, report.metadata) == (3, ("hand",), {"team": "x"})
    assert (report.created_at, report.chunks.done, report.committed_rows) == (manifest.created_at, 3, 8)
    assert report.outputs["predictions"]["bytes"] == len(storage.read(layout.predictions(manifest.id)))
    assert report.error_uri == storage.locate(layout.errors(manifest.id))


def test_a_job_without_errors_has_no_error_file(storage: Storage, queue: Queue, settings: Settings):
    manifest = job_of(storage, settings)
    finish(manifest.id, storage, queue, settings)
    assert not storage.exists(layout.errors(manifest.id))
    assert records.report(storage, manifest.id).error_uri is None


@pytest.mark.parametrize("data", [csv(4, bad=(0, 1, 2, 3)), csv(4, odd=(0, 1, 2, 3)), csv(4, bad=(0, 1), odd=(2, 3))])
def test_a_job_all_of_whose_rows_failed_is_failed(storage: Storage, queue: Queue, settings: Settings, data: bytes):
    manifest = job_of(storage, settings, data)
    finish(manifest.id, storage, queue, settings)
    report = records.report(storage, manifest.id)
    assert (report.status, report.reason.code) == ("failed", "all_rows_failed")
    predictions(storage, manifest.id)


# Cancel


@pytest.mark.parametrize("done", [0, 1, 3])
def test_a_cancelled_job_keeps_what_is_done_and_gives_the_rest_its_outcome(
    storage: Storage, queue: Queue, settings: Settings, done: int
):
    manifest = job_of(storage, settings, csv(12, bad=(11,)))
    reconcile(manifest.id, storage, queue, settings)
    hand = Hand(storage, queue, settings)
    for _ in range(done):
        hand.step()
    records.request_cancel(storage, manifest.id)

    assert reconcile(manifest.id, storage, queue, settings).published

    report = records.report(storage, manifest.id)
    rejected = 1
    assert (report.status, report.reason.code) == ("cancelled", "cancelled_by_user")
    assert (report.request_counts.answered, report.request_counts.failed) == (3 * done, rejected)
    assert report.request_counts.cancelled == 12 - 3 * done - rejected
    predictions(storage, manifest.id)
    hand.run()
    assert records.report(storage, manifest.id) == report, "late messages change nothing"


def test_a_chunk_that_is_being_scored_ends_itself_when_cancelled(storage: Storage, queue: Queue, settings: Settings):
    manifest = job_of(storage, settings)
    reconcile(manifest.id, storage, queue, settings)
    hand = Hand(storage, queue, settings.model_copy(update={"lease": 600.0}))
    message = pop(queue, "tiny")
    hand.begin(*message)
    records.request_cancel(storage, manifest.id)

    repair = reconcile(manifest.id, storage, queue, settings)
    assert (repair.finished, repair.sent) == (False, ())
    assert counting.done(storage, manifest.id) == {1, 2}
    assert records.status(storage, queue, manifest.id).status == "cancelling"

    hand.end(*message)
    assert reconcile(manifest.id, storage, queue, settings).finished
    assert records.report(storage, manifest.id).status == "cancelled"


def test_a_job_is_cancelled_though_redis_is_away(storage: Storage, away: RedisQueue, settings: Settings):
    manifest = job_of(storage, settings)
    storage.create(layout.part(manifest.id, 0), part_of(storage, manifest, 0))
    records.request_cancel(storage, manifest.id)
    assert reconcile(manifest.id, storage, away, settings).published
    assert records.report(storage, manifest.id).request_counts.cancelled == 5


def test_a_cancel_that_comes_too_late_changes_nothing(storage: Storage, queue: Queue, settings: Settings):
    manifest = job_of(storage, settings)
    finish_parts(storage, manifest)
    records.request_cancel(storage, manifest.id)
    reconcile(manifest.id, storage, queue, settings)
    assert records.report(storage, manifest.id).status == "completed"


def test_a_cancel_answers_at_once_and_leaves_what_is_large_to_others(
    storage: Storage, memory_queue: MemoryQueue, settings: Settings
):
    small, large = job_of(storage, settings), job_of(storage, settings, rows=3 * 100)
    for manifest in (small, large):
        cancel(manifest.id, storage, memory_queue, settings)
    assert records.report(storage, small.id).request_counts.cancelled == 8, "though no worker runs"
    assert len(counting.done(storage, large.id)) <= BRIEF.chunks < large.chunks
    assert records.status(storage, memory_queue, large.id).status == "cancelling"

    done, beats = len(counting.done(storage, large.id)), []
    assert reconcile(large.id, storage, memory_queue, settings, beat=lambda: beats.append(None)).published
    assert len(beats) >= large.chunks - done, "whoever closes the rest is alive at each chunk"
    assert records.report(storage, large.id).request_counts.cancelled == 300


def test_a_cancel_takes_no_longer_than_its_seconds_whatever_a_chunk_takes(
    storage: Storage, memory_queue: MemoryQueue, settings: Settings
):
    manifest = job_of(storage, settings)
    records.request_cancel(storage, manifest.id)
    for done in range(1, manifest.chunks + 1):
        reconcile(manifest.id, storage, memory_queue, settings, bound=Bound(seconds=0.0))
        assert counting.done(storage, manifest.id) == set(range(done)), "one chunk, and the time is over"


def test_the_chunks_of_a_job_that_is_removed_meanwhile_are_closed_no_more(
    storage: Storage, memory_queue: MemoryQueue, settings: Settings
):
    """Else they would be there again afterwards."""
    manifest = job_of(storage, settings, rows=30)
    records.request_cancel(storage, manifest.id)

    def removing() -> None:
        if not storage.exists(layout.report(manifest.id)):
            while not retire(manifest.id, storage, memory_queue):
                pass

    assert not reconcile(manifest.id, storage, memory_queue, settings, beat=removing).published
    assert len(counting.done(storage, manifest.id)) == 1, "the one that had begun"
    assert not storage.exists(layout.predictions(manifest.id))


@pytest.mark.parametrize("omit_context", [False, True])
def test_a_call_in_a_request_leaves_large_outputs_to_others(
    storage: Storage, memory_queue: MemoryQueue, settings: Settings, omit_context: bool
):
    """Without contexts the parts are small, and the error file has them all the same."""
    options = Options(omit_context=omit_context)
    manifest = job_of(storage, settings, csv(60, odd=(1,)), options=options)
    finish_parts(storage, manifest)
    parts = sum(size for _, size in storage.sizes(layout.parts(manifest.id)))
    most = parts + (manifest.chunks * settings.chunk_bytes if omit_context else 0)
    before = dict(storage.sizes(layout.folder(manifest.id)))

    repair = reconcile(manifest.id, storage, memory_queue, settings, bound=Bound(assembled=most - 1))
    assert (repair.finished, repair.published) == (False, False)
    assert dict(storage.sizes(layout.folder(manifest.id))) == before
    assert records.status(storage, memory_queue, manifest.id).status == "finalizing"

    bound = Bound(assembled=most) if omit_context else WHOLE
    assert reconcile(manifest.id, storage, memory_queue, settings, bound=bound).published
    predictions(storage, manifest.id)


# Redis away


def test_without_redis_a_complete_job_is_published(storage: Storage, away: RedisQueue, settings: Settings):
    manifest = job_of(storage, settings)
    finish_parts(storage, manifest)
    assert reconcile(manifest.id, storage, away, settings).published
    assert predictions(storage, manifest.id)


def test_without_redis_an_unfinished_job_says_so_and_loses_nothing(
    storage: Storage, queue: Queue, away: RedisQueue, settings: Settings
):
    manifest = job_of(storage, settings)
    storage.create(layout.part(manifest.id, 0), part_of(storage, manifest, 0))
    with pytest.raises(RedisUnreachable, match=r"redis://127\.0\.0\.1:1/0"):
        reconcile(manifest.id, storage, away, settings)
    finish(manifest.id, storage, queue, settings)
    assert 0 not in records.attempts(storage, manifest.id), "what was done is not done again"


# The error file


AWKWARD = [
    ("a|b", 'with "quotes" and | pipes'),
    ("two\nlines", "of\r\ntext"),
    ("lone\rreturn", "x\ry"),
    (" spaces ", "\ttab"),
    ("", "question is empty"),
    ("tail", 'ends with "'),
    ("ünï", "😀\u2028\u0085"),
    ("=cmd|'/C calc'!A0", "@SUM(1)"),  # what a spreadsheet would reckon: SECURITY.md says why it stays
    ("-2+3", "+1"),
]


def awkward(rows: list[tuple[str, str]], delimiter: str = "|") -> bytes:
    quoted = [
        [field.replace('"', '""') for field in (question, context, f"t{n}")]
        for n, (question, context) in enumerate(rows)
    ]
    lines = [["q", "ctx", "top ic"], *quoted]
    return "".join(delimiter.join(f'"{field}"' for field in line) + "\r\n" for line in lines).encode()


@pytest.mark.parametrize("omit_context", [False, True])
@pytest.mark.parametrize("delimiter", ["|", "\t", ","])
def test_rows_with_errors_can_be_submitted_again_as_they_were(
    storage: Storage, queue: Queue, settings: Settings, delimiter: str, omit_context: bool
):
    read = ReadOptions(question="q", context="ctx", delimiter=delimiter)
    data = awkward(AWKWARD, delimiter)
    manifest = job_of(storage, settings, data, read=read, options=Options(omit_context=omit_context))
    records.request_cancel(storage, manifest.id)  # so that every row has an error
    reconcile(manifest.id, storage, queue, settings)

    errors = storage.read(layout.errors(manifest.id))
    again = submit(io.BytesIO(errors), storage, settings, Request(read=read)).manifest

    header = errors.decode().split("\n")[0].split(delimiter)
    assert header[:3] == ["q", "ctx", "top ic"]
    assert all(name.startswith("bulkqa_") for name in header[3:])
    assert again.source.columns == ("q", "ctx", "top ic")
    assert (again.rows, again.rejected) == (len(AWKWARD), 1)
    rows = submitted_rows(storage, again.id)
    assert [(row.question or "", row.context or "") for row in rows] == AWKWARD
    assert [row.passthrough for row in rows] == [{"top ic": f"t{n}"} for n in range(len(AWKWARD))]


def test_the_error_file_says_which_row_and_why(storage: Storage, queue: Queue, settings: Settings):
    data = csv(6, bad=(1,), odd=(3,)) + b"too|few\n"
    manifest = job_of(storage, settings, data)
    finish(manifest.id, storage, queue, settings)
    header, *lines = storage.read(layout.errors(manifest.id)).decode().splitlines()
    ours = "bulkqa_row|bulkqa_line|bulkqa_code|bulkqa_message|bulkqa_raw|bulkqa_digest"
    assert header == f"id|question|context|topic|{ours}"
    assert [line.split("|")[-6:-3] for line in lines[:1]] == [["1", "3", "empty_question"]]
    assert [line.split("|")[0] for line in lines[:2]] == ["id-1", "id-3"]
    assert "|6|8|missing_field|" in lines[2]
    assert "too|few" in lines[2]


def test_the_error_file_of_json_lines_is_a_csv_file_with_the_same_keys(
    storage: Storage, queue: Queue, settings: Settings
):
    lines = [{"id": n, "question": "odd?", "context": "c d", "tags": ["x", n]} for n in range(2)]
    manifest = job_of(storage, settings, "\n".join(map(json.dumps, lines)).encode())
    finish(manifest.id, storage, queue, settings)
    header, first, _ = storage.read(layout.errors(manifest.id)).decode().splitlines()
    assert header.startswith("id|question|context|tags|bulkqa_row")
    assert first.startswith('0|odd?|c d|"[""x"", 0]"|0|1|inference_error|odd|')


# Which to send, decided on paper


def hints(sent: dict | None = None, leases: dict | None = None, waiting: int = 0, following: int | None = 7) -> Hints:
    return Hints(1000.0, sent or {}, leases or {}, waiting, following)


@pytest.mark.parametrize(
    ("what", "each", "sent", "following"),
    [
        (hints(), 2, [3, 4], 7),
        (hints(), 9, [3, 4, 5, 6], 7),
        (hints({3: 999.0}), 2, [4], 7),
        (hints({3: 999.0, 4: 999.0}), 2, [], 7),
        (hints(leases={3: 1001.0}), 2, [4], 7),
        (hints({3: 900.0}, {3: 1001.0}), 2, [4], 7),
        (hints({3: 900.0}, {3: 999.0}), 2, [3, 4], 7),
        (hints({3: 999.5}, {3: 999.0}), 2, [4], 7),
        (hints({3: 985.0}), 2, [3, 4], 7),
        (hints({3: 985.0}, waiting=1), 2, [4], 7),
        (hints({3: 50.0}, waiting=1), 2, [3, 4], 7),
        (hints({3: 50.0}, waiting=9), 1, [3], 7),
        (hints({0: 999.0, 1: 999.0}), 2, [3, 4], 7),
        (hints({3: 1001.0}, waiting=1), 2, [3, 4], 7),
        (hints({3: 1001.0}, {3: 1045.0}), 2, [4], 7),
        # Those that were never sent are not lost.
        (hints(following=5), 9, [3, 4], 5),
        (hints(following=3), 9, [], 3),
        (hints({3: 999.0, 4: 999.0}, following=5), 9, [], 5),
        (hints({6: 999.0}, following=5), 9, [3, 4], 5),
        # Nothing is known.
        (hints(following=None), 9, [], 3),
        (hints(leases={4: 1001.0}, following=None), 9, [3], 5),
        (hints(leases={6: 1001.0}, following=None), 9, [3, 4, 5], 7),
        (hints(leases={3: 1001.0}, following=None), 9, [], 4),
        (hints(following=99), 9, [], 3),
    ],
)
def test_what_is_sent_depends_on_what_is_believed(what: Hints, each: int, sent: list, following: int | None):
    assert to_send([3, 4, 5, 6], what, each, 7) == (sent, following)


# What these tests wait for


def wait_for_lease(queue: Queue, job: str, chunk: int, clock: Clock) -> None:
    """Until the lease ran out: by Redis's clock, or ours."""
    clock.now += 1.0
    deadline = time.monotonic() + 30
    while (found := queue.hints("tiny", job)).leases[chunk] > found.now:
        assert time.monotonic() < deadline


def wipe(queue: Queue, request: pytest.FixtureRequest) -> None:
    queue.wipe() if isinstance(queue, MemoryQueue) else request.getfixturevalue("redis_client").flushall()


def test_one_client_assembles_while_others_wait(memory_queue: MemoryQueue, storage: Storage, settings: Settings):
    """Each process is an owner of its own; a test says who it is."""
    manifest = job_of(storage, settings)
    finish_parts(storage, manifest)
    assert memory_queue.lease(manifest.id, -1, "another client", 60.0)
    assert not reconcile(manifest.id, storage, memory_queue, settings).finished
    assert not storage.exists(layout.report(manifest.id))
    memory_queue.release(manifest.id, -1, "another client")
    assert reconcile(manifest.id, storage, memory_queue, settings).published
