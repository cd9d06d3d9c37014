"""What Redis and status know of a job that is pinned to a model's digest."""

from __future__ import annotations

import pytest

from contract.errors import UsageError
from contract.format.job import ModelRef
from contract.ledger import records
from contract.ledger.reconcile import reconcile
from contract.queue import Queue, WorkerInfo, queue_name
from contract.settings import Settings
from tests.conftest import Clock
from tests.making import job_of, pop
from tests.twins.queue import MemoryQueue
from tests.twins.storage import MemoryStorage


def worker(name: str, digest: str, model: str = "tiny") -> WorkerInfo:
    return WorkerInfo(name, model, digest, "int8", 1, "0")


def test_a_forwarded_message_is_seen_by_workers_of_that_digest_only(queue: Queue) -> None:
    queue.send("tiny", "a-job", [3], "d1")
    assert pop(queue, "tiny") is None
    assert pop(queue, "tiny:d2") is None
    assert pop(queue, "tiny:d1") == ("a-job", 3)
    assert queue_name("tiny:d1") == queue_name("tiny", "d1")


def test_forwarded_messages_count_as_waiting_once(queue: Queue) -> None:
    queue.send("tiny", "a-job", [1, 2])
    queue.send("tiny", "a-job", [3], "d1")
    assert queue.hints("tiny", "a-job", "d1").waiting == 3
    assert queue.hints("tiny", "a-job").waiting == 2
    assert set(queue.hints("tiny", "a-job").sent) == {1, 2, 3}


def test_a_forwarded_message_is_not_sent_again_while_it_waits(
    memory_queue: MemoryQueue, clock: Clock, settings: Settings
) -> None:
    storage = MemoryStorage()
    job = job_of(storage, settings, rows=3).id
    reconcile(job, storage, memory_queue, settings)
    records.pin_model(storage, job, ModelRef("tiny", "d1", "int8"))
    assert pop(memory_queue, "tiny") == (job, 0)
    memory_queue.send("tiny", job, [0], "d1")
    clock.now += 60
    assert reconcile(job, storage, memory_queue, settings).sent == ()
    assert pop(memory_queue, "tiny:d1") == (job, 0)
    clock.now += 60
    assert reconcile(job, storage, memory_queue, settings).sent == (0,), "gone from there too: it is sent again"


def test_the_reason_names_the_model_and_the_digest_that_nobody_holds(
    memory_queue: MemoryQueue, settings: Settings
) -> None:
    storage = MemoryStorage()
    job = job_of(storage, settings).id

    def told() -> tuple[str | None, tuple[str, ...]]:
        progress = records.status(storage, memory_queue, job)
        return progress.reason and progress.reason.message, progress.workers

    memory_queue.announce(worker("w1", "d1", model="large"))
    assert told() == ("no worker serves the model tiny", ())
    memory_queue.announce(worker("w2", "d2"))
    assert told() == (None, ("w2",))
    records.pin_model(storage, job, ModelRef("tiny", "d1", "int8"))
    assert told() == ("no worker holds the pinned model tiny (d1), 1 hold another", ())
    memory_queue.announce(worker("w3", "d1"))
    assert told() == (None, ("w3",))


def test_a_job_is_pinned_before_it_has_a_manifest() -> None:
    storage = MemoryStorage()
    records.pin_at_submit(storage, "a-job", ModelRef("tiny", "d1", "int8"))
    records.pin_at_submit(storage, "a-job", ModelRef("tiny", "d1", "int8"))
    assert records.pin_model(storage, "a-job", ModelRef("tiny", "d2", "int8")).digest == "d1"
    with pytest.raises(UsageError, match=r"pinned to the model tiny \(d1\), this one to tiny \(d2\)"):
        records.pin_at_submit(storage, "a-job", ModelRef("tiny", "d2", "int8"))
