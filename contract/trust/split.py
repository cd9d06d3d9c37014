"""A job split by the promise of an earlier one: the mark of each row, the counts of both sides, and whether the scores
of the two jobs are distributed alike. Pure.

The promise holds for rows like those that were judged. Nobody can know that of new rows, but if their scores are
distributed differently they are not alike: then the split stays, with a warning (Kolmogorov-Smirnov, p < 0.001).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from contract.format.job import Trust
from contract.format.part import SCORE_BINS

#: How rarely the scores of two like jobs differ as much as is warned of.
_RARE = 0.001


@dataclass(frozen=True, slots=True)
class Split:
    """How many rows of a job are trusted, of those whose chunk is done, and by which promise."""

    trusted: int
    rest: int  #: lower scores, no answer, errors
    warning: str | None  #: why the promise may not hold here
    job: str  #: that the promise was made for
    threshold: float
    precision: float
    confidence: float


def marked(
    predictions: Iterable[dict[str, Any]], trust: Trust | None, digest: str = "", rule: int = 0
) -> list[dict[str, Any]]:
    """Predictions with `trusted` after their status, if the job has a promise. `digest` and `rule`: of the model and
    the answering rule that made them; a promise holds for no others."""
    if trust is None:
        return list(predictions)
    holds = (digest, rule) == (trust.model.digest, trust.rule)
    return [_marked(each, holds and _is_above(each, trust.threshold)) for each in predictions]


def _is_above(prediction: dict[str, Any], threshold: float) -> bool:
    return bool(prediction["status"] == "answered" and prediction["score"] >= threshold)


def _marked(prediction: dict[str, Any], trusted: bool) -> dict[str, Any]:  # noqa: FBT001 - the mark
    result: dict[str, Any] = {}
    for name, value in prediction.items():
        result[name] = value
        if name == "status":
            result["trusted"] = trusted
    return result


def added(spreads: Iterable[Sequence[int]]) -> tuple[int, ...]:
    """The sums of several spreads, bin by bin. Those without bins, or with those of a later version, are left
    out."""
    filled = [spread for spread in spreads if len(spread) == SCORE_BINS]
    return tuple(map(sum, zip(*filled, strict=True)))


def split(trust: Trust | None, rows: int, trusted: int, scores: Sequence[int]) -> Split | None:
    """The split of this many rows, `trusted` among them, whose answers have these scores; None without a promise."""
    if trust is None:
        return None
    warning = _warning(trust, scores)
    return Split(trusted, rows - trusted, warning, trust.job, trust.threshold, trust.precision, trust.confidence)


def _warning(trust: Trust, scores: Sequence[int]) -> str | None:
    bins, own, earlier = len(trust.scores), sum(scores), sum(trust.scores)
    if not own or not earlier or len(scores) != bins:
        return None
    shares = [
        (ours / own, theirs / earlier)
        for ours, theirs in zip(accumulate(scores), accumulate(trust.scores), strict=True)
    ]
    edge = max(range(bins), key=lambda number: abs(shares[number][0] - shares[number][1]))
    ours, theirs = shares[edge]
    if chance(abs(ours - theirs), own, earlier) >= _RARE:
        return None
    return (
        f"the scores are distributed differently from those of job {trust.job}: {ours:.1%} of the answers are below "
        f"{(edge + 1) / bins:g}, in that job {theirs:.1%}. The rows may be of another kind, and the promise may not "
        "hold"
    )


def chance(distance: float, first: int, second: int) -> float:
    """How often two samples of these sizes from one distribution are at least so far apart (Kolmogorov-Smirnov; the
    form of Stephens, which is exact enough from a handful of rows on)."""
    size = math.sqrt(first * second / (first + second))
    return min(1.0, 2.0 * math.exp(-2.0 * ((size + 0.12 + 0.11 / size) * distance) ** 2))
