"""A paused job: nothing of it is sent, what is under way is finished, and resuming loses no chunk and scores none
twice; whatever is lost, and whenever somebody pauses or resumes."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from contract.errors import RedisUnreachable, UnknownJob
from contract.format import layout
from contract.ledger import records
from contract.ledger.reconcile import cancel, pause, reconcile, resume
from contract.ledger.stored import load_manifest
from contract.queue import Queue
from contract.queue.redis import RedisQueue
from contract.settings import Settings
from contract.storage import Storage
from producer.jobs import remove
from tests.making import Hand, all_messages, finish, job_of, pop, predictions
from tests.twins.queue import MemoryQueue
from tests.twins.storage import MemoryStorage


def test_nothing_of_it_is_sent_and_what_is_under_way_is_finished(storage: Storage, queue: Queue, settings: Settings):
    job = job_of(storage, settings, rows=30).id
    reconcile(job, storage, queue, settings)
    hand = Hand(storage, queue, settings)
    message = pop(queue, "tiny")
    assert message is not None
    assert hand.begin(*message)
    pause(job, storage, queue, settings)
    paused = records.status(storage, queue, job)
    assert (paused.status, paused.reason and paused.reason.code, paused.eta_seconds) == ("paused", "paused", None)
    assert paused.chunks.running == 1
    hand.end(*message)
    hand.run()  # drops the messages that were sent before
    assert all_messages(queue, "tiny") == []
    assert reconcile(job, storage, queue, settings).sent == ()
    assert queue.claim("tiny", 2, 3) is None
    assert records.status(storage, queue, job).chunks.done == 1
    pause(job, storage, queue, settings)
    resume(job, storage, queue, settings)
    assert records.status(storage, queue, job).status == "running"
    assert len(hand.run()) == 9, "each of the others once"
    assert len(predictions(storage, job)) == 30
    assert records.status(storage, queue, job).attempts == 10


def test_other_jobs_have_its_place(storage: Storage, queue: Queue, settings: Settings):
    first, second = (job_of(storage, settings, rows=rows).id for rows in (12, 30))
    for job in (first, second):
        reconcile(job, storage, queue, settings)
    pause(first, storage, queue, settings)
    done = Hand(storage, queue, settings).run()
    assert [chunk for job, chunk in done if job == second] == list(range(10))
    assert records.status(storage, queue, second).status == "completed"
    assert records.status(storage, queue, first).chunks.done == 0
    resume(first, storage, queue, settings)
    finish(first, storage, queue, settings)


def test_a_redis_that_was_emptied_changes_nothing(memory_queue: MemoryQueue, settings: Settings):
    storage = MemoryStorage()
    job = job_of(storage, settings, rows=30).id
    reconcile(job, storage, memory_queue, settings)
    hand = Hand(storage, memory_queue, settings)
    for _ in range(3):
        hand.step()
    pause(job, storage, memory_queue, settings)
    memory_queue.wipe()
    assert reconcile(job, storage, memory_queue, settings).sent == ()
    assert hand.run() == []
    assert records.status(storage, memory_queue, job).status == "paused"
    memory_queue.wipe()
    resume(job, storage, memory_queue, settings)
    assert len(hand.run()) == 7
    assert records.status(storage, memory_queue, job).status == "completed"


def test_it_is_recorded_though_redis_is_away(settings: Settings, queue: Queue):
    storage, away = MemoryStorage(), RedisQueue("redis://localhost:1/0", "test")
    job = job_of(storage, settings).id
    for act, status in ((pause, "paused"), (resume, "queued")):
        with pytest.raises(RedisUnreachable):
            act(job, storage, away, settings)
        assert records.status(storage, None, job).status == status


def test_one_that_ended_is_not_paused_and_one_whose_rows_are_done_ends(settings: Settings, memory_queue: MemoryQueue):
    storage = MemoryStorage()
    job = job_of(storage, settings, rows=3).id
    hand = Hand(storage, memory_queue, settings)
    assert hand.begin(job, 0)
    pause(job, storage, memory_queue, settings)
    hand.end(job, 0)
    assert records.status(storage, memory_queue, job).status == "completed", "nothing was left to send"
    other = job_of(storage, settings, rows=3).id
    finish(other, storage, memory_queue, settings)
    pause(other, storage, memory_queue, settings)
    assert not records.is_paused(storage, other)
    for act in (pause, resume):
        with pytest.raises(UnknownJob):
            act("nothing", storage, memory_queue, settings)


def test_a_paused_job_is_cancelled_and_removed_like_any_other(settings: Settings, memory_queue: MemoryQueue):
    storage = MemoryStorage()
    job, other = (job_of(storage, settings, rows=30).id for _ in range(2))
    for each in (job, other):
        reconcile(each, storage, memory_queue, settings)
        pause(each, storage, memory_queue, settings)
    cancel(job, storage, memory_queue, settings)
    assert records.status(storage, memory_queue, job).status == "cancelled"
    remove.delete(other, storage, memory_queue, cancel=True)
    assert not [key for key in storage._objects if key.startswith(layout.folder(other))]


class Impatient(MemoryStorage):
    """One in which a job is resumed just after somebody has read that it is paused."""

    def __init__(self) -> None:
        super().__init__()
        self.then: Callable[[], None] | None = None

    def exists(self, key: str) -> bool:
        found = super().exists(key)
        if found and key.endswith("/paused") and self.then:
            then, self.then = self.then, None
            then()
        return found


@pytest.mark.parametrize("by", ["the worker that drops a message", "the sweeper"])
def test_one_that_is_resumed_just_then_is_not_left_lying(by: str, memory_queue: MemoryQueue, settings: Settings):
    storage = Impatient()
    job, other = (job_of(storage, settings, rows=30).id for _ in range(2))
    reconcile(job, storage, memory_queue, settings)
    pause(job, storage, memory_queue, settings)
    hand = Hand(storage, memory_queue, settings)
    if by == "the sweeper":
        hand.run()
        reconcile(other, storage, memory_queue, settings)  # the queue is full: nothing reminds of the job
    storage.then = lambda: resume(job, storage, memory_queue, settings)
    if by == "the sweeper":
        reconcile(job, storage, memory_queue, settings)
    hand.run()
    assert storage.then is None
    assert records.status(storage, memory_queue, job).status == "completed", "without anybody else"


@pytest.mark.parametrize("seed", range(40))
def test_whenever_it_is_paused_and_resumed_every_row_has_one_outcome(
    seed: int, memory_queue: MemoryQueue, settings: Settings
):
    """Several workers, a sweeper, an impatient person, and a Redis that is emptied, in any order."""
    dice, storage = random.Random(seed), MemoryStorage()
    job = job_of(storage, settings, rows=45).id
    hands = [Hand(storage, memory_queue, settings, name) for name in ("a", "b")]
    held: dict[str, tuple[str, int]] = {}

    def work() -> None:
        hand = dice.choice(hands)
        if hand.name in held:
            hand.end(*held.pop(hand.name))
        elif (message := pop(memory_queue, "tiny")) and hand.begin(*message):
            held[hand.name] = message

    acts = [
        work, work, work, work,
        lambda: reconcile(job, storage, memory_queue, settings),
        lambda: pause(job, storage, memory_queue, settings),
        lambda: resume(job, storage, memory_queue, settings),
    ]  # fmt: skip
    for _ in range(150):
        was_paused, sent = records.is_paused(storage, job), memory_queue.hints("tiny", job).waiting
        act = dice.choice(acts)
        act()
        if was_paused and records.is_paused(storage, job):
            assert memory_queue.hints("tiny", job).waiting <= sent, "nothing of it is sent"
        if dice.random() < 0.02:
            memory_queue.wipe()
    for hand in hands:
        if hand.name in held:
            hand.end(*held.pop(hand.name))
    resume(job, storage, memory_queue, settings)
    finish(job, storage, memory_queue, settings)
    assert len(predictions(storage, job)) == load_manifest(storage, job).rows
