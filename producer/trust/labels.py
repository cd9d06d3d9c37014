"""The file in which people judge answers: written with what they need to see, and read as it comes back.

| column | |
|---|---|
| row, id, question, answer, excerpt, score | of the answer |
| verdict | right or wrong, to be filled in |
| correct_answer, note | what would be right, and whatever else; may stay empty |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract import squad
from contract.errors import UsageError
from contract.format import csvfile
from contract.format.job import Row
from producer.trust import sheet

SHOWN = ("row", "id", "question", "answer", "excerpt", "score")
FILLED = ("verdict", "correct_answer", "note")
_RIGHT = ("right", "r", "yes", "y", "true", "1", "correct")
_WRONG = ("wrong", "w", "no", "n", "false", "0", "incorrect")


@dataclass(frozen=True, slots=True)
class Label:
    """The verdict on the answer of a row."""

    row: int
    answer: str | None  #: that was judged; None if the file does not say
    right: bool


def write(path: Path, predictions: Sequence[dict[str, Any]]) -> None:
    """Write a file to fill in. Raises UsageError."""
    rows = [[csvfile.cell(each.get(name)) for name in SHOWN] + [None] * len(FILLED) for each in predictions]
    sheet.write(path, "labels", (*SHOWN, *FILLED), rows)


def read(path: str) -> list[Label]:
    """The rows that were judged: those with a verdict, or with a correct answer. Raises InputError if the file cannot
    be read, UsageError for a verdict that is none."""
    labels = [label for row in sheet.read(path) if (label := _label(row)) is not None]
    if not labels:
        raise UsageError(f"{path}: no row has a verdict", "Fill in the column verdict: right or wrong.")
    return labels


def _label(row: Row) -> Label | None:
    """The verdict in a row; None if it was not judged."""
    correct = str(row.passthrough.get("correct_answer") or "").strip()
    answer = row.passthrough.get("answer")
    verdict = (row.context or "").strip().casefold()
    if not verdict and not correct:
        return None
    number = sheet.number(row)
    if verdict not in (*_RIGHT, *_WRONG, ""):
        raise UsageError(f"{sheet.place(row)} of the labels: the verdict {row.context!r} is neither right nor wrong")
    same = bool(correct) and squad.normalize(correct) == squad.normalize(str(answer or ""))
    return Label(number, None if answer is None else str(answer), verdict in _RIGHT if verdict else same)
