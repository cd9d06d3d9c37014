"""The answers of a job, and which of them were judged: by people, or by the reference answers of its input."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from contract.errors import UsageError
from contract.remedy import Call, Remedy
from producer.trust.labels import Label
from producer.trust.promise import Judged
from producer.trust.sample import Answers, predictions


def by_people(lines: Iterable[bytes], labels: Sequence[Label], job: str) -> tuple[Answers, list[Judged]]:
    """The answers of a job, and those that have a label: of several the last counts. Raises UsageError for a label of a
    row that has no answer, or has another one: then the labels are of another job."""
    by_row = {label.row: label for label in labels}
    found = Answers()
    judged = []
    for prediction in predictions(lines):
        found.add(prediction)
        if (label := by_row.pop(prediction["row"], None)) is None:
            continue
        if prediction["status"] != "answered" or label.answer not in (None, prediction["answer"]):
            shown = repr(prediction["answer"]) if prediction["status"] == "answered" else "none"
            raise UsageError(
                f"the labels judge the answer {label.answer!r} of row {label.row}, and job {job} has {shown} there",
                Remedy("They are of another job. Draw its own sample: ", Call("sample", job)),
            )
        judged.append(Judged(prediction["score"], label.right))
    if by_row:
        raise UsageError(
            f"the labels judge row {min(by_row)}, and job {job} has {found.total:,} rows that are ready",
            Remedy("They are of another job. Draw its own sample: ", Call("sample", job)),
        )
    return found, judged


def by_references(lines: Iterable[bytes], job: str) -> tuple[Answers, list[Judged]]:
    """The answers of a job whose input has reference answers. An answer is right if it matches one exactly: more may
    be, so what these promise is a lower bound. Raises UsageError if there are no reference answers."""
    found = Answers()
    judged = []
    for prediction in predictions(lines):
        found.add(prediction)
        if prediction["status"] == "answered" and "exact_match" in prediction:
            judged.append(Judged(prediction["score"], prediction["exact_match"] == 1.0))
    if not judged:
        raise UsageError(
            f"no answer of job {job} was judged",
            Remedy("Draw a sample, fill in its verdicts, and name the file: ", Call("sample", job)),
        )
    return found, judged
