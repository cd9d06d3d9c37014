"""The scores of a job's answers: their distribution, the rows with the lowest, its flags, and what a promise is made
from. Each part is read once."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.ledger.stored import StoredJob
from contract.storage import Storage
from producer.results.lines import lines_of

#: Bins of the histogram, from 0 to 1.
BINS = 20
#: Seconds that one call may read for: the next call goes on from there.
_PATIENCE = 0.5
#: Jobs whose scores are cached: 17 bytes a row, and 24 an answer where a promise was asked for.
_JOBS = 8
#: Answers of which those of a job are a sample (`Answers.as_sample`).
_VERY_MANY = 2_000_000


@dataclass(frozen=True, slots=True)
class Spread:
    """How many rows have their score in each of BINS equal bins from 0 to 1, with an answer and without."""

    answered: list[int]
    no_answer: list[int]
    rows: int  #: of the job
    read: int  #: rows that are included so far; failed rows are, though they have no score
    flags: dict[str, int]  #: how many of these have each flag


@dataclass(frozen=True, slots=True)
class Scored:
    """Consecutive rows, such as those of a part: (R,) each."""

    scores: NDArray[np.float64]  #: NaN: the row failed; with its sign bit set: it has no answer
    owners: NDArray[np.int64]  #: digest of the document or group, whose rows stand or fall together; 0: of none
    matches: NDArray[np.int8]  #: 1: the answer is that of the references, 0: it is not, -1: there are none

    @classmethod
    def of(cls, predictions: Sequence[dict[str, Any]]) -> Scored:
        """Those of predictions."""
        owners = (prediction.get("document") or prediction.get("group") for prediction in predictions)
        return cls(
            np.array([_score(prediction) for prediction in predictions], np.float64),
            np.array([0 if owner is None else _digest(owner) for owner in owners], np.int64),
            np.array([int(prediction.get("exact_match", -1)) for prediction in predictions], np.int8),
        )


@dataclass(frozen=True)
class Answers:
    """The answers of a job, in the order of their rows: (A,) each."""

    rows: NDArray[np.int64]
    scores: NDArray[np.float64]
    owners: NDArray[np.int64]  #: as in `Scored`
    matches: NDArray[np.int8]  #: likewise
    total: int  #: rows of the job, answered or not
    weight: int = 1  #: how many answers each stands for

    @classmethod
    def of(cls, parts: Iterable[Scored]) -> Answers:
        """Those in the parts of a job, in order."""
        parts = [Scored.of([]), *parts]
        scores = np.concatenate([part.scores for part in parts])
        rows = np.flatnonzero(~np.signbit(scores) & ~np.isnan(scores))
        owners = np.concatenate([part.owners for part in parts])[rows]
        matches = np.concatenate([part.matches for part in parts])[rows]
        return cls(rows, scores[rows], owners, matches, len(scores))

    @cached_property
    def ranked(self) -> NDArray[np.float64]:
        """The scores, the lowest first."""
        return np.repeat(np.sort(self.scores), self.weight)

    def as_sample(self) -> Answers:
        """The same as a sample of very many like them, of which hardly any were judged: what is promised of those holds
        for others that are drawn from them."""
        weight = max(1, _VERY_MANY // max(1, len(self.scores)))
        return replace(self, total=self.total * weight, weight=weight)

    def of_question(self, question: int, questions: int) -> Answers:
        """Those for one of the questions about a job's documents."""
        those = self.rows % questions == question
        total = len(range(question, self.total, questions))
        return Answers(self.rows[those], self.scores[those], self.owners[those], self.matches[those], total)


@dataclass
class _Job:
    """The scores of one job."""

    parts: dict[int, Scored] = field(default_factory=dict)  #: by number of the chunk
    flags: Counter[str] = field(default_factory=Counter)
    order: NDArray[np.int64] | None = None
    ordered: int = -1  #: how many parts are in `order`
    answers: Answers | None = None  #: once the job has ended and all was read


class Scores:
    """A cache of the scores of recently viewed jobs."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._jobs: OrderedDict[tuple[str, float], _Job] = OrderedDict()
        self._lock = threading.Lock()

    def spread(self, job: str) -> Spread:
        """The distribution of a job's scores, of the parts read so far. Raises UnknownJob."""
        with self._lock:
            stored = StoredJob.open(self._storage, job)
            cached = self._read(stored)
            scores = np.concatenate([np.empty(0), *(part.scores for part in cached.parts.values())])
        edges, is_without = np.linspace(0, 1, BINS + 1), np.signbit(scores)
        return Spread(
            answered=np.histogram(scores[~is_without & ~np.isnan(scores)], edges)[0].tolist(),
            no_answer=np.histogram(-scores[is_without], edges)[0].tolist(),
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
                numbers = sorted(cached.parts)
                answers = Answers.of(cached.parts[number] for number in numbers)
                rows = [np.arange(*stored.first_rows[number : number + 2]) for number in numbers]
                order = np.argsort(answers.scores, kind="stable")
                cached.order = np.concatenate([np.empty(0, int), *rows])[answers.rows][order]
                cached.ordered = len(cached.parts)
            return cached.order

    def answers(self, job: str) -> Generator[float, None, Answers]:
        """The answers of a job that has ended, in steps: each reads for half a second at most, and none waits. A part
        that is damaged is read from the published document. Raises UnknownJob, BulkqaError if that is too."""
        while (answers := self._answers(job)) is None:
            yield 0.0
        return answers

    def _answers(self, job: str) -> Answers | None:
        with self._lock:
            stored = StoredJob.open(self._storage, job)
            cached = self._read(stored, whole=True)
            if cached.answers is None and len(cached.parts) == stored.manifest.chunks:
                cached.answers = Answers.of(cached.parts[number] for number in range(stored.manifest.chunks))
            return cached.answers

    def _read(self, job: StoredJob, *, whole: bool = False) -> _Job:
        """Read parts that were not read yet, for as long as one call may. `whole`: also those that are damaged, of a
        job that has ended."""
        key = job.id, job.manifest.created_at  # a job with a key may have been removed, and submitted again
        cached = self._jobs.pop(key, None) or _Job()
        self._jobs[key] = cached
        while len(self._jobs) > _JOBS:
            self._jobs.popitem(last=False)
        until = time.monotonic() + _PATIENCE
        for number in range(job.manifest.chunks):
            if number in cached.parts:
                continue
            if time.monotonic() > until:
                break
            lines = lines_of(job, number) if whole else job.lines(number)
            if lines is not None:
                predictions = [json.loads(line) for line in lines.splitlines()]
                cached.flags.update(flag for prediction in predictions for flag in prediction.get("flags", ()))
                cached.parts[number] = Scored.of(predictions)
        return cached


def _score(prediction: dict[str, Any]) -> float:
    score = prediction.get("score")
    if score is None:
        return float("nan")
    return float(score) if prediction["status"] == "answered" else -float(score)


def _digest(text: str) -> int:
    """Of a text, never 0."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), signed=True) or 1
