"""The labels of a job, to be used elsewhere: what people judged, with its contexts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from contract.errors import UsageError
from contract.format.job import Manifest
from contract.ledger.progress import Progress
from contract.remedy import Call, Remedy, Set
from producer.trust.export import labelstudio
from producer.trust.export.squad import Labelled, squad
from producer.trust.sample import Sample
from producer.trust.verdicts import Verdict

#: Code points of a context around its answer: all of them.
_WHOLE = 1 << 31


class LabelsBackend(Protocol):
    """The part of `producer.backend.protocol.Backend` that is used here."""

    def manifest(self, job: str) -> Manifest: ...  # noqa: D102

    def status(self, job: str, *, reason: bool = True) -> Progress: ...  # noqa: D102

    def details(self, job: str, rows: Sequence[int], around: int) -> list[dict[str, Any]]: ...  # noqa: D102

    def text(self, job: str, document: int) -> str | None: ...  # noqa: D102

    def verdicts(self, job: str) -> list[Verdict]: ...  # noqa: D102

    def sample(  # noqa: D102
        self, job: str, rows: int, precision: float, seed: int, *, one_of_each: bool = True
    ) -> Sample: ...


class Exported(NamedTuple):
    """What is written, as JSON takes it."""

    document: Any
    written: int  #: questions, or tasks
    left_out: int = 0  #: verdicts that do not say what is right, where that is needed


def in_squad(backend: LabelsBackend, job: str) -> Exported:
    """The judged rows whose right answer is known, in the format of SQuAD 2.0. Raises UsageError without any."""
    verdicts = backend.verdicts(job)
    if not verdicts:
        raise UsageError(
            f"no answer of job {job} was judged",
            Remedy("Judge some on its page, or in a file drawn by: ", Call("sample", job)),
        )
    rows = _rows(backend, job, {verdict.row for verdict in verdicts})
    exported = squad(backend.manifest(job).source.name, (Labelled(each, *rows[each.row]) for each in verdicts))
    if not exported.questions:
        raise UsageError(
            f"the {exported.left_out:,} verdicts on job {job} do not say what is right",
            "Say it for some: mark the right words on the page, or fill in correct_answer.",
        )
    return Exported(exported.document, exported.questions, exported.left_out)


def as_tasks(backend: LabelsBackend, job: str, size: int, precision: float, seed: int) -> Exported:
    """A sample as tasks of Label Studio, followed by all other judged rows; raises as `sample` does."""
    sample = backend.sample(job, size, precision, seed)
    verdicts = {verdict.row: verdict for verdict in backend.verdicts(job)}
    floors = dict.fromkeys(sample.rows, sample.floor)
    floors |= {row: verdict.floor for row, verdict in verdicts.items() if row not in floors}
    rows = _rows(backend, job, set(floors))
    model = backend.status(job, reason=False).model
    name = f"{model.name} {model.digest}".strip()
    tasks = [labelstudio.task(*rows[row], name, floor, verdicts.get(row)) for row, floor in floors.items()]
    return Exported(tasks, len(tasks))


def _rows(backend: LabelsBackend, job: str, rows: set[int]) -> dict[int, tuple[dict[str, Any], str]]:
    """The predictions of rows, with their contexts."""
    manifest = backend.manifest(job)
    if manifest.options.omit_context and manifest.documents is None:
        raise UsageError(
            f"the predictions of job {job} have no contexts", Remedy("Submit it without ", Set("omit_context"), ".")
        )
    labelled, text = dict[int, tuple[dict[str, Any], str]](), (-1, "")
    for prediction in backend.details(job, sorted(rows), _WHOLE):
        row, context = prediction["row"], prediction.get("context")
        if manifest.documents:
            document = row // manifest.documents.questions
            text = text if text[0] == document else (document, backend.text(job, document) or "")
            context = text[1]
        labelled[row] = (prediction, context or "")
    return labelled
