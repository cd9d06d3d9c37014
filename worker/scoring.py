"""One chunk: rows in, predictions in the same order out. Threads share one reader, and take a micro-batch at a time.

Why a micro-batch: a run of the model drives Python and the tokenizer out of the processor's caches, and the code after
it takes twice as long. So a thread encodes some rows, runs the model on each, and decodes them. Measured on one core, a
row of 18 ms then costs 0.6 ms beside the model, and 1.2 ms if each is encoded, run and decoded by itself.

Knows no storage, no queue and no Celery: `Watch` has the callbacks.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
from time import thread_time
from typing import Any, Literal, Protocol, runtime_checkable

from contract.format.job import Answer, Options, Row, RowError, Status, answered, failed
from worker.reader.decode import RowFailure

log = logging.getLogger("bulkqa.worker")

Prediction = dict[str, Any]
Stop = Literal["cancel", "drain"] | None


class Answerer(Protocol):
    """Answers rows: a `worker.reader.reader.Reader`, or another in its place."""

    def answer(self, question: str, context: str, options: Options) -> Answer:
        """As `Reader.answer`."""
        ...

    ...


@runtime_checkable
class BatchAnswerer(Answerer, Protocol):
    """One that is faster with several rows at a time."""

    @property
    def micro_batch(self) -> int:
        """How many characters of text it is fastest with."""
        ...

    def answer_many(self, pairs: Sequence[tuple[str, str]], options: Options) -> list[Answer | RowError]:
        """As `Reader.answer_many`."""
        ...


class Drained(Exception):
    """The worker is shutting down: the chunk is handed back unfinished."""


@dataclass(frozen=True, slots=True)
class Watch:
    """The callbacks of scoring. Any of its threads may call them."""

    stop: Callable[[], Stop] = lambda: None  #: called before each micro-batch: whether to stop, and why
    begin: Callable[[int], None] = lambda row: None  #: a row is about to be scored
    end: Callable[[int], None] = lambda row: None  #: the outcome of that row is known
    done: Callable[[Status, int], None] = lambda status, rows: None  #: so many rows have an outcome of that status
    spent: Callable[[float], None] = lambda seconds: None  #: so much processor time was spent by one thread
    alone: bool = False  #: score one row at a time, so that a death has few suspects


@dataclass(slots=True)
class _Outcomes:
    """The outcomes of a chunk so far, by row number, shared between threads."""

    by_row: dict[int, Answer | RowError] = field(default_factory=dict)
    out_of_memory: list[int] = field(default_factory=list)  #: rows that ran out of memory beside others


def score(
    rows: Sequence[Row],
    reader: Answerer,
    options: Options,
    pool: ThreadPoolExecutor,
    threads: int,
    watch: Watch,
    known: dict[int, Answer | RowError] | None = None,
) -> list[Prediction]:
    """Predictions of all rows, in order. `known`: outcomes by row number that are known already.

    Raises Drained if `watch.stop` returns "drain". After "cancel", rows not yet scored get the error job_cancelled.
    """
    outcomes = _Outcomes(dict(known or {}))
    for row in rows:
        if settled := row.error or outcomes.by_row.get(row.row):
            watch.done(_status(settled), 1)
    groups = _distinct([row for row in rows if row.error is None and row.row not in outcomes.by_row])
    work = _Work(groups, 0 if watch.alone else getattr(reader, "micro_batch", 0), threads)
    # In copies of this thread's context: their log lines have the fields of this chunk.
    score_all = partial(_score_all, work, reader, options, watch, outcomes)
    futures = [pool.submit(copy_context().run, score_all) for _ in range(threads)]
    wait(futures, return_when=FIRST_EXCEPTION)
    work.clear()  # after an exception the other threads stop too: the pool must be free for the next chunk
    wait(futures)
    for future in futures:
        future.result()
    stopped = watch.stop()
    for group in [group for group in groups if group[0].row in outcomes.out_of_memory]:
        if stopped := watch.stop():
            break
        watch.begin(group[0].row)
        _settle(group, answer_alone(group[0], reader, options), outcomes, watch)
    if stopped == "drain" and any(row.error is None and row.row not in outcomes.by_row for row in rows):
        raise Drained
    cancelled = RowError("job_cancelled", "the job was cancelled before this row was scored")
    return [prediction(row, row.error or outcomes.by_row.get(row.row, cancelled), options) for row in rows]


def _score_all(work: _Work, reader: Answerer, options: Options, watch: Watch, outcomes: _Outcomes) -> None:
    """Score groups of equal rows until none are left, or `watch` says stop."""
    began = thread_time()
    while not watch.stop() and (groups := work.take()):
        for group in groups:
            watch.begin(group[0].row)
        for group, outcome in zip(groups, outcomes_of([group[0] for group in groups], reader, options), strict=True):
            _settle(group, outcome, outcomes, watch)
    watch.spent(thread_time() - began)


def outcomes_of(rows: list[Row], reader: Answerer, options: Options) -> Sequence[Answer | RowError | None]:
    """The outcome of each row: of all together if the reader can do that, and one by one if it fails. None: it ran out
    of memory, which it may not when scored alone."""
    if len(rows) > 1 and isinstance(reader, BatchAnswerer):
        try:
            return reader.answer_many([(row.question or "", row.context or "") for row in rows], options)
        except Exception as error:  # because of one row, or of their number
            log.warning("%d rows failed together and are now scored one by one: %s", len(rows), error)
    return [_outcome(row, reader, options) for row in rows]


def answer_alone(row: Row, reader: Answerer, options: Options) -> Answer | RowError:
    """The answer to a row or its error, while no other row is scored: this one has all the memory."""
    return _outcome(row, reader, options) or RowError("inference_error", "out of memory, even when scored alone")


def _outcome(row: Row, reader: Answerer, options: Options) -> Answer | RowError | None:
    """The answer to a row or its error; None if it ran out of memory, which it may not when scored alone."""
    try:
        return reader.answer(row.question or "", row.context or "", options)
    except RowFailure as failure:
        return failure.error
    except MemoryError:
        return None


def _settle(group: Sequence[Row], outcome: Answer | RowError | None, outcomes: _Outcomes, watch: Watch) -> None:
    """Note the outcome of a group of equal rows, and report it."""
    if outcome is None:
        outcomes.out_of_memory.append(group[0].row)
    else:
        for row in group:
            outcomes.by_row[row.row] = outcome
        watch.done(_status(outcome), len(group))
    watch.end(group[0].row)


def _status(outcome: Answer | RowError) -> Status:
    if isinstance(outcome, RowError):
        return "error"
    return "answered" if outcome.spans else "no_answer"


def prediction(row: Row, outcome: Answer | RowError, options: Options) -> Prediction:
    """The prediction of a row with its outcome."""
    return failed(row, outcome, options) if isinstance(outcome, RowError) else answered(row, outcome, options)


def _distinct(rows: Sequence[Row]) -> list[list[Row]]:
    """Groups of rows with the same question and context, each scored once.

    The longest contexts come first, so that all threads end at about the same time (Graham 1969). Within a length rows
    keep their order, so that questions on one context stay neighbours and it is tokenized once.
    """
    groups: dict[tuple[str | None, str | None], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.question, row.context), []).append(row)
    return sorted(groups.values(), key=lambda group: len(group[0].context or ""), reverse=True)


class _Work:
    """The rows left to score, from which the threads take."""

    def __init__(self, groups: list[list[Row]], micro_batch: int, threads: int) -> None:
        self._groups = deque(groups)
        self._left = sum(_size(group) for group in groups)
        self._micro_batch = micro_batch
        self._threads = threads
        self._lock = threading.Lock()

    def take(self) -> list[list[Row]]:
        """The next micro-batch; empty at the end. Towards the end it shrinks to an eighth, so that all threads end at
        about the same time (guided self-scheduling: Polychronopoulos and Kuck 1987)."""
        with self._lock:
            room = min(self._micro_batch, max(self._left // (4 * self._threads), self._micro_batch // 8))
            taken: list[list[Row]] = []
            while self._groups and (not taken or _size(self._groups[0]) <= room):
                taken.append(self._groups.popleft())
                room -= _size(taken[-1])
                self._left -= _size(taken[-1])
            return taken

    def clear(self) -> None:
        """Drop what is left."""
        with self._lock:
            self._groups.clear()


def _size(group: list[Row]) -> int:
    """Characters of one row of a group."""
    return len(group[0].question or "") + len(group[0].context or "")
