"""One chunk: rows in, predictions in the same order out. Threads over one reader, a micro-batch of rows at a time.

Why a micro-batch: a run of the model drives Python and the tokenizer out of the processor's caches, and what comes
after it takes twice its time. So a thread encodes some rows, runs the model on each, and decodes them; measured on
one core, a row of 18 ms costs 0.6 ms beside the model so, and 1.2 ms when each is encoded, run and decoded by itself.

Knows no storage, no queue and no Celery: whether to stop, and whom to tell that a row is done, is given.
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
from typing import Any, Literal, Protocol, runtime_checkable

from contract.format.job import Answer, Options, Row, RowError, answered, failed
from worker.reader.decode import RowFailure

log = logging.getLogger("bulkqa.worker")

Prediction = dict[str, Any]
Stop = Literal["cancel", "drain"] | None


class Answering(Protocol):
    """What answers rows: a reader, or a stand-in."""

    def answer(self, question: str, context: str, options: Options) -> Answer:
        """As `Reader.answer`."""
        ...

    ...


@runtime_checkable
class AnsweringMany(Answering, Protocol):
    """A reader that is faster with rows together, and says with how many characters of text at a time."""

    @property
    def micro_batch(self) -> int:
        """Characters of text."""
        ...

    def answer_many(self, pairs: Sequence[tuple[str, str]], options: Options) -> list[Answer | RowError]:
        """As `Reader.answer_many`."""
        ...


class Drained(Exception):
    """The worker is shutting down: the chunk is given back unfinished."""


@dataclass(frozen=True, slots=True)
class Watch:
    """What scoring tells and asks while it goes on; all may be called from any of its threads."""

    stop: Callable[[], Stop] = lambda: None  #: asked before each micro-batch
    begin: Callable[[int], None] = lambda row: None  #: a row is about to be scored
    end: Callable[[int], None] = lambda row: None  #: its outcome is known
    done: Callable[[int], None] = lambda rows: None  #: so many rows have theirs, by one outcome
    alone: bool = False  #: one row at a time, so that a death names few


@dataclass(slots=True)
class _Sheet:
    """The outcomes of a chunk so far, shared between threads."""

    outcomes: dict[int, Answer | RowError] = field(default_factory=dict)
    tight: list[int] = field(default_factory=list)  #: rows that ran out of memory beside others


def score(
    rows: Sequence[Row],
    reader: Answering,
    options: Options,
    pool: ThreadPoolExecutor,
    threads: int,
    watch: Watch,
    known: dict[int, Answer | RowError] | None = None,
) -> list[Prediction]:
    """Predictions of all rows, in order. `known` holds outcomes by row number that were found before.

    Raises Drained when `watch.stop` says so. A cancel gives the rows not yet scored the error job_cancelled.
    """
    sheet = _Sheet(outcomes=dict(known or {}))
    groups = _distinct([row for row in rows if row.error is None and row.row not in sheet.outcomes])
    work = _Work(groups, 0 if watch.alone else getattr(reader, "micro_batch", 0), threads)
    # In a context of this thread's: what they log speaks of this chunk too.
    drain = partial(_drain, work, reader, options, watch, sheet)
    futures = [pool.submit(copy_context().run, drain) for _ in range(threads)]
    wait(futures, return_when=FIRST_EXCEPTION)
    work.end()  # after an exception the other threads stop too, and are waited for: the next chunk has the pool alone
    wait(futures)
    for future in futures:
        future.result()
    stopped = watch.stop()
    for group in [group for group in groups if group[0].row in sheet.tight]:
        if stopped := watch.stop():
            break
        watch.begin(group[0].row)
        _settle(group, alone(group[0], reader, options), sheet)
        watch.end(group[0].row)
        watch.done(len(group))
    if stopped == "drain" and any(row.error is None and row.row not in sheet.outcomes for row in rows):
        raise Drained
    cancelled = RowError("job_cancelled", "the job was cancelled before this row was scored")
    return [_prediction(row, row.error or sheet.outcomes.get(row.row, cancelled), options) for row in rows]


def _drain(work: _Work, reader: Answering, options: Options, watch: Watch, sheet: _Sheet) -> None:
    """Score groups of equal rows until there are none left or a stop is asked for."""
    while not watch.stop() and (groups := work.take()):
        for group in groups:
            watch.begin(group[0].row)
        for group, outcome in zip(groups, _outcomes([group[0] for group in groups], reader, options), strict=True):
            _settle(group, outcome, sheet)
            watch.end(group[0].row)
            watch.done(len(group))


def _outcomes(rows: list[Row], reader: Answering, options: Options) -> Sequence[Answer | RowError | None]:
    """The outcome of each row; run together where the reader is for that, and alone if that fails."""
    if len(rows) > 1 and isinstance(reader, AnsweringMany):
        try:
            return reader.answer_many([(row.question or "", row.context or "") for row in rows], options)
        except Exception as error:  # one of them or their number: each finds out alone
            log.warning("%d rows together failed, each is scored alone: %s", len(rows), error)
    return [_outcome(row, reader, options) for row in rows]


def alone(row: Row, reader: Answering, options: Options) -> Answer | RowError:
    """The answer to a row or its error, while no other is scored: it has all the memory there is."""
    return _outcome(row, reader, options) or RowError("inference_error", "out of memory, also when scored alone")


def _outcome(row: Row, reader: Answering, options: Options) -> Answer | RowError | None:
    """The answer to a row or its error; None if memory was short and may not be once the row is alone."""
    try:
        return reader.answer(row.question or "", row.context or "", options)
    except RowFailure as failure:
        return failure.error
    except MemoryError:
        return None


def _settle(group: Sequence[Row], outcome: Answer | RowError | None, sheet: _Sheet) -> None:
    if outcome is None:
        sheet.tight.append(group[0].row)
        return
    for row in group:
        sheet.outcomes[row.row] = outcome


def _prediction(row: Row, outcome: Answer | RowError, options: Options) -> Prediction:
    return failed(row, outcome, options) if isinstance(outcome, RowError) else answered(row, outcome, options)


def _distinct(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows with the same question and context together: they are scored once.

    The longest contexts come first, so that all threads end at about the same time (Graham 1969), and in order of
    first appearance within a length, so that questions on one context stay neighbours and it is tokenized once.
    """
    groups: dict[tuple[str | None, str | None], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.question, row.context), []).append(row)
    return sorted(groups.values(), key=lambda group: len(group[0].context or ""), reverse=True)


class _Work:
    """What is left to score, for threads to take from."""

    def __init__(self, groups: list[list[Row]], micro_batch: int, threads: int) -> None:
        self._groups = deque(groups)
        self._left = sum(_size(group) for group in groups)
        self._micro_batch = micro_batch
        self._threads = threads
        self._lock = threading.Lock()

    def take(self) -> list[list[Row]]:
        """The next few; none at the end. Ever fewer towards the end, to an eighth of a micro-batch, so that all threads
        end at about the same time (guided self-scheduling: Polychronopoulos and Kuck 1987)."""
        with self._lock:
            room = min(self._micro_batch, max(self._left // (4 * self._threads), self._micro_batch // 8))
            taken: list[list[Row]] = []
            while self._groups and (not taken or _size(self._groups[0]) <= room):
                taken.append(self._groups.popleft())
                room -= _size(taken[-1])
                self._left -= _size(taken[-1])
            return taken

    def end(self) -> None:
        """Give out no more."""
        with self._lock:
            self._groups.clear()


def _size(group: list[Row]) -> int:
    """Characters that one of equal rows has."""
    return len(group[0].question or "") + len(group[0].context or "")
