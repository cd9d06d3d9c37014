"""Some predictions of a job, from a row on: read from the parts that hold them, whatever the size of the job."""

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

#: Rows that are looked through at a time, where not all are wanted: who wants more asks again, from `next` on.
_LOOKED_THROUGH = 20_000
#: The same where each may be in another part; and parts that are held meanwhile.
_LOOKED_UP, _HELD = 500, 16


@dataclass(frozen=True, slots=True)
class RowFilter:
    """Which predictions; what is not given matters not."""

    status: tuple[str, ...] = ()  #: one of these
    flag: str | None = None
    below: float | None = None  #: scores below it
    text: str | None = None  #: in the question, the context or the answer, in letters of any case

    def fits(self, prediction: dict[str, Any]) -> bool:
        """Whether a prediction is wanted."""
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
    """Predictions in row order. `next` is the row to go on with, None behind the last; where it is not `ready` yet,
    its chunk has not been scored."""

    predictions: list[dict[str, Any]]
    next: int | None
    ready: bool
    rows: int  #: of the job


def chosen(
    storage: Storage, job: str, order: NDArray[np.int64], offset: int, limit: int, row_filter: RowFilter, rows: int
) -> Page:
    """The same of rows in an `order` of their own, from the one at place `offset` on; `next` is a place in it."""
    stored = StoredJob.open(storage, job)
    held: dict[int, list[bytes]] = {}
    found: list[dict[str, Any]] = []
    last = min(len(order), offset + _LOOKED_UP)
    for place in range(offset, last):
        if len(found) == limit:
            return Page(found, place, ready=True, rows=rows)
        row = int(order[place])
        number = stored.chunk_of(row)
        if number not in held:
            if len(held) == _HELD:
                del held[next(iter(held))]
            held[number] = _lines(stored, number) or []
        if held[number]:
            prediction = json.loads(held[number][row - stored.first_rows[number]])
            found += [prediction] if row_filter.fits(prediction) else []
    return Page(found, last if last < len(order) else None, ready=True, rows=rows)


def page(storage: Storage, job: str, offset: int, limit: int, row_filter: RowFilter) -> Page:
    """At most `limit` predictions from row `offset` on. Raises UnknownJob, and BulkqaError for a part of a job that has
    ended which was altered or removed."""
    stored = StoredJob.open(storage, job)
    rows = stored.manifest.rows
    found: list[dict[str, Any]] = []
    at = offset
    while at < rows and at - offset < _LOOKED_THROUGH:
        number = stored.chunk_of(at)
        lines = _lines(stored, number)
        if lines is None:
            return Page(found, at, ready=False, rows=rows)
        for line in lines[at - stored.first_rows[number] :]:
            if len(found) == limit:
                return Page(found, at, ready=True, rows=rows)
            prediction = json.loads(line)
            found += [prediction] if row_filter.fits(prediction) else []
            at += 1
    return Page(found, at if at < rows else None, ready=True, rows=rows)


def _lines(job: StoredJob, number: int) -> list[bytes] | None:
    """The predictions of a chunk, None if it was not scored yet."""
    if (lines := job.lines(number)) is not None:
        return lines.splitlines()
    if not job.storage.exists(layout.report(job.id)):
        return None
    raise BulkqaError(
        f"part {number} of job {job.id} was altered or removed since it ended",
        Remedy("Get all predictions with: ", Call("results", job.id)),
    )
