"""The file in which people judge answers: written with what they need to see, and read as it comes back.

| column | |
|---|---|
| row, id, question, answer, excerpt, score | of the answer |
| verdict | right or wrong, to be filled in |
| correct_answer, note | what would be right, and whatever else; may stay empty |
"""

from __future__ import annotations

import io
from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract import squad
from contract.errors import InputError, UsageError
from contract.format import chunk, csvfile
from contract.format.job import Row
from producer.input.open import open_input
from producer.input.options import ReadOptions
from producer.results import workbook

SHOWN = ("row", "id", "question", "answer", "excerpt", "score")
FILLED = ("verdict", "correct_answer", "note")
_RIGHT = ("right", "r", "yes", "y", "true", "1", "correct")
_WRONG = ("wrong", "w", "no", "n", "false", "0", "incorrect")
_DELIMITERS = (",", ";", "\t", "|")


@dataclass(frozen=True, slots=True)
class Label:
    """The verdict on the answer of a row."""

    row: int
    answer: str | None  #: that was judged; None if the file does not say
    right: bool


def write(path: Path, predictions: Sequence[dict[str, Any]]) -> None:
    """Write a file to fill in: a workbook for .xlsx, else CSV, which Excel reads as UTF-8. Raises UsageError."""
    rows = [[csvfile.cell(each.get(name)) for name in SHOWN] + [None] * len(FILLED) for each in predictions]
    header = (*SHOWN, *FILLED)
    file = io.BytesIO()
    if path.suffix.lower() == ".xlsx":
        workbook.write(file, workbook.Sheet("labels", header, rows))
    else:
        file.write(BOM_UTF8 + csvfile.encode([header, *rows], ","))
    try:
        with path.open("xb") as target:
            target.write(file.getvalue())
    except FileExistsError:
        raise UsageError(f"{path} exists, and may have been filled in", "Name another file.") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}", "Name another file.") from error


def read(path: str) -> list[Label]:
    """The rows that were judged: those with a verdict, or with a correct answer. Raises InputError if the file cannot
    be read, UsageError for a verdict that is none."""
    labels = [label for row in _rows(path) if (label := _label(row)) is not None]
    if not labels:
        raise UsageError(f"{path}: no row has a verdict", "Fill in the column verdict: right or wrong.")
    return labels


def _rows(path: str) -> Iterator[Row]:
    refused: InputError | None = None
    for delimiter in _DELIMITERS:
        options = ReadOptions(question="row", context="verdict", id="", answers="", delimiter=delimiter)
        try:
            with open_input(path, options) as file:
                for table in file.tables(1 << 12, 1 << 26):
                    yield from chunk.rows(table)
            return
        except InputError as error:
            refused = refused or error
    assert refused is not None  # noqa: S101 - for the type checker: there are delimiters
    raise refused


def _label(row: Row) -> Label | None:
    """The verdict in a row; None if it was not judged. The row's number and verdict are read as question and context,
    because a row has to have these."""
    place = f"line {row.line}" if row.line else f"row {row.row + 1}"
    correct = str(row.passthrough.get("correct_answer") or "").strip()
    answer = row.passthrough.get("answer")
    verdict = (row.context or "").strip().casefold()
    if not verdict and not correct:
        return None
    try:
        number = int(float(row.question or ""))
    except ValueError:
        raise UsageError(f"{place} of the labels: {row.question!r} is not the number of a row") from None
    if verdict not in (*_RIGHT, *_WRONG, ""):
        raise UsageError(f"{place} of the labels: the verdict {row.context!r} is neither right nor wrong")
    same = bool(correct) and squad.normalize(correct) == squad.normalize(str(answer or ""))
    return Label(number, None if answer is None else str(answer), verdict in _RIGHT if verdict else same)
