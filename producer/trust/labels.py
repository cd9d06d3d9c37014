"""The file in which people judge answers: written with what they need to see, and read as it comes back.

| column | |
|---|---|
| row, id, question, answer, excerpt, score | of the answer |
| verdict | right or wrong, to be filled in; or skipped, or no answer |
| correct_answer, note | what would be right, and whatever else; may stay empty |
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from contract import squad
from contract.errors import UsageError
from contract.format import csvfile
from contract.remedy import Remedy, Set
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
    "span": ("span",),
    "withdrawn": ("withdrawn",),
    "skipped": ("skipped", "skip", "s", "?"),
}
_TEXTS = ("verdict", "correct_answer", "answer", "note", "by")
_KINDS = {word: kind for kind, words in _WORDS.items() for word in words}


def write(path: Path, predictions: Sequence[dict[str, Any]]) -> None:
    """Write a file to fill in, given predictions with contexts that were cut. Raises UsageError."""
    predictions = [{"excerpt": each.get("context")} | each for each in predictions]
    rows = [[csvfile.cell(each.get(name)) for name in SHOWN] + [None] * len(FILLED) for each in predictions]
    sheet.write(path, "labels", (*SHOWN, *FILLED), rows)


def read(path: str) -> list[Verdict]:
    """The verdicts in a file, which may be an export of Label Studio: see `judged`. Raises InputError if it cannot be
    read, UsageError."""
    if labelstudio.is_export(path):
        return labelstudio.read(path)
    rows = (
        (sheet.place(row), {"row": row.question, "verdict": row.context} | row.passthrough) for row in sheet.read(path)
    )
    return judged(rows, f"{path}: ")


def judged(rows: Iterable[tuple[str, Mapping[str, Any]]], label: str = "") -> list[Verdict]:
    """The verdicts among rows, each given with its place: of those with a verdict, or with a correct answer.

    Their `floor`, unless they say it themselves, is just above the lowest score of these, if they have scores: of the
    answers above that they are a random sample, also where a file was sorted by score and judged from the top. Raises
    UsageError, whose message begins with `label`, if no row has a verdict; and for a text that is not a verdict."""
    verdicts = [
        (verdict, _number(fields.get("score"))) for place, fields in rows if (verdict := _verdict(place, fields))
    ]
    if not verdicts:
        raise UsageError(f"{label}no row has a verdict", "Fill in the column verdict: right or wrong.")
    scores = {score for _, score in verdicts if score is not None}
    lowest = min(scores, default=None)
    floor = math.nextafter(lowest, 1.0) if lowest is not None and len(scores) > 1 else lowest
    return [replace(verdict, floor=floor) if verdict.floor is None else verdict for verdict, _ in verdicts]


def sampled(verdicts: Sequence[Verdict], by: str, *, picked: bool) -> list[Verdict]:
    """Verdicts to store, with who judged. Raises UsageError if it is not known which rows theirs were drawn from,
    unless they were picked by hand."""
    standing = [verdict for verdict in verdicts if verdict.verdict != "withdrawn"]
    if standing and not picked and all(verdict.floor is None for verdict in standing):
        raise UsageError(
            "the verdicts have no scores, which say from which rows the sample was drawn",
            Remedy("Leave the columns of the sample as they are; or, for rows picked by hand: ", Set(picked=True)),
        )
    return [replace(each, by=by or each.by, floor=None if picked else each.floor) for each in verdicts]


def _verdict(place: str, fields: Mapping[str, Any]) -> Verdict | None:
    """The verdict in a row; None if it was not judged."""
    text = {name: "" if (value := fields.get(name)) is None else str(value) for name in _TEXTS}
    correct, word = text["correct_answer"].strip(), text["verdict"].strip().casefold()
    if not word and not correct:
        return None
    if word and word not in _KINDS:
        raise UsageError(
            f"{place} of the labels: the verdict {fields['verdict']!r} is neither right nor wrong",
            "Or skipped, if nobody can say; or no answer, if the context has none.",
        )
    if (row := sheet.whole(fields.get("row"))) is None:
        raise sheet.no_number(place, fields.get("row"))
    is_same = squad.normalize(correct) == squad.normalize(text["answer"])
    kind = _KINDS[word] if word else "right" if is_same else "wrong"
    start, end = (sheet.whole(fields.get(name)) if kind == "span" else None for name in ("start", "end"))
    return Verdict(
        row, kind, start, end, answer=text["answer"] or None, correct="" if kind == "right" else correct,
        note=text["note"].strip(), floor=_number(fields.get("floor")), by=text["by"],
    )  # fmt: skip


def _number(value: Any) -> float | None:
    """A number, as any spreadsheet writes it; None if the text is not one."""
    try:
        number = float(str(value).strip().replace(",", "."))
    except ValueError:
        return None
    return number if math.isfinite(number) else None
