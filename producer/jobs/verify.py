"""`producer verify`: count, hash and check a job again, from its chunks to its outputs. Trusts only the manifest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from contract.format import layout, part
from contract.format.job import Row
from contract.format.part import Footer
from contract.ledger import records
from contract.ledger.assemble import predictions
from contract.ledger.progress import Counts
from contract.ledger.records import DamagedChunk, Index
from contract.ledger.tally import Tally
from contract.storage import Storage
from producer.jobs.follow import digest, document_lines

#: Problems that are told one by one; more are only counted.
_TOLD = 20


@dataclass(frozen=True, slots=True)
class Verified:
    """What was counted, and what is wrong."""

    job: str
    rows: int
    checked: int  #: rows whose outcome was found and checked
    answers: int  #: of those, answers found at their place in the context
    problems: tuple[str, ...]
    finished: bool

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON holds them."""
        return asdict(self)


def verify_job(storage: Storage, job: str, progress: Callable[[int, int], None] | None = None) -> Verified:
    """Check every row and output of a job. Raises UnknownJob; what is wrong inside the job is a problem, no error."""
    manifest = records.load(storage, job)
    index = records.load_index(storage, manifest)
    first_rows = index.first_rows()
    report = records.report(storage, job)
    problems = _Problems()
    footers: list[Footer] = []
    checked = answers = 0
    for number, rows in enumerate(index.rows):
        if progress:
            progress(number, manifest.chunks)
        try:
            lines, footer = part.body(storage.read(layout.part(job, number)), rows)
        except FileNotFoundError:
            if report:
                problems.add(f"part {number} is missing")
            continue
        except part.DamagedPart as damage:
            problems.add(f"part {number}: {damage}")
            continue
        footers.append(footer)
        checked += rows
        given = _rows(storage, manifest, index, number, problems)
        answers += _check_part(lines.splitlines(), given, first_rows[number], problems)
    if sum(index.rows) != manifest.rows:
        problems.add(f"the index has {sum(index.rows)} rows, the manifest {manifest.rows}")
    if report:
        if Counts.of(manifest.rows, Tally().plus(footers)) != report.request_counts:
            problems.add("the counts of the report are not those of the parts")
        _check_outputs(storage, job, index, report.outputs, problems)
    return Verified(job, manifest.rows, checked, answers, tuple(problems.told), report is not None)


class _Problems:
    def __init__(self) -> None:
        self.told: list[str] = []

    def add(self, problem: str) -> None:
        if len(self.told) < _TOLD:
            self.told.append(problem)
        elif len(self.told) == _TOLD:
            self.told.append("and more")


def _rows(storage: Storage, manifest: Any, index: Index, number: int, problems: _Problems) -> list[Row] | None:
    try:
        return records.load_rows(storage, manifest, index, number)
    except DamagedChunk as damage:
        problems.add(f"chunk {number}: {damage}")
        return None


def _check_part(lines: list[bytes], rows: list[Row] | None, first: int, problems: _Problems) -> int:
    """Check the predictions of a part against its chunk's rows; returns how many answers stand in their context."""
    answers = 0
    for offset, line in enumerate(lines):
        prediction = json.loads(line)
        number = first + offset
        if prediction["row"] != number:
            problems.add(f"row {prediction['row']} stands where row {number} should")
        if rows is None:
            continue
        row = rows[offset]
        if prediction["question"] != row.question or prediction["id"] != row.id:
            problems.add(f"row {number} is not the row that was submitted")
        if (row.error is not None) != (prediction["status"] == "error") and row.error is not None:
            problems.add(f"row {number} was rejected, and has the outcome {prediction['status']}")
        if prediction["status"] == "answered":
            spans = [prediction, *prediction.get("alternatives", [])]
            wrong = [s for s in spans if (row.context or "")[s["start"] : s["end"]] != s["answer"] or not s["answer"]]
            if wrong:
                problems.add(f"row {number}: its answer does not stand at its place in the context")
            answers += not wrong
    return answers


def _check_outputs(storage: Storage, job: str, index: Index, outputs: dict[str, Any], problems: _Problems) -> None:
    keys = {"predictions": layout.predictions(job), "errors": layout.errors(job)}
    for name, about in ({"predictions": {}} | outputs).items():
        if name not in keys:
            problems.add(f"the report names an output that is not known here: {name!r}")
            continue
        try:
            sha256, size = digest(storage.blocks(keys[name]))
        except FileNotFoundError:
            problems.add(f"{keys[name]} is missing")
            continue
        if sha256 != about.get("sha256") or size != about.get("bytes"):
            problems.add(f"{keys[name]} was altered since it was published")
    if not problems.told:
        _check_document(storage, job, index, problems)


def _check_document(storage: Storage, job: str, index: Index, problems: _Problems) -> None:
    """The published document must hold the parts' lines, and nothing else."""
    rows = hashlib.sha256()
    for lines in predictions(storage, index, job):
        rows.update(lines)
    published = hashlib.sha256()
    for line in document_lines(storage.blocks(layout.predictions(job))):
        published.update(line)
    if rows.digest() != published.digest():
        problems.add("the predictions document does not hold what the parts hold")
