"""`producer verify`: recount, rehash and recheck a job, from its chunks to its outputs.

Trusts only the manifest, and the report of a job that has ended.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from contract.errors import BulkqaError
from contract.format import document, layout
from contract.format.job import Manifest, Row
from contract.groups.reduce import GroupSums, groups
from contract.ledger import records
from contract.ledger.progress import Counts, Progress
from contract.ledger.stored import Damage, Part, StoredJob
from contract.queue import Queue
from contract.settings import Settings
from contract.storage import Storage
from contract.storage.digest import Digest, digest_of
from producer.jobs.follow import follow, patient
from producer.jobs.remove import delete
from producer.results.documents import texts
from producer.results.lines import ready_lines
from producer.reuse.rescore import differences, rescore

#: Problems that are listed; further ones are summed up as "and more".
_LISTED = 20


@dataclass(frozen=True, slots=True)
class Verified:
    """What was checked, and what is wrong."""

    job: str
    rows: int
    checked: int  #: rows that have an outcome, which was checked
    answers: int  #: of those, answers that stand at their place in the context
    problems: tuple[str, ...]
    finished: bool
    notes: tuple[str, ...] = ()  #: damage that cost no row
    rescored: int | None = None  #: reused rows that were scored again and compared; None: that was not requested


def verify_job(storage: Storage, job: str, progress: Callable[[int, int], None] | None = None) -> Verified:
    """Check every row and output of a job. Raises UnknownJob; damage inside the job is a problem, not an error.

    If a part was damaged after the job ended, its rows are checked in the predictions document, whose digest is in the
    report; the damage is then a note.
    """
    stored = StoredJob.open(storage, job)
    manifest = stored.manifest
    report = records.report(storage, job)
    problems, notes = _Problems(), _Problems()
    for problem in _damaged_documents(storage, manifest):
        problems.add(problem)
    predictions = _document(storage, job, report.outputs, problems) if report else None
    outcomes: Counter[str] = Counter()
    checked = answers = 0
    differs = False
    for number, rows in enumerate(stored.index.rows):
        if progress:
            progress(number, manifest.chunks)
        published = b"".join(islice(predictions, rows)) if predictions else None
        lines = _lines(stored, number, published, notes if predictions else problems, ended=bool(report))
        if lines is None:
            continue
        differs |= published is not None and lines != published
        checked += rows
        submitted = _rows(stored, number, problems)
        answers += _check_part(lines.splitlines(), submitted, stored.first_rows[number], problems, outcomes)
    if report and manifest.groups and "groups" in report.outputs:
        _check_groups(stored, report, problems)
    if report and not problems.listed:
        if predictions and (differs or next(predictions, None) is not None):
            problems.add("the predictions document differs from the parts")
        if _counts(manifest.rows, outcomes) != report.request_counts:
            problems.add("the counts in the report differ from the rows")
        if report.trusted and report.trusted.trusted != outcomes["trusted"]:
            problems.add("the count of trusted rows in the report differs from the rows")
    return Verified(
        job, manifest.rows, checked, answers, tuple(problems.listed), report is not None, tuple(notes.listed)
    )


def verify_reused(
    storage: Storage, queue: Queue, settings: Settings, verified: Verified, count: int, patience: float | None = None
) -> Verified:
    """Also have at most `count` reused rows of a job scored again, by the workers: a row that gets another prediction
    is a problem. Raises NoWorker after `patience` seconds without one, UsageError if the job has no reused rows."""
    small = rescore(storage, verified.job, count)
    job = small.manifest.id  # if this is interrupted, it expires
    for _ in patient(follow(job, storage, queue, settings), patience):
        pass
    problems = differences(storage, verified.job, small)
    delete(job, storage, queue)
    return replace(verified, problems=(*verified.problems, *problems[:_LISTED]), rescored=len(small.rows))


def _lines(job: StoredJob, number: int, published: bytes | None, damaged: _Problems, *, ended: bool) -> bytes | None:
    """The predictions of a chunk: those of its part, else those in the document; None if it has neither."""
    part = job.part(number)
    if isinstance(part, Part):
        return part.lines
    if not part.missing:
        damaged.add(f"part {number}: {part.reason}")
    elif ended:
        damaged.add(f"part {number} is missing")
    return published


def _counts(total: int, outcomes: Counter[str]) -> Counts:
    answered, no_answer = outcomes["answered"], outcomes["no_answer"]
    failed, cancelled = outcomes["error"], outcomes["job_cancelled"]
    return Counts(total, answered, no_answer, failed, cancelled, total - answered - no_answer - failed - cancelled)


def _damaged_documents(storage: Storage, manifest: Manifest) -> Iterator[str]:
    """What is wrong with the index and the texts of documents."""
    if manifest.documents is None:
        return
    try:
        listed = texts.index(storage, manifest)
    except BulkqaError as error:
        yield error.message
        return
    for digest in dict.fromkeys(each.text_sha256 for each in listed if each.text_sha256):
        try:
            texts.text_of(storage, manifest, digest)
        except BulkqaError as error:
            yield error.message


class _Problems:
    def __init__(self) -> None:
        self.listed: list[str] = []

    def add(self, problem: str) -> None:
        if len(self.listed) < _LISTED:
            self.listed.append(problem)
        elif len(self.listed) == _LISTED:
            self.listed.append("and more")


def _rows(job: StoredJob, number: int, problems: _Problems) -> list[Row] | None:
    data = job.chunk(number)
    if isinstance(data, Damage):
        problems.add(f"chunk {number}: {data.reason}")
        return None
    return job.rows_of(number, data)


def _check_part(
    lines: list[bytes], rows: list[Row] | None, first: int, problems: _Problems, outcomes: Counter[str]
) -> int:
    """Check the predictions of a part against the rows of its chunk. Returns how many answers stand at their place.

    Adds to `outcomes`, counts by status; cancelled rows are counted as job_cancelled. And those that are `trusted`.
    """
    answers = 0
    for offset, line in enumerate(lines):
        prediction = json.loads(line)
        cancelled = (prediction.get("error") or {}).get("code") == "job_cancelled"
        outcomes["job_cancelled" if cancelled else prediction["status"]] += 1
        outcomes["trusted"] += prediction.get("trusted", False)
        number = first + offset
        if prediction["row"] != number:
            problems.add(f"row {prediction['row']} is in the place of row {number}")
        if rows is None:
            continue
        row = rows[offset]
        if prediction["question"] != row.question or prediction["id"] != row.id:
            problems.add(f"row {number} is not the row that was submitted")
        if (row.error is not None) != (prediction["status"] == "error") and row.error is not None:
            problems.add(f"row {number} was rejected, but its status is {prediction['status']}")
        if prediction["status"] == "answered":
            spans = [prediction, *prediction.get("alternatives", [])]
            wrong = [s for s in spans if (row.context or "")[s["start"] : s["end"]] != s["answer"] or not s["answer"]]
            if wrong:
                problems.add(f"row {number}: the answer is not at its place in the context")
            answers += not wrong
    return answers


def _check_groups(job: StoredJob, report: Progress, problems: _Problems) -> None:
    """Compute every group again, and compare it with what was published."""
    sums = GroupSums()
    try:
        digest = Digest()
        for _ in digest.over(document.write(groups(ready_lines(job.id, job.storage), job.manifest, sums), "groups")):
            pass
    except BulkqaError as error:
        problems.add(f"the groups cannot be computed again: {error.message}")
        return
    if digest.sha256 != report.outputs["groups"].get("sha256") or Counts.of_groups(sums) != report.groups:
        problems.add("the published groups differ from those of the predictions")


def _document(storage: Storage, job: str, outputs: dict[str, Any], problems: _Problems) -> Iterator[bytes] | None:
    """The lines of the published document; None if it is missing or its digest is not that of the report."""
    damaged = dict(_damaged_outputs(storage, job, outputs))
    for problem in damaged.values():
        problems.add(problem)
    return None if "predictions" in damaged else document.read(storage.blocks(layout.predictions(job)))


def _damaged_outputs(storage: Storage, job: str, outputs: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The names of damaged outputs, each with the problem. `outputs`: those in the report."""
    keys = {"predictions": layout.predictions(job), "groups": layout.groups(job), "errors": layout.errors(job)}
    for name, about in ({"predictions": {}} | outputs).items():
        if name not in keys:
            yield name, f"the report names an unknown output: {name!r}"
            continue
        try:
            digest = digest_of(storage.blocks(keys[name]))
        except FileNotFoundError:
            yield name, f"{keys[name]} is missing"
            continue
        if digest.sha256 != about.get("sha256") or digest.bytes != about.get("bytes"):
            yield name, f"{keys[name]} was altered since it was published"
