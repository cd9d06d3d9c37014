"""Outcomes that a chunk's rows need no model for: what they carry from another job, and what an earlier row of the job
with the same text has.

Both are exact: an answer depends on the row, the model and the options only, if the same code computed it with the same
numerics. Whether that holds is decided here. Knows no Celery, and no model.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from contract.format.job import Answer, Manifest, Row, RowError
from contract.ledger.stored import Damage, StoredJob
from contract.reuse.carried import Carried, Way, outcome_from, outcome_of
from contract.reuse.keys import of_texts

log = logging.getLogger("bulkqa.worker")

Outcome = Answer | RowError

#: Numerics of a part that has outcomes of other numerics among its own: equal to none.
MIXED = "mixed"


class Repeats:
    """The answers that this process gave to rows of a job, for later rows with the same text.

    They are in a file of sqlite's own, which nobody else sees and which ends with the process. At `limit` bytes it
    begins again; where the disk has no room for it, rows are scored again.
    """

    def __init__(self, limit: int = 256 << 20) -> None:
        self._limit = limit
        self._bytes = 0
        # Without a path: a temporary file, most of it in the cache of the system.
        self._file = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        self._file.execute("PRAGMA journal_mode = OFF")
        with suppress(sqlite3.Error):
            self._file.execute("CREATE TABLE answers (key BLOB PRIMARY KEY, outcome BLOB) WITHOUT ROWID")

    def keys(self, job: Manifest, rows: Sequence[Row]) -> dict[int, bytes]:
        """The keys here of the rows that were not rejected, by row number. They are of this job alone."""
        seed = f"{job.id} {job.created_at} ".encode()
        own = zip(rows, of_texts((row.question or "", row.context or "") for row in rows), strict=True)
        return {row.row: blake2b(seed + key, digest_size=16).digest() for row, key in own if row.error is None}

    def recall(self, keys: Mapping[int, bytes]) -> dict[int, Outcome]:
        """The answers to rows whose text was answered before, by row number."""
        recalled = {}
        with suppress(sqlite3.Error):
            for row, key in keys.items():
                if found := self._file.execute("SELECT outcome FROM answers WHERE key = ?", (key,)).fetchone():
                    recalled[row] = outcome_from(json.loads(found[0]))
        return recalled

    def keep(self, keys: Mapping[int, bytes], predictions: Iterable[Mapping[str, Any]]) -> None:
        """Remember the answers among some predictions."""
        answers = [
            (keys[prediction["row"]], outcome_of(prediction))
            for prediction in predictions
            if prediction["row"] in keys and prediction["status"] != "error"
        ]
        size = sum(len(key) + len(outcome or b"") for key, outcome in answers)
        with suppress(sqlite3.Error), self._file:
            self._file.execute("BEGIN")
            if self._bytes + size > self._limit:
                self._file.execute("DELETE FROM answers")
                self._bytes = 0
            self._file.executemany("INSERT OR IGNORE INTO answers VALUES (?, ?)", answers)
            self._bytes += size

    def close(self) -> None:
        """Forget all."""
        self._file.close()


@dataclass(frozen=True, slots=True)
class Reused:
    """The outcomes that a chunk's rows carry and that are used."""

    outcomes: Mapping[int, Outcome] = field(default_factory=dict)  #: by row number
    others: int = 0  #: of those, the ones that were computed in another way
    seconds: float = 0.0  #: processor seconds that they took
    batch_invariant: bool = True


@dataclass(frozen=True, slots=True)
class Spared:
    """The outcomes of a chunk that are known without the model."""

    reused: Reused
    repeats: Mapping[int, Outcome]  #: of rows whose text was answered in an earlier chunk, by row number
    keys: Mapping[int, bytes]  #: of all rows that carry nothing
    memory: Repeats | None
    way: Way

    @property
    def outcomes(self) -> dict[int, Outcome]:
        """All of them, by row number."""
        return {**self.reused.outcomes, **self.repeats}

    def keep(self, predictions: Iterable[Mapping[str, Any]]) -> None:
        """Remember the answers of this chunk for later ones."""
        if self.memory:
            self.memory.keep(self.keys, predictions)

    def footer(self, rows: Sequence[Row], predictions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """What the part's footer says about where its outcomes come from, and how they were computed."""
        own: Counter[tuple[str | None, str | None]] = Counter()
        for row, prediction in zip(rows, predictions, strict=True):
            cancelled = prediction.get("error", {}).get("code") == "job_cancelled"
            if row.error is None and not cancelled and row.row not in self.outcomes:
                own[row.question, row.context] += 1
        return {
            "scored": len(own),
            "repeated": own.total() - len(own) + len(self.repeats),
            "reused": len(self.reused.outcomes),
            "reused_others": self.reused.others,
            "saved_seconds": round(self.reused.seconds, 3),
            "numerics": MIXED if self.reused.others else self.way.numerics,
        }


def spared(job: StoredJob, chunk: int, rows: Sequence[Row], way: Way, memory: Repeats | None) -> Spared:
    """The outcomes of a chunk that take no model. `way`: how this worker computes answers; `memory`: those
    so far, None if they depend on their neighbours."""
    reused = _reused(job, chunk, rows, way)
    keys = memory.keys(job.manifest, [row for row in rows if row.row not in reused.outcomes]) if memory else {}
    return Spared(reused, memory.recall(keys) if memory else {}, keys, memory, way)


def _reused(job: StoredJob, chunk: int, rows: Sequence[Row], way: Way) -> Reused:
    """What the rows of a chunk carry, as far as this worker would compute the same: by the same version of the
    answering rule and, unless the job takes others too, with the same numerics."""
    carried = job.carried(chunk)
    if isinstance(carried, Damage):
        log.warning("job %s chunk %d: %s; its rows are scored", job.id, chunk, carried.reason)
        return Reused()
    takes_any = job.manifest.reuse is not None and job.manifest.reuse.any
    used: dict[int, Carried] = {}
    for row in rows:
        each = carried.get(row.row)
        if each is None or row.error is not None or each.way.rule != way.rule:
            continue
        if (takes_any or _alike(each.way, way)) and _stands(each.outcome, row.context or ""):
            used[row.row] = each
    return Reused(
        {row: each.outcome for row, each in used.items()},
        sum(not _alike(each.way, way) for each in used.values()),
        sum(each.way.seconds for each in used.values()),
        all(each.way.batch_invariant for each in used.values()),
    )


def _alike(then: Way, now: Way) -> bool:
    """Whether two ways give the same digits."""
    return then.batch_invariant and now.batch_invariant and then.numerics == now.numerics


def _stands(outcome: Outcome, context: str) -> bool:
    """Whether all answers are at their places in the context."""
    return isinstance(outcome, RowError) or all(context[s.start : s.end] == s.answer for s in outcome.spans)
