"""Which of two jobs is better, judged blind: rows that they answer differently, in a random order, each with its two
answers on sides that do not tell whose they are; and what the verdicts on them say.

A verdict is left or right (only that answer is right), both or neither. Rows on which the jobs agree do not tell which
is better, nor do both and neither: the test is McNemar's, exact. `changes` are those of `producer diff`.
"""

from __future__ import annotations

import hashlib
import heapq
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract import squad
from contract.errors import UsageError
from contract.format.job import Row
from contract.remedy import Call, Remedy
from producer.trust import sheet

HEADER = ("row", "id", "question", "excerpt", "left", "right", "verdict", "pair")
VERDICTS = ("left", "right", "both", "neither")
#: A difference is shown if it is less likely than this where neither job is better.
_SHOWN = 0.05


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the verdicts on two jobs say."""

    first: str
    second: str
    rows: int  #: that both jobs have
    differ: int  #: of those, with answers of other words
    judged: int
    first_better: int  #: judged rows of which only the first job's answer is right
    second_better: int
    both: int
    neither: int
    gain: float  #: how many more of all rows the second job has right, as a share: an estimate
    p: float  #: how likely so clear a difference is if neither is better
    better: str | None  #: the better job; None: these verdicts do not show which


def to_judge(changes: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The changes without those of the same words, at another place or with other punctuation."""
    for change in changes:
        first, second = (squad.normalize(change[side]["answer"] or "") for side in ("first", "second"))
        if change["kind"] != "changed" or first != second:
            yield change


def draw(changes: Iterable[dict[str, Any]], size: int, seed: int) -> list[int]:
    """At most `size` rows to judge, in a random order. The same seed gives the same, and a larger size more of them."""
    rows = (change["row"] for change in to_judge(changes))
    return heapq.nsmallest(size, rows, key=lambda row: _digest(seed, row))


def write(path: Path, predictions: dict[str, Sequence[dict[str, Any]]]) -> None:
    """Write a file to fill in, with the predictions of the same rows of two jobs, their contexts cut. Raises
    UsageError."""
    first, second = predictions
    pairs = zip(predictions[first], predictions[second], strict=True)
    cells = [_cells((first, second), {first: one, second: other}) for one, other in pairs]
    sheet.write(path, "compare", HEADER, cells)


def _cells(jobs: tuple[str, str], predictions: dict[str, dict[str, Any]]) -> list[Any]:
    row = predictions[jobs[0]]
    left = left_of(*jobs, row["row"])
    right = jobs[jobs[0] == left]
    shown = _excerpt(list(predictions.values()))
    answers = (_answer(predictions[job]) for job in (left, right))
    return [row["row"], row["id"], row["question"], shown, *answers, None, pair_of(*jobs)]


def _answer(prediction: dict[str, Any]) -> str:
    if prediction["status"] == "error":
        return f"(failed: {prediction['error']['code']})"
    return str(prediction["answer"]) if prediction["status"] == "answered" else "(no answer)"


def _excerpt(predictions: Sequence[dict[str, Any]]) -> str | None:
    """The text around both answers, in the order of the context."""
    predictions = [{"excerpt": each.get("context")} | each for each in predictions]
    answered = [each for each in predictions if each["status"] == "answered" and each["excerpt"]]
    first, *others = sorted(answered, key=lambda each: each["start"]) or predictions
    text: str | None = first["excerpt"]
    for other in others:
        if answered and text and other["answer"] not in text:
            text += f" [...] {other['excerpt']}"
    return text


def left_of(first: str, second: str, row: int) -> str:
    """The job whose answer is on the left, whichever of the two is named first."""
    return sorted((first, second))[_digest(*sorted((first, second)), row)[0] & 1]


def pair_of(first: str, second: str) -> str:
    """The names of the two jobs in a file of verdicts, which do not show which is which. Excel does not change them."""
    return f"pair-{_digest(*sorted((first, second))).hex()}"


def _digest(*of: object) -> bytes:
    return hashlib.blake2b("\n".join(map(str, of)).encode(), digest_size=8).digest()


def read(path: str, first: str, second: str) -> dict[int, str]:
    """The verdicts in a file that was filled in, by row; of several verdicts the last. Raises InputError if it cannot
    be read, UsageError if it is for other jobs or a verdict is invalid."""
    verdicts = {sheet.number(row): verdict for row in sheet.read(path) if (verdict := _verdict(row, first, second))}
    if not verdicts:
        raise UsageError(f"{path}: no row has a verdict", f"Fill in the column verdict: {', '.join(VERDICTS)}.")
    return verdicts


def _verdict(row: Row, first: str, second: str) -> str | None:
    if row.passthrough.get("pair") not in (None, "", pair_of(first, second)):
        remedy = Remedy("Write one for these: ", Call("compare", f"{first} {second}"))
        raise UsageError(f"{sheet.place(row)} of the verdicts compares two other jobs", remedy)
    text = (row.context or "").strip().casefold()
    if not text:
        return None
    names = [name for name in VERDICTS if text in (name, name[0])]
    if not names:
        raise UsageError(
            f"{sheet.place(row)} of the verdicts: {row.context!r} is not one of {', '.join(VERDICTS)}",
            "Say which answer is right.",
        )
    return names[0]


def tally(changes: Iterable[dict[str, Any]], verdicts: dict[int, str], first: str, second: str) -> Counter[str]:
    """How often each job is better ("first", "second"), "both" or "neither" are right, and "differ": all rows to judge.
    Raises UsageError for a verdict on a row of which the jobs give the same answer."""
    unmatched = dict(verdicts)
    counts: Counter[str] = Counter()
    for change in to_judge(changes):
        counts["differ"] += 1
        verdict = unmatched.pop(change["row"], None)
        if verdict in ("left", "right"):
            is_first = (verdict == "left") == (left_of(first, second, change["row"]) == first)
            counts["first" if is_first else "second"] += 1
        elif verdict:
            counts[verdict] += 1
    if unmatched:
        raise UsageError(
            f"a verdict is on row {min(unmatched)}, which jobs {first} and {second} answer alike, or do not have",
            Remedy("The verdicts are of other jobs. Write a file for these: ", Call("compare", f"{first} {second}")),
        )
    return counts


def compared(first: str, second: str, rows: int, counts: Counter[str]) -> Comparison:
    """What the counts of `tally` say. `rows`: that both jobs have."""
    judged = counts["first"] + counts["second"] + counts["both"] + counts["neither"]
    more = counts["second"] - counts["first"]
    p = mcnemar(counts["first"], counts["second"])
    better = None if p >= _SHOWN else second if more > 0 else first
    gain = more / judged * counts["differ"] / rows
    return Comparison(
        first, second, rows, counts["differ"], judged,
        counts["first"], counts["second"], counts["both"], counts["neither"], round(gain, 6), p, better,
    )  # fmt: skip


def mcnemar(one: int, other: int) -> float:
    """The probability of at least so uneven a split of `one + other` fair coins: exact, two-sided."""
    count = one + other
    tail = sum(math.comb(count, heads) for heads in range(min(one, other) + 1))
    return min(1.0, 2 * tail / 2**count) if count else 1.0
