"""`producer diff`: the rows that two jobs answer differently. Streams: at most one part of each job is in memory.

Rows are joined by number, or by id; groups by name: then those of one job go through a temporary database on disk.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import chain, zip_longest
from typing import Any, Literal

from contract.storage import Storage
from producer.jobs.diff_document import By, Summary
from producer.results import groups
from producer.results.lines import AHEAD, ready_lines

_Prediction = dict[str, Any]
#: A row and the one that it is compared with; None: it is in one job only.
_Pair = tuple[_Prediction | None, _Prediction | None]

#: Rows that are read for one batch of changes.
_BATCH = 1000
#: The fields of a prediction that are compared or shown.
_FIELDS = ("row", "id", "question", "status", "answer", "start", "end", "score")
#: Those that tell whether an answer is the same. The row of a group's answer does not count: a file may have more rows.
_COMPARED = ("status", "answer", "passage", "document", "start", "end")
_NEEDED = {*_FIELDS, *_COMPARED, "group"}


def differences(
    storage: Storage, first: str, second: str, summary: Summary, *, by: By = "row"
) -> Iterator[dict[str, Any]]:
    """The rows, or groups, whose outcome differs in the second job. Adds to `summary` on the way."""
    return chain.from_iterable(batches(storage, first, second, summary, by=by))


def batches(
    storage: Storage, first: str, second: str, summary: Summary, *, by: By = "row", ahead: int = AHEAD
) -> Iterator[list[dict[str, Any]]]:
    """The same in batches, some of them empty: each takes as long as a thousand rows, however few differ. `ahead` as
    for `ready_lines`."""
    if by == "group":
        rows, others = (_fields(groups.blocks(storage, job)) for job in (first, second))
    else:
        rows, others = (_fields(ready_lines(job, storage, ahead=ahead)) for job in (first, second))
    changes = []
    for number, pair in enumerate(zip_longest(rows, others) if by == "row" else _by(by, rows, others), 1):
        change = pair and _change(pair[0], pair[1], summary)
        if change:
            changes.append(change)
        if number % _BATCH == 0:
            yield changes
            changes = []
    yield changes


def _change(row: _Prediction | None, other: _Prediction | None, summary: Summary) -> dict[str, Any] | None:
    """How the outcome of a row differs; None if it doesn't. Counted in `summary`."""
    if row is None or other is None:
        summary.missing += 1
        return None
    if row["question"] != other["question"]:
        summary.not_comparable += 1
        return None
    kind = _kind(row, other)
    if kind is None:
        summary.same += 1
        return None
    setattr(summary, kind, getattr(summary, kind) + 1)
    head = {name: row[name] for name in ("group", "row", "id", "question") if name in row}
    return {"kind": kind} | head | {"first": _outcome(row), "second": _outcome(other)}


def _kind(row: _Prediction, other: _Prediction) -> str | None:
    """How two outcomes of one question differ; None if they don't. The same words elsewhere are another answer."""
    answered = (row["status"] == "answered", other["status"] == "answered")
    if answered == (True, False):
        return "only_first_answered"
    if answered == (False, True):
        return "only_second_answered"
    before, after = ([each.get(name) for name in _COMPARED] for each in (row, other))
    return "changed" if before != after else None


def _outcome(prediction: _Prediction) -> dict[str, Any]:
    return {name: prediction.get(name) for name in ("status", "answer", "start", "end", "score")}


def _fields(blocks: Iterable[bytes]) -> Iterator[_Prediction]:
    """Rows or groups, given as JSON lines, by the fields that are needed."""
    for block in blocks:
        for line in block.splitlines():
            prediction = json.loads(line)
            yield dict.fromkeys(_FIELDS) | {name: prediction[name] for name in _NEEDED & prediction.keys()}


def _key(name: Literal["id", "group"], row: _Prediction) -> str | None:
    """What a row, or group, is found by. A question has its id, or its number, in each document."""
    if name == "id" and row.get("document") is not None:
        return f"{row['document']}\n{row['group']}"
    found: str | None = row[name]
    return found


def _by(
    name: Literal["id", "group"], rows: Iterable[_Prediction], others: Iterable[_Prediction]
) -> Iterator[_Pair | None]:
    """Pairs of one id, or group, in the order of the first job. Rows without an id have no partner; of equal ids the
    first counts. None: a row was read, and there is no pair yet."""
    with closing(sqlite3.connect("", isolation_level=None)) as db:
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-32768"):
            db.execute(f"PRAGMA {pragma}")
        db.execute("CREATE TABLE rows (id TEXT PRIMARY KEY, row TEXT, used INTEGER) WITHOUT ROWID")
        db.execute("BEGIN")
        for row in others:
            key = _key(name, row)
            added = db.execute("INSERT OR IGNORE INTO rows VALUES (?, ?, 0)", (key, json.dumps(row)))
            yield (None, row) if key is None or not added.rowcount else None
        for row in rows:
            key = _key(name, row)
            partner = db.execute("SELECT row FROM rows WHERE id = ? AND used = 0", (key,)).fetchone()
            db.execute("UPDATE rows SET used = 1 WHERE id = ?", (key,))
            yield row, json.loads(partner[0]) if partner else None
        for (text,) in db.execute("SELECT row FROM rows WHERE used = 0"):
            yield None, json.loads(text)
