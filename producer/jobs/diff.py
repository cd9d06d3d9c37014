"""`producer diff`: the rows that two jobs answer differently. Streams: at most one part of each job is in memory.

Rows are joined by number, or by id: then the rows of one job go through a temporary database on disk.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import zip_longest
from typing import Any

from contract.storage import Storage
from producer.jobs.diff_document import Summary
from producer.results.lines import ready_lines

#: The fields of a prediction that are compared or shown.
_FIELDS = ("row", "id", "question", "status", "answer", "start", "end", "score")


def differences(
    storage: Storage, first: str, second: str, summary: Summary, *, by_id: bool = False
) -> Iterator[dict[str, Any]]:
    """The rows whose outcome differs in the second job. Adds to `summary` on the way."""
    pairs = _by_id(storage, first, second) if by_id else zip_longest(_rows(storage, first), _rows(storage, second))
    for row, other in pairs:
        if row is None or other is None:
            summary.missing += 1
        elif row["question"] != other["question"]:
            summary.not_comparable += 1
        elif kind := _kind(row, other):
            setattr(summary, kind, getattr(summary, kind) + 1)
            yield {
                "kind": kind,
                "row": row["row"],
                "id": row["id"],
                "question": row["question"],
                "first": _outcome(row),
                "second": _outcome(other),
            }
        else:
            summary.same += 1


def _kind(row: dict[str, Any], other: dict[str, Any]) -> str | None:
    """How two outcomes of one question differ; None if they don't. The same words elsewhere are another answer."""
    answered = (row["status"] == "answered", other["status"] == "answered")
    if answered == (True, False):
        return "only_first_answered"
    if answered == (False, True):
        return "only_second_answered"
    before, after = ([each[name] for name in ("status", "answer", "start", "end")] for each in (row, other))
    return "changed" if before != after else None


def _outcome(prediction: dict[str, Any]) -> dict[str, Any]:
    return {name: prediction[name] for name in ("status", "answer", "start", "end", "score")}


def _rows(storage: Storage, job: str) -> Iterator[dict[str, Any]]:
    for block in ready_lines(job, storage):
        for line in block.splitlines():
            prediction = json.loads(line)
            yield {name: prediction.get(name) for name in _FIELDS}


def _by_id(storage: Storage, first: str, second: str) -> Iterator[tuple[dict[str, Any] | None, dict[str, Any] | None]]:
    """Pairs in the order of the first job. Rows without an id have no partner; of equal ids the first counts."""
    with closing(sqlite3.connect("", isolation_level=None)) as db:
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-32768"):
            db.execute(f"PRAGMA {pragma}")
        db.execute("CREATE TABLE rows (id TEXT PRIMARY KEY, row TEXT, used INTEGER) WITHOUT ROWID")
        db.execute("BEGIN")
        for row in _rows(storage, second):
            added = db.execute("INSERT OR IGNORE INTO rows VALUES (?, ?, 0)", (row["id"], json.dumps(row)))
            if row["id"] is None or not added.rowcount:
                yield None, row
        for row in _rows(storage, first):
            partner = db.execute("SELECT row FROM rows WHERE id = ? AND used = 0", (row["id"],)).fetchone()
            db.execute("UPDATE rows SET used = 1 WHERE id = ?", (row["id"],))
            yield row, json.loads(partner[0]) if partner else None
        for (text,) in db.execute("SELECT row FROM rows WHERE used = 0"):
            yield None, json.loads(text)
