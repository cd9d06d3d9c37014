"""A few questions, answered at once: a job is submitted, waited for and read, in steps that wait without a thread."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from contract.errors import BulkqaError, NoWorker, TimedOut
from contract.format import layout
from contract.ledger import reasons, records
from contract.ledger.progress import Progress
from contract.ledger.reconcile import WHOLE, Bound
from contract.queue import Queue, WorkerInfo
from contract.remedy import Call, Remedy, Set
from contract.settings import Settings
from contract.storage import Storage
from producer.forecast.outlook import NOTHING
from producer.input.location import InputSpec
from producer.jobs import follow
from producer.jobs.follow import Steps
from producer.jobs.remove import delete, deleting
from producer.jobs.submit import submit_and_send
from producer.request import Request
from producer.results.lines import ready_lines

#: Seconds in which a worker has to serve the model.
PATIENCE = 3.0
#: Seconds until the first look at more than whether the job has ended; each is twice as late as the one before.
_LOOK = 2.0
#: Seconds in which a worker has to let go of a job that is removed.
_LETTING_GO = 2.0


@dataclass(frozen=True, slots=True)
class Answered:
    """A job that has ended, with its predictions."""

    job: Progress
    predictions: list[dict[str, Any]]


def answer(
    file: InputSpec,
    storage: Storage,
    queue: Queue,
    settings: Settings,
    request: Request,
    timeout: float,
    bound: Bound = WHOLE,
) -> Steps[Answered]:
    """Answer the rows of a small file within `timeout` seconds. The job stays; to remove it is up to the caller.

    Raises what `submit` raises; TimedOut, and NoWorker where no worker serves the model: then the job is removed. It is
    also removed if the steps are closed, unless it has a key.
    """
    job = submit_and_send(file, storage, queue, settings, request, outlook=NOTHING).manifest.id
    try:
        yield from _end(job, storage, queue, settings, timeout, bound)
    except (TimedOut, NoWorker):
        yield from _remove(job, storage, queue)
        raise
    except GeneratorExit:
        if not request.key:
            _drop(job, storage, queue)
        raise
    lines = (line for block in ready_lines(job, storage, ahead=1) for line in block.splitlines())
    return Answered(records.status(storage, None, job), [json.loads(line) for line in lines])


def _remove(job: str, storage: Storage, queue: Queue) -> Steps[None]:
    """Remove a job, if possible once its worker has let go of it."""
    removed = False
    try:
        with suppress(BulkqaError):
            yield from deleting(job, storage, queue, cancel=True, timeout=_LETTING_GO)
            removed = True
    finally:
        if not removed:
            _drop(job, storage, queue)


def _drop(job: str, storage: Storage, queue: Queue) -> None:
    """Remove a job at once; a worker may leave a part behind."""
    with suppress(BulkqaError):  # it stays, as any other job
        delete(job, storage, queue, force=True)


def _end(job: str, storage: Storage, queue: Queue, settings: Settings, timeout: float, bound: Bound) -> Steps[None]:
    """Wait for the end of a job: a look for its report costs next to nothing, and is often all that is needed."""
    progress = (progress for progress, _ in follow.polls(job, storage, queue, settings, bound))
    polls = follow.patient(progress, PATIENCE)
    started, look, pause = time.monotonic(), _LOOK, 0.02
    while not storage.exists(layout.report(job)):
        waited = time.monotonic() - started
        if waited > timeout:
            more = Remedy("Ask with a larger ", Set("timeout"), ", or submit a job: ", Call("submit"))
            raise TimedOut(f"no answer within {timeout:g} s", more)
        if waited > look:
            next(polls, None)
            look *= 2
        yield pause
        pause = min(0.5, pause * 1.2)


def is_served(model: str, workers: list[WorkerInfo], storage_id: str | None) -> bool:
    """Whether one of the workers serves a model on a storage."""
    return any(worker.model == model and worker.storage in ("", storage_id) for worker in workers)


def unserved(model: str, workers: list[WorkerInfo], queue: Queue) -> NoWorker:
    """The error that no worker serves a model here."""
    elsewhere = sum(worker.model == model for worker in workers) + queue.workers_elsewhere(model)
    reason = reasons.other_storage(model, elsewhere) if elsewhere else reasons.no_worker(model)
    return NoWorker(reason.message, reason.remedy)
