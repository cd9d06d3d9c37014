"""Pages of predictions. Only the parts that hold a page are read, however large the job is."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.errors import BulkqaError, UsageError
from contract.format import layout
from contract.format.job import Manifest
from contract.ledger.stored import StoredJob
from contract.remedy import Call, Remedy
from contract.storage import Storage
from producer.results.lines import lines_of

#: Rows that one call looks through at most when it filters: callers go on from `next`.
_LOOKED_THROUGH = 20_000
#: The same if each row may be in another part; and how many parts are held in memory meanwhile.
_LOOKED_UP, _HELD = 500, 16
#: Bytes of a page, at most, unless a single row has more.
_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class RowFilter:
    """Which predictions to show. A field that is not set matches all."""

    status: tuple[str, ...] = ()  #: one of these
    flag: str | None = None
    below: float | None = None  #: only scores below it
    above: float | None = None  #: only scores of at least this
    group: str | None = None
    side: Side | None = None  #: of a threshold
    text: str | None = None  #: in the question, context, answer, id or raw text, case-insensitive

    def matches(self, prediction: dict[str, Any]) -> bool:
        """Whether to show a prediction."""
        return (
            (not self.status or prediction["status"] in self.status)
            and (self.flag is None or self.flag in prediction.get("flags", ()))
            and (self.below is None or prediction.get("score", 1.0) < self.below)
            and (self.above is None or prediction.get("score", -1.0) >= self.above)
            and (self.group is None or prediction.get("group") == self.group)
            and (self.side is None or self.side.matches(prediction))
            and (self.text is None or _mentions(prediction, self.text.casefold()))
        )


def matching(lines: Iterable[bytes], row_filter: RowFilter | Side) -> Iterator[bytes]:
    """Those of the lines, in blocks of whole ones, whose prediction matches."""
    for block in lines:
        matched = [line for line in block.splitlines(keepends=True) if row_filter.matches(json.loads(line))]
        if matched:
            yield b"".join(matched)


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two sides of a threshold: the answers whose score is at least that, or all other rows."""

    threshold: float | None  #: None: that of the promise by which the job is split
    above: bool

    def matches(self, prediction: dict[str, Any]) -> bool:
        """Whether a prediction is on this side."""
        if self.threshold is None:
            return prediction.get("trusted") is self.above
        is_above = prediction["status"] == "answered" and prediction["score"] >= self.threshold
        return is_above is self.above


def _mentions(prediction: dict[str, Any], text: str) -> bool:
    names = ("question", "context", "answer", "id", "raw")
    return any(text in str(prediction.get(name) or "").casefold() for name in names)


class Pile:
    """The predictions of a page, until there are enough rows or bytes of them."""

    def __init__(self, limit: int, around: int | None) -> None:
        self.predictions: list[dict[str, Any]] = []
        self._limit = limit
        self._around = around
        self._bytes = 0

    def takes(self, prediction: dict[str, Any]) -> bool:
        """Add a prediction, its context cut; False if there is no more room for it."""
        if self._around is not None:
            prediction = cut(prediction, self._around)
        size = len(json.dumps(prediction, ensure_ascii=False).encode())
        if len(self.predictions) == self._limit or (self.predictions and self._bytes + size > _BYTES):
            return False
        self._bytes += size
        self.predictions.append(prediction)
        return True


def cut(prediction: dict[str, Any], around: int) -> dict[str, Any]:
    """The same prediction with `around` code points of its context before and after the answer, or its beginning if
    there is none. Of a context that is longer, `context_at` says where in it they begin, and `context_length` how long
    it is: `start` and `end` go on counting in the whole."""
    context = prediction.get("context")
    first, last = (prediction.get(name) or 0 for name in ("start", "end"))
    begin, end = max(0, first - around), last + around
    if not isinstance(context, str) or (begin == 0 and end >= len(context)):
        return prediction
    return prediction | {"context": context[begin:end], "context_at": begin, "context_length": len(context)}


@dataclass(frozen=True, slots=True)
class Page:
    """Some predictions: as many as requested, or fewer if they are large."""

    predictions: list[dict[str, Any]]
    next: int | None  #: the offset of the next page; None: this was the last
    ready: bool  #: False: the chunk at `next` has not been scored yet
    rows: int  #: of the job


@dataclass(frozen=True, slots=True)
class Matches:
    """How many predictions match a filter, of those that were looked through."""

    count: int
    next: int | None  #: where to go on; None: these were all
    ready: bool  #: False: the chunk at `next` has not been scored yet
    rows: int  #: of the job


def matches(storage: Storage, job: str, offset: int, row_filter: RowFilter) -> Matches:
    """Count the matches from row `offset` on, in as many rows as one call looks through. Raises as `page` does."""
    stored = StoredJob.open(storage, job)
    rows, at, count = stored.manifest.rows, offset, 0
    while at < rows and at - offset < _LOOKED_THROUGH:
        number = stored.chunk_of(at)
        lines = _lines(stored, number)
        if lines is None:
            return Matches(count, at, ready=False, rows=rows)
        count += sum(row_filter.matches(json.loads(line)) for line in lines[at - stored.first_rows[number] :])
        at = stored.first_rows[number + 1]
    return Matches(count, at if at < rows else None, ready=True, rows=rows)


def page(storage: Storage, job: str, offset: int, limit: int, row_filter: RowFilter, around: int | None = None) -> Page:
    """At most `limit` predictions from row `offset` on, in row order, their contexts cut as by `cut` if `around` is
    given. Raises UnknownJob, and BulkqaError if the job has ended and a part was altered or removed since."""
    stored = StoredJob.open(storage, job)
    rows = stored.manifest.rows
    pile = Pile(limit, around)
    at = offset
    while at < rows and at - offset < _LOOKED_THROUGH:
        number = stored.chunk_of(at)
        lines = _lines(stored, number)
        if lines is None:
            return Page(pile.predictions, at, ready=False, rows=rows)
        for line in lines[at - stored.first_rows[number] :]:
            prediction = json.loads(line)
            if row_filter.matches(prediction) and not pile.takes(prediction):
                return Page(pile.predictions, at, ready=True, rows=rows)
            at += 1
    return Page(pile.predictions, at if at < rows else None, ready=True, rows=rows)


def page_in_order(
    storage: Storage,
    job: str,
    order: NDArray[np.int64],
    offset: int,
    limit: int,
    row_filter: RowFilter,
    around: int | None = None,
) -> Page:
    """The same for rows in another `order`: `offset`, `next` and `rows` are positions in it."""
    stored = StoredJob.open(storage, job)
    held: dict[int, list[bytes]] = {}
    pile, rows = Pile(limit, around), len(order)
    last = min(len(order), offset + _LOOKED_UP)
    for place in range(offset, last):
        row = int(order[place])
        number = stored.chunk_of(row)
        if number not in held:
            if len(held) == _HELD:
                del held[next(iter(held))]
            held[number] = _lines(stored, number) or []
        if held[number]:
            prediction = json.loads(held[number][row - stored.first_rows[number]])
            if row_filter.matches(prediction) and not pile.takes(prediction):
                return Page(pile.predictions, place, ready=True, rows=rows)
    return Page(pile.predictions, last if last < rows else None, ready=True, rows=rows)


def of_question(manifest: Manifest, question: int) -> NDArray[np.int64]:
    """The rows for one of the questions about a job's documents, from 0. Raises UsageError if there is none."""
    count = manifest.documents.questions if manifest.documents else 0
    if not 0 <= question < count:
        raise UsageError(f"job {manifest.id} asks {count:,} questions, and no question {question}")
    return np.arange(question, manifest.rows, count)


def own(manifest: Manifest, rows: Sequence[int]) -> NDArray[np.int64]:
    """Rows, in order. Raises UsageError for one that the job does not have."""
    if any(not 0 <= row < manifest.rows for row in rows):
        raise UsageError(
            f"job {manifest.id} has {manifest.rows:,} rows, counted from 0, and not all of these are among them"
        )
    return np.array(rows, np.int64)


def details(storage: Storage, job: str, rows: Sequence[int], around: int) -> list[dict[str, Any]]:
    """The predictions of rows of a job that has ended, in the order in which these are given, their contexts cut. Each
    part is read once. Raises as `page` does."""
    stored, by_chunk = StoredJob.open(storage, job), defaultdict[int, list[int]](list)
    for row in rows:
        by_chunk[stored.chunk_of(row)].append(row)
    found = dict[int, dict[str, Any]]()
    for number, own_rows in sorted(by_chunk.items()):
        lines = lines_of(stored, number).splitlines()
        for row in own_rows:
            found[row] = cut(json.loads(lines[row - stored.first_rows[number]]), around)
    return [found[row] for row in rows]


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
