"""`producer diff`: where two jobs answer differently. Streams: no more of either job than a part is held.

Joined by row, or by id, for which one job's outcomes go to a temporary database. Rows are told as they are found.
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

_KEPT = ("row", "id", "question", "status", "answer", "start", "end", "score")


def differences(
    storage: Storage, first: str, second: str, summary: Summary, *, by_id: bool = False
) -> Iterator[dict[str, Any]]:
    """Rows whose outcome is another in the second job; `summary` is counted up meanwhile."""
    pairs = _by_id(storage, first, second) if by_id else zip_longest(_rows(storage, first), _rows(storage, second))
    for one, other in pairs:
        if one is None or other is None:
            summary.missing += 1
        elif one["question"] != other["question"]:
            summary.not_comparable += 1
        elif kind := _kind(one, other):
            setattr(summary, kind, getattr(summary, kind) + 1)
            yield {
                "kind": kind,
                "row": one["row"],
                "id": one["id"],
                "question": one["question"],
                "first": _outcome(one),
                "second": _outcome(other),
            }
        else:
            summary.same += 1


def _kind(one: dict[str, Any], other: dict[str, Any]) -> str | None:
    """How two outcomes of one question differ. The place counts: the same words elsewhere are another answer."""
    answered = (one["status"] == "answered", other["status"] == "answered")
    if answered == (True, False):
        return "only_first_answered"
    if answered == (False, True):
        return "only_second_answered"
    places = [(each["status"], each["answer"], each["start"], each["end"]) for each in (one, other)]
    return "changed" if places[0] != places[1] else None


def _outcome(prediction: dict[str, Any]) -> dict[str, Any]:
    return {name: prediction[name] for name in ("status", "answer", "start", "end", "score")}


def _rows(storage: Storage, job: str) -> Iterator[dict[str, Any]]:
    for block in ready_lines(job, storage):
        for line in block.splitlines():
            prediction = json.loads(line)
            yield {name: prediction.get(name) for name in _KEPT}


def _by_id(storage: Storage, first: str, second: str) -> Iterator[tuple[dict[str, Any] | None, dict[str, Any] | None]]:
    """Pairs in the order of the first job. Rows without an id have no partner; of equal ids the first row counts."""
    with closing(sqlite3.connect("", isolation_level=None)) as db:
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-32768"):
            db.execute(f"PRAGMA {pragma}")
        db.execute("CREATE TABLE found (id TEXT PRIMARY KEY, row TEXT, used INTEGER) WITHOUT ROWID")
        db.execute("BEGIN")
        for row in _rows(storage, second):
            added = db.execute("INSERT OR IGNORE INTO found VALUES (?, ?, 0)", (row["id"], json.dumps(row)))
            if row["id"] is None or not added.rowcount:
                yield None, row
        for row in _rows(storage, first):
            partner = db.execute("SELECT row FROM found WHERE id = ? AND used = 0", (row["id"],)).fetchone()
            db.execute("UPDATE found SET used = 1 WHERE id = ?", (row["id"],))
            yield row, json.loads(partner[0]) if partner else None
        for (text,) in db.execute("SELECT row FROM found WHERE used = 0"):
            yield None, json.loads(text)
