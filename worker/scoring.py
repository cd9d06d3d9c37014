"""One chunk: rows in, predictions in the same order out. Threads over one reader, a row at a time.

Knows no storage, no queue and no Celery: whether to stop, and whom to tell that a row is done, is given.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from contract.job import Answer, Options, Row, RowError, answered, failed
from worker.decode import RowFailure

Prediction = dict[str, Any]
Stop = Literal["cancel", "drain"] | None


class Answering(Protocol):
    def answer(self, question: str, context: str, options: Options) -> Answer: ...


class Drained(Exception):
    """The worker is shutting down: the chunk is given back unfinished."""


@dataclass(frozen=True, slots=True)
class Watch:
    """What scoring tells and asks while it goes on; all may be called from any of its threads."""

    stop: Callable[[], Stop] = lambda: None  #: asked before each row
    begin: Callable[[int], None] = lambda row: None  #: a row is about to be scored
    end: Callable[[int], None] = lambda row: None  #: its outcome is known


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
    work = _Locked(iter(groups))
    for future in [pool.submit(_drain, work, reader, options, watch, sheet) for _ in range(threads)]:
        future.result()
    stopped = watch.stop()
    for group in [group for group in groups if group[0].row in sheet.tight]:
        _settle(group, _outcome(group[0], reader, options, last_try=True), sheet)  # alone, with all the memory there is
    if stopped == "drain" and any(row.error is None and row.row not in sheet.outcomes for row in rows):
        raise Drained
    cancelled = RowError("job_cancelled", "the job was cancelled before this row was scored")
    return [_prediction(row, row.error or sheet.outcomes.get(row.row, cancelled), options) for row in rows]


def _drain(work: _Locked, reader: Answering, options: Options, watch: Watch, sheet: _Sheet) -> None:
    """Score groups of equal rows until there are none left or a stop is asked for."""
    while not watch.stop() and (group := work.take()) is not None:
        number = group[0].row
        watch.begin(number)
        _settle(group, _outcome(group[0], reader, options, last_try=False), sheet)
        watch.end(number)


def _outcome(row: Row, reader: Answering, options: Options, *, last_try: bool) -> Answer | RowError | None:
    """The answer to a row or its error; None if memory was short and may not be once the row is alone."""
    try:
        return reader.answer(row.question or "", row.context or "", options)
    except RowFailure as failure:
        return failure.error
    except MemoryError:
        return RowError("inference_error", "out of memory, also when scored alone") if last_try else None


def _settle(group: Sequence[Row], outcome: Answer | RowError | None, sheet: _Sheet) -> None:
    if outcome is None:
        sheet.tight.append(group[0].row)
        return
    for row in group:
        sheet.outcomes[row.row] = outcome


def _prediction(row: Row, outcome: Answer | RowError, options: Options) -> Prediction:
    return failed(row, outcome, options) if isinstance(outcome, RowError) else answered(row, outcome, options)


def _distinct(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows with the same question and context together: they are scored once. In order of first appearance, so that
    questions on one context stay neighbours and it is tokenized once."""
    groups: dict[tuple[str | None, str | None], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.question, row.context), []).append(row)
    return list(groups.values())


class _Locked:
    """An iterator that threads may share."""

    def __init__(self, items: Iterator[list[Row]]) -> None:
        self._items = items
        self._lock = threading.Lock()

    def take(self) -> list[Row] | None:
        with self._lock:
            return next(self._items, None)
