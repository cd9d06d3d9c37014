"""Small jobs first, then older ones, on a queue that is kept short."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from contract.format import codec, layout
from contract.format.job import Manifest
from contract.ledger import order
from contract.ledger.reconcile import reconcile
from contract.queue import Queue, WorkerInfo
from contract.settings import Settings
from contract.storage import Storage
from tests.making import Hand, all_messages, job_of, pop
from tests.twins.queue import MemoryQueue
from tests.twins.storage import MemoryStorage

ONE_AHEAD = Settings(model="tiny", queue_ahead=1)


@pytest.mark.slow
def test_a_small_job_passes_a_large_one_that_came_before(storage: Storage, queue: Queue, settings: Settings):
    large = job_of(storage, settings, rows=300).id
    reconcile(large, storage, queue, settings)
    small = job_of(storage, settings, rows=3).id
    reconcile(small, storage, queue, settings)
    served = Hand(storage, queue, settings).run()
    assert served.index((small, 0)) <= settings.queue_ahead, "it waits for what was on the queue, and for nothing else"
    assert len(served) == 101


def test_a_large_job_is_passed_for_a_while_and_not_for_ever(settings: Settings):
    storage = MemoryStorage()
    large = replace(job_of(storage, settings, rows=300), created_at=1000.0, rejected=100)
    small = job_of(storage, settings, rows=3)
    assert order.due(large) == 1400.0
    assert order.due(replace(small, created_at=1390.0)) < order.due(large)
    assert order.due(replace(small, created_at=1400.0)) > order.due(large)
    assert order.due(replace(large, rows=10**9)) == 1000.0 + 24 * 3600


def test_messages_of_all_jobs_together_are_few(storage: Storage, queue: Queue, settings: Settings):
    """And grow with the workers of the model, so that none of them waits."""
    jobs = [job_of(storage, settings, rows=30).id for _ in range(5)]
    for job in jobs:
        reconcile(job, storage, queue, ONE_AHEAD)
    assert queue.waiting("tiny", "") == 1
    for name in "abc":
        queue.announce(WorkerInfo(name, "tiny", "d1", "int8", 1, "0"))
    assert len(order.fill("tiny", queue, ONE_AHEAD)) == 2
    assert order.fill("tiny", queue, ONE_AHEAD) == []


def test_a_job_whose_messages_nobody_takes_holds_up_no_other(storage: Storage, queue: Queue, settings: Settings):
    """As one that is pinned to a digest that nobody holds: its chunks are under way, as far as can be told."""
    stuck, other = (job_of(storage, settings, rows=30).id for _ in range(2))
    reconcile(stuck, storage, queue, ONE_AHEAD)
    while (message := pop(queue, "tiny")) and message[0] == stuck:
        order.fill("tiny", queue, ONE_AHEAD)  # taken, and handed on to a queue of which nobody takes
    reconcile(other, storage, queue, ONE_AHEAD)
    assert {job for job, _ in [message or ("", 0), *all_messages(queue, "tiny")]} <= {other, ""}
    assert queue.waiting("tiny", "") == 0
    assert order.fill("tiny", queue, ONE_AHEAD)[0][0] == other


def test_what_can_be_no_job_is_forgotten(memory_queue: MemoryQueue, settings: Settings):
    memory_queue.plan("tiny", "../etc", 0, 1000, 0.0)
    memory_queue.plan("tiny", "a-job", 0, 1, 1.0)
    assert order.fill("tiny", memory_queue, settings) == [("a-job", 0)]


def completion(jobs: list[Manifest], key) -> float:
    """The mean time to completion, in rows, if jobs are served whole in this order."""
    now = total = 0
    for job in sorted(jobs, key=key):
        now += job.rows
        total += now
    return total / len(jobs)


@pytest.mark.slow
def test_the_mean_time_to_completion_is_near_the_best(memory_queue: MemoryQueue, settings: Settings):
    dice, storage = random.Random(1), MemoryStorage()
    jobs = [job_of(storage, settings, rows=int(dice.lognormvariate(3, 1)) + 1) for _ in range(60)]
    for job in jobs:
        at_once = replace(job, created_at=1000.0)
        storage.replace(layout.manifest(job.id), codec.dump(at_once))
        reconcile(job.id, storage, memory_queue, settings)
    rows, ended = 0, {}
    hand = Hand(storage, memory_queue, settings)
    while message := hand.step():
        rows += 3
        ended[message[0]] = rows
    mean = sum(ended.values()) / len(ended)
    best = completion(jobs, lambda job: job.rows)
    assert mean < 1.1 * best
    assert mean < 0.8 * completion(jobs, lambda job: dice.random())
