"""The file in which people judge answers: written with what they need to see, and read as it comes back.

| column | |
|---|---|
| row, id, question, answer, excerpt, score | of the answer |
| verdict | right or wrong, to be filled in; or skipped, or no answer |
| correct_answer, note | what would be right, and whatever else; may stay empty |
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from contract import squad
from contract.errors import UsageError
from contract.format import csvfile
from contract.format.job import Row
from producer.trust import sheet
from producer.trust.export import labelstudio
from producer.trust.verdicts import Kind, Verdict

SHOWN = ("row", "id", "question", "answer", "excerpt", "score")
FILLED = ("verdict", "correct_answer", "note")
#: What people write in the column verdict; a spreadsheet writes true in the language of its user.
_WORDS: dict[Kind, tuple[str, ...]] = {
    "right": ("right", "r", "yes", "y", "true", "wahr", "vrai", "1", "1.0", "correct"),
    "wrong": ("wrong", "w", "no", "n", "false", "falsch", "faux", "0", "0.0", "incorrect"),
    "no_answer": ("no_answer", "no answer"),
    "skipped": ("skipped", "skip", "s", "?"),
}
_KINDS = {word: kind for kind, words in _WORDS.items() for word in words}


def write(path: Path, predictions: Sequence[dict[str, Any]]) -> None:
    """Write a file to fill in, given predictions with contexts that were cut. Raises UsageError."""
    predictions = [{"excerpt": each.get("context")} | each for each in predictions]
    rows = [[csvfile.cell(each.get(name)) for name in SHOWN] + [None] * len(FILLED) for each in predictions]
    sheet.write(path, "labels", (*SHOWN, *FILLED), rows)


def read(path: str) -> list[Verdict]:
    """The verdicts on the rows that were judged: those with a verdict, or with a correct answer. Their `floor` is just
    above the lowest score of these, if the file has scores: of the answers above that they are a random sample, also
    where the file was sorted by score and judged from the top.

    An export of Label Studio is read, too. Raises InputError if the file cannot be read, UsageError for a verdict that
    is none."""
    if labelstudio.is_export(path):
        return labelstudio.read(path)
    judged = [(verdict, _score(row)) for row in sheet.read(path) if (verdict := _verdict(row)) is not None]
    if not judged:
        raise UsageError(f"{path}: no row has a verdict", "Fill in the column verdict: right or wrong.")
    scores = {score for _, score in judged if score is not None}
    lowest = min(scores, default=None)
    floor = math.nextafter(lowest, 1.0) if lowest is not None and len(scores) > 1 else lowest
    return [replace(verdict, floor=floor) for verdict, _ in judged]


def _verdict(row: Row) -> Verdict | None:
    """The verdict in a row; None if it was not judged."""
    correct, note = (str(row.passthrough.get(name) or "").strip() for name in ("correct_answer", "note"))
    answer = str(row.passthrough.get("answer") or "") or None
    word = (row.context or "").strip().casefold()
    if not word and not correct:
        return None
    number = sheet.number(row)
    if word and word not in _KINDS:
        place = sheet.place(row)
        raise UsageError(
            f"{place} of the labels: the verdict {row.context!r} is neither right nor wrong",
            "Or skipped, where nobody can say; or no answer, where the context has none.",
        )
    is_same = squad.normalize(correct) == squad.normalize(answer or "")
    kind = _KINDS[word] if word else "right" if is_same else "wrong"
    return Verdict(number, kind, answer=answer, correct="" if kind == "right" else correct, note=note)


def _score(row: Row) -> float | None:
    """The score in a row, as any spreadsheet writes it."""
    try:
        score = float(str(row.passthrough.get("score") or "").strip().replace(",", "."))
    except ValueError:
        return None
    return score if 0 <= score <= 1 else None
