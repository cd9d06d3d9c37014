"""The scores of a job's answers: their distribution, the rows with the lowest, its flags. Each part is read once."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.ledger.stored import StoredJob
from contract.storage import Storage

#: Bins of the histogram, from 0 to 1.
BINS = 20
#: Seconds that one call may read for: the next call goes on from there.
_PATIENCE = 0.5
#: Jobs whose scores are cached: 4 bytes a row.
_JOBS = 8


@dataclass(frozen=True, slots=True)
class Spread:
    """How many rows have their score in each of BINS equal bins from 0 to 1, with an answer and without."""

    answered: list[int]
    no_answer: list[int]
    rows: int  #: of the job
    read: int  #: rows that are included so far; failed rows are, though they have no score
    flags: dict[str, int]  #: how many of these have each flag


@dataclass
class _Job:
    """The scores of one job."""

    #: By number of the chunk. NaN: the row failed; a negative score: it has no answer.
    parts: dict[int, NDArray[np.float32]] = field(default_factory=dict)
    flags: Counter[str] = field(default_factory=Counter)
    order: NDArray[np.int64] | None = None
    ordered: int = -1  #: how many parts are in `order`


class Scores:
    """A cache of the scores of recently viewed jobs."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._jobs: OrderedDict[str, _Job] = OrderedDict()
        self._lock = threading.Lock()

    def spread(self, job: str) -> Spread:
        """The distribution of a job's scores, of the parts read so far. Raises UnknownJob."""
        with self._lock:
            stored = StoredJob.open(self._storage, job)
            cached = self._read(stored)
        scores = np.concatenate([*cached.parts.values(), np.empty(0, np.float32)])
        edges = np.linspace(0, 1, BINS + 1)
        return Spread(
            answered=np.histogram(scores[scores >= 0], edges)[0].tolist(),
            no_answer=np.histogram(-scores[np.signbit(scores)], edges)[0].tolist(),
            rows=stored.manifest.rows,
            read=len(scores),
            flags=dict(sorted(cached.flags.items())),
        )

    def lowest(self, job: str) -> NDArray[np.int64]:
        """The rows with an answer, the lowest score first, of the parts read so far. Raises UnknownJob."""
        with self._lock:
            stored = StoredJob.open(self._storage, job)
            cached = self._read(stored)
            if cached.order is None or cached.ordered != len(cached.parts):
                firsts = stored.first_rows
                numbers = sorted(cached.parts)
                scores = np.concatenate([cached.parts[n] for n in numbers] or [np.empty(0, np.float32)])
                rows = np.concatenate(
                    [np.arange(len(cached.parts[n])) + firsts[n] for n in numbers] or [np.empty(0, int)]
                )
                with_answer = scores >= 0
                order = np.argsort(scores[with_answer], kind="stable")
                cached.order, cached.ordered = rows[with_answer][order], len(cached.parts)
            return cached.order

    def _read(self, job: StoredJob) -> _Job:
        """Read parts that were not read yet, for as long as one call may."""
        known = self._jobs.pop(job.id, None) or _Job()
        self._jobs[job.id] = known
        while len(self._jobs) > _JOBS:
            self._jobs.popitem(last=False)
        until = time.monotonic() + _PATIENCE
        for number in range(job.manifest.chunks):
            if number in known.parts:
                continue
            if time.monotonic() > until:
                break
            if (lines := job.lines(number)) is not None:
                predictions = [json.loads(line) for line in lines.splitlines()]
                known.flags.update(flag for prediction in predictions for flag in prediction.get("flags", ()))
                known.parts[number] = np.array([_score(prediction) for prediction in predictions], np.float32)
        return known


def _score(prediction: dict[str, Any]) -> float:
    score = prediction.get("score")
    if score is None:
        return float("nan")
    return float(score) if prediction["status"] == "answered" else -float(score)
