"""The verdicts of a job: stored, read, and what they promise.

Each call that judges makes one object, created once and never changed: so two people who judge at once, or a server
that is killed, lose none. Predictions, parts and their digests are not touched.
"""

from __future__ import annotations

import json
import threading
import time
from collections import OrderedDict, defaultdict
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from contract.errors import BulkqaError, NotEnded, UsageError
from contract.format import codec, layout
from contract.ledger import records
from contract.ledger.progress import Progress
from contract.ledger.stored import StoredJob, load_manifest
from contract.remedy import Call, Remedy
from contract.storage import Storage
from contract.storage.many import many
from producer.results.lines import lines_of, ready_lines
from producer.results.scores import Answers, Scored, Scores
from producer.trust.promises import trusted
from producer.trust.promises.trusted import Terms, Trusted
from producer.trust.sample import Sample, answers, draw
from producer.trust.verdicts import MOST, TEXT, Verdict, digest, judges, latest, settled

#: Jobs whose verdicts are cached, and promises that are.
_JOBS, _PROMISES = 32, 64
#: Rows that a message names.
_NAMED = 5


@dataclass
class Judgements:
    """The verdicts of all jobs of a storage. What was read once is not read again."""

    storage: Storage
    scores: Scores
    _read: OrderedDict[str, dict[str, list[Verdict]]] = field(default_factory=OrderedDict, init=False)
    _made: OrderedDict[Any, Trusted] = field(default_factory=OrderedDict, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def judge(self, job: str, verdicts: Sequence[Verdict]) -> Generator[float, None, int]:
        """Store verdicts, in steps; returns how many. They are durable then. Raises UsageError, and nothing is stored,
        if one cannot be; NotEnded, UnknownJob."""
        check(verdicts)
        stored = StoredJob.open(self.storage, job)
        _report(self.storage, job)
        settled_ = yield from _settled(stored, verdicts)
        at = time.time()
        data = codec.dump([replace(verdict, at=at) for verdict in settled_])
        while not self.storage.create(layout.new_verdicts(job, at, self.storage.list(layout.verdicts(job))), data):
            pass
        return len(settled_)

    def verdicts(self, job: str) -> list[Verdict]:
        """The verdict that counts for each row: see `latest`. Raises UnknownJob, BulkqaError for a damaged one."""
        load_manifest(self.storage, job)
        with self._lock:
            loaded = self._read.pop(job, {})
            names = [name for name in self.storage.list(layout.verdicts(job)) if layout.is_verdicts(name)]
            new = [name for name in names if name not in loaded]
            loaded |= zip(new, many(self.storage, lambda name: self._load(job, name), new), strict=True)
            self._read[job] = loaded
            while len(self._read) > _JOBS:
                self._read.popitem(last=False)
        return latest(verdict for name in names for verdict in loaded[name])

    def _load(self, job: str, name: str) -> list[Verdict]:
        key = f"{layout.verdicts(job)}/{name}"
        try:
            return codec.read(list[Verdict], self.storage.read(key))
        except ValueError as error:
            raise BulkqaError(
                f"verdicts of job {job} are damaged: {error}",
                f"Remove {self.storage.locate(key)}, and judge these again.",
            ) from error

    def sample(
        self, job: str, rows: int, precision: float, seed: int, *, one_of_each: bool
    ) -> Generator[float, None, Sample]:
        """Rows to judge, in steps. Raises NotEnded: they would be no sample of the rest."""
        _report(self.storage, job)
        scored = yield from self.scores.answers(job)
        return draw(scored, rows, precision, seed, one_of_each=one_of_each)

    def trust(self, job: str, precision: float, confidence: float) -> Generator[float, None, Trusted]:
        """What the verdicts of a job promise, or without any its reference answers, in steps. Raises NotEnded, and
        UsageError if there are neither."""
        manifest, status, verdicts = load_manifest(self.storage, job), _report(self.storage, job), self.verdicts(job)
        key = (job, manifest.created_at, precision, confidence, digest(verdicts))
        if (promise := self._made.get(key)) is None:
            scored = yield from self.scores.answers(job)
            promise = promised(Terms(manifest, status, precision, confidence), scored, verdicts)
            with self._lock:
                self._made[key] = promise
                while len(self._made) > _PROMISES:
                    self._made.popitem(last=False)
        return promise


def promised(terms: Terms, answers: Answers, verdicts: Sequence[Verdict]) -> Trusted:
    """What verdicts promise; without any, what the reference answers do."""
    return trusted.by_verdicts(terms, answers, verdicts) if verdicts else trusted.by_references(terms, answers)


def trust_of(storage: Storage, job: str, precision: float, confidence: float) -> tuple[Trusted, Answers]:
    """What a job promises of the answers to other rows that are like its own; and its answers. Its own rows are only a
    sample then, however many were judged: so this is less than what it promises of itself. Raises as `Judgements.trust`
    does."""
    terms = Terms(load_manifest(storage, job), _report(storage, job), precision, confidence)
    verdicts = Judgements(storage, Scores(storage)).verdicts(job)
    own = answers(ready_lines(job, storage))
    return promised(terms, own.as_sample(), verdicts), own


def check(verdicts: Sequence[Verdict]) -> None:
    """Raise UsageError for verdicts that are refused whatever the job is."""
    if not verdicts:
        raise UsageError("there is no verdict")
    if len(verdicts) > MOST:
        raise UsageError(f"{len(verdicts):,} verdicts, and {MOST:,} are stored at once", "Send them in several calls.")
    for verdict in verdicts:
        for name in ("answer", "correct", "note", "by"):
            if len(getattr(verdict, name) or "") > TEXT:
                raise UsageError(f"row {verdict.row}: its {name} has more than {TEXT:,} characters")
        if verdict.floor is not None and not 0 <= verdict.floor <= 1:
            raise UsageError(f"row {verdict.row}: {verdict.floor} is not a score", "`floor` is that of the sample.")


def _report(storage: Storage, job: str) -> Progress:
    if (report := records.report(storage, job)) is None:
        load_manifest(storage, job)  # raises UnknownJob
        raise not_ended(job)
    return report


def _settled(stored: StoredJob, verdicts: Sequence[Verdict]) -> Generator[float, None, list[Verdict]]:
    """Verdicts as they are stored, checked against the predictions, a part at a time."""
    rows, by_chunk = stored.manifest.rows, defaultdict[int, list[int]](list)
    for place, verdict in enumerate(verdicts):
        if not 0 <= verdict.row < rows:
            raise no_such_row(verdict.row, rows, stored.id)
        by_chunk[stored.chunk_of(verdict.row)].append(place)
    done, differing = dict[int, Verdict](), list[tuple[Verdict, dict[str, Any]]]()
    for number, places in by_chunk.items():
        lines, first = lines_of(stored, number).splitlines(), stored.first_rows[number]
        contexts = dict[int, str]()
        for place in places:
            verdict = verdicts[place]
            prediction = json.loads(lines[verdict.row - first])
            if "context" not in prediction and not contexts:
                contexts = {row.row: row.context or "" for row in stored.rows(number)}
            if judges(verdict, prediction):
                done[place] = settled(verdict, prediction, prediction.get("context") or contexts.get(verdict.row, ""))
            else:
                differing.append((verdict, prediction))
        yield 0.0
    if differing:
        raise other_answers(differing, stored.id)
    return [done[place] for place in range(len(verdicts))]


def of_file(lines: Iterable[bytes], verdicts: Sequence[Verdict], job: str) -> tuple[Answers, list[Verdict]]:
    """The answers among the predictions of a job, in blocks of whole JSON lines, and verdicts on them as they would be
    stored, the last one of each row. Raises UsageError if they are not on these answers."""
    by_row = {verdict.row: verdict for verdict in verdicts}
    parts, settled_, differing = list[Scored](), list[Verdict](), list[tuple[Verdict, dict[str, Any]]]()
    for block in lines:
        predictions = [json.loads(line) for line in block.splitlines()]
        parts.append(Scored.of(predictions))
        for prediction in predictions:
            if (verdict := by_row.pop(prediction["row"], None)) is None:
                continue
            if judges(verdict, prediction):
                settled_.append(settled(verdict, prediction, prediction.get("context") or ""))
            else:
                differing.append((verdict, prediction))
    found = Answers.of(parts)
    if by_row:
        raise no_such_row(min(by_row), found.total, job)
    if differing:
        raise other_answers(differing, job)
    return found, settled_


def not_ended(job: str) -> NotEnded:
    """The error for a job that cannot be judged yet: a sample of what is ready would not represent the rest."""
    remedy = Remedy("Wait for it: ", Call("status", job, ("watch",)))
    return NotEnded(f"job {job} has not ended: its answers can only be judged then", remedy)


def no_such_row(row: int, rows: int, job: str) -> UsageError:
    """The error for a verdict on a row that a job does not have."""
    remedy = Remedy("The verdicts are of another job. Draw a sample of this one: ", Call("sample", job))
    return UsageError(f"there is a verdict on row {row}, and the {rows:,} rows of job {job} count from 0", remedy)


def other_answers(differing: Sequence[tuple[Verdict, dict[str, Any]]], job: str) -> UsageError:
    """The error for verdicts on answers that a job does not have: they are of another job, or a spreadsheet has changed
    the answers."""
    verdict, prediction = differing[0]
    has = repr(prediction["answer"]) if prediction["status"] == "answered" else "none"
    rows = sorted(each.row for each, _ in differing)
    others = f"; {len(rows):,} rows differ: {', '.join(map(str, rows[:_NAMED]))}" if len(rows) > 1 else ""
    return UsageError(
        f"the verdict on row {verdict.row} is on the answer {verdict.answer!r}, and job {job} has {has} there"
        + others + (" ..." if len(rows) > _NAMED else ""),
        Remedy(
            "If a spreadsheet has changed the answer, as 1/2 to a date, empty its cell: then it is not compared. "
            "Else the verdicts are of another job. Draw a sample of this one: ", Call("sample", job),
        ),
    )  # fmt: skip
