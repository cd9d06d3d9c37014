"""A few questions, answered at once, in steps that wait without a thread.

They go to the lanes of the workers (`contract.questions`), beside all jobs. What a lane cannot answer, or none answers
in time, because its process died, is submitted as a job, waited for and read.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from contract.errors import BulkqaError, Busy, NoWorker, RedisUnreachable, TimedOut
from contract.format import chunk, layout
from contract.format.job import ModelRef, Options, Row
from contract.ledger import reasons, records
from contract.ledger.reconcile import WHOLE, Bound
from contract.questions import stored
from contract.questions.stored import MOST_TEXT, Question, Reply
from contract.queue import Asked, Queue, WorkerInfo
from contract.remedy import Call, Remedy, Set
from contract.settings import Settings
from contract.storage import Storage
from producer.forecast.outlook import NOTHING
from producer.input.checks.pairs import Pair, file_of, table_of
from producer.jobs import follow
from producer.jobs.follow import Steps
from producer.jobs.remove import delete, deleting
from producer.jobs.submit import check_model, submit_and_send
from producer.request import Request
from producer.results.lines import ready_lines

#: Questions that may wait for each worker: more would wait for longer than who asks at once wants to.
MOST_WAITING = 8
#: The share of the time that is left for the lanes; the rest is for a job.
_AT_ONCE = 0.5
#: Seconds between two looks for a reply, at first and at most.
_SOON, _LATER = 0.012, 0.1
#: Seconds in which a worker has to serve the model.
PATIENCE = 3.0
#: Seconds until the first look at more than whether the job has ended; each is twice as late as the one before.
_LOOK = 2.0
#: Seconds in which a worker has to let go of a job that is removed.
_LETTING_GO = 2.0


@dataclass(frozen=True, slots=True)
class Answered:
    """The predictions of a few rows, in order."""

    predictions: list[dict[str, Any]]
    model: ModelRef  #: that answered
    job: str | None  #: that was submitted with a key, and stays
    discard: Callable[[], object]  #: removes what is left in the storage; to be called once


def answer(
    pairs: Sequence[Pair],
    storage: Storage,
    queue: Queue,
    settings: Settings,
    request: Request,
    timeout: float,
    bound: Bound = WHOLE,
    *,
    patient: bool = True,
) -> Steps[Answered]:
    """Answer a few questions within `timeout` seconds.

    Raises what `submit` raises; TimedOut; NoWorker where no worker serves the model; and Busy where too many questions
    wait, at once unless `patient`. Nothing is left in the storage then, nor if the steps are closed, but for a job with
    a key.
    """
    ends = time.monotonic() + timeout
    model = request.model or settings.model
    check_model(model)
    if rows := _rows_for_a_lane(pairs, request):
        question = Question(model, request.options, rows)
        answered = yield from _at_once(question, storage, queue, ends - _AT_ONCE * timeout, patient=patient)
        if answered:
            return answered
    return (yield from _by_job(pairs, storage, queue, settings, request, timeout, ends, bound))


def _rows_for_a_lane(pairs: Sequence[Pair], request: Request) -> tuple[Row, ...]:
    """The rows of questions that lanes can answer; none if they take a job."""
    if replace(request, options=Options(), model="", metadata={}) != Request():
        return ()
    table = table_of(pairs)
    return tuple(chunk.rows(table)) if table.nbytes <= MOST_TEXT else ()


def _at_once(
    question: Question, storage: Storage, queue: Queue, until: float, *, patient: bool
) -> Steps[Answered | None]:
    """The answer of a lane; None if there is none by then, or Redis cannot be used. Raises Busy."""
    name = stored.put(storage, question)
    discard = partial(stored.remove, storage, name)
    answered: Answered | None = None
    reply: Reply | None = None
    try:
        while (asked := _ask(queue, question.model, name)) == "full":
            if not patient or time.monotonic() > until:
                raise Busy(
                    f"too many questions wait for the workers of {question.model}",
                    "Ask again in a second, or start more workers.",
                )
            yield _LATER
        pause = _SOON
        while asked == "waits" and reply is None and time.monotonic() < until:
            yield pause
            reply = stored.reply_to(storage, name)
            pause = min(_LATER, 1.25 * pause)
        if reply and reply.predictions is not None:
            answered = Answered(reply.predictions, reply.model, None, discard)
    finally:
        if not answered:
            discard()
    return answered


def _ask(queue: Queue, model: str, name: str) -> Asked:
    try:
        return queue.ask(model, name, MOST_WAITING)
    except RedisUnreachable:  # submitting a job says more
        return "unserved"


def _by_job(
    pairs: Sequence[Pair],
    storage: Storage,
    queue: Queue,
    settings: Settings,
    request: Request,
    timeout: float,
    ends: float,
    bound: Bound,
) -> Steps[Answered]:
    """Raises TimedOut once it is `ends`, by time.monotonic."""
    job = submit_and_send(file_of(pairs), storage, queue, settings, request, outlook=NOTHING).manifest.id
    try:
        yield from _end(job, storage, queue, settings, timeout, ends, bound)
    except (TimedOut, NoWorker):
        yield from _remove(job, storage, queue)
        raise
    except GeneratorExit:
        if not request.key:
            _drop(job, storage, queue)
        raise
    lines = (line for block in ready_lines(job, storage, ahead=1) for line in block.splitlines())
    predictions = [json.loads(line) for line in lines]
    model = records.status(storage, None, job).model
    if request.key:
        return Answered(predictions, model, job, lambda: None)
    return Answered(predictions, model, None, partial(_drop, job, storage, queue))


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


def _end(
    job: str, storage: Storage, queue: Queue, settings: Settings, timeout: float, ends: float, bound: Bound
) -> Steps[None]:
    """Wait for the end of a job: a look for its report costs next to nothing, and is often all that is needed."""
    progress = (progress for progress, _ in follow.polls(job, storage, queue, settings, bound))
    polls = follow.patient(progress, PATIENCE)
    started, look, pause = time.monotonic(), _LOOK, 0.02
    while not storage.exists(layout.report(job)):
        now = time.monotonic()
        if now > ends:
            more = Remedy("Ask with a larger ", Set("timeout"), ", or submit a job: ", Call("submit"))
            raise TimedOut(f"no answer within {timeout:g} s", more)
        if now - started > look:
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
