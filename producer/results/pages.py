"""Pages of predictions. Only the parts that hold a page are read, however large the job is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.errors import BulkqaError
from contract.format import layout
from contract.ledger.stored import StoredJob
from contract.remedy import Call, Remedy
from contract.storage import Storage

#: Rows that one call looks through at most when it filters: callers go on from `next`.
_LOOKED_THROUGH = 20_000
#: The same if each row may be in another part; and how many parts are held in memory meanwhile.
_LOOKED_UP, _HELD = 500, 16


@dataclass(frozen=True, slots=True)
class RowFilter:
    """Which predictions to show. A field that is not set matches all."""

    status: tuple[str, ...] = ()  #: one of these
    flag: str | None = None
    below: float | None = None  #: only scores below it
    text: str | None = None  #: in the question, context, answer, id or raw text, case-insensitive

    def matches(self, prediction: dict[str, Any]) -> bool:
        """Whether to show a prediction."""
        return (
            (not self.status or prediction["status"] in self.status)
            and (self.flag is None or self.flag in prediction.get("flags", ()))
            and (self.below is None or prediction.get("score", 1.0) < self.below)
            and (self.text is None or _mentions(prediction, self.text.casefold()))
        )


def _mentions(prediction: dict[str, Any], text: str) -> bool:
    names = ("question", "context", "answer", "id", "raw")
    return any(text in str(prediction.get(name) or "").casefold() for name in names)


@dataclass(frozen=True, slots=True)
class Page:
    """Some predictions."""

    predictions: list[dict[str, Any]]
    next: int | None  #: the offset of the next page; None: this was the last
    ready: bool  #: False: the chunk at `next` has not been scored yet
    rows: int  #: of the job


def page(storage: Storage, job: str, offset: int, limit: int, row_filter: RowFilter) -> Page:
    """At most `limit` predictions from row `offset` on, in row order. Raises UnknownJob, and BulkqaError if the job has
    ended and a part was altered or removed since."""
    stored = StoredJob.open(storage, job)
    rows = stored.manifest.rows
    predictions: list[dict[str, Any]] = []
    at = offset
    while at < rows and at - offset < _LOOKED_THROUGH:
        number = stored.chunk_of(at)
        lines = _lines(stored, number)
        if lines is None:
            return Page(predictions, at, ready=False, rows=rows)
        for line in lines[at - stored.first_rows[number] :]:
            if len(predictions) == limit:
                return Page(predictions, at, ready=True, rows=rows)
            prediction = json.loads(line)
            predictions += [prediction] if row_filter.matches(prediction) else []
            at += 1
    return Page(predictions, at if at < rows else None, ready=True, rows=rows)


def page_in_order(
    storage: Storage, job: str, order: NDArray[np.int64], offset: int, limit: int, row_filter: RowFilter, rows: int
) -> Page:
    """The same for rows in another `order`: `offset` and `next` are positions in it."""
    stored = StoredJob.open(storage, job)
    held: dict[int, list[bytes]] = {}
    predictions: list[dict[str, Any]] = []
    last = min(len(order), offset + _LOOKED_UP)
    for place in range(offset, last):
        if len(predictions) == limit:
            return Page(predictions, place, ready=True, rows=rows)
        row = int(order[place])
        number = stored.chunk_of(row)
        if number not in held:
            if len(held) == _HELD:
                del held[next(iter(held))]
            held[number] = _lines(stored, number) or []
        if held[number]:
            prediction = json.loads(held[number][row - stored.first_rows[number]])
            predictions += [prediction] if row_filter.matches(prediction) else []
    return Page(predictions, last if last < len(order) else None, ready=True, rows=rows)


def _lines(job: StoredJob, number: int) -> list[bytes] | None:
    """The predictions of a chunk; None if it has not been scored yet."""
    if (lines := job.lines(number)) is not None:
        return lines.splitlines()
    if not job.storage.exists(layout.report(job.id)):
        return None
    raise BulkqaError(
        f"part {number} of job {job.id} was altered or removed since it ended",
        Remedy("Get all predictions with: ", Call("results", job.id)),
    )
