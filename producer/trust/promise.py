"""From judged answers to a threshold that keeps a precision. Pure.

The promise: with the confidence 1 - d, of the answers whose score is at least the threshold, the wanted share is right.
It holds for the job that the judged rows were drawn from, with its model and its options.

Learn then Test with a fixed sequence (Angelopoulos et al. 2021): the thresholds are quantiles of all scores, fixed
without looking at judgements, from the highest on. Each is tested at d, and the first that fails ends the sequence. So
no threshold is chosen by the precision that was seen above it, which breaks such a promise in half of all cases. The
precision need not grow with the score.

A test is exact: judged rows are drawn without replacement, so the wrong ones among them are distributed
hypergeometrically. The rows above a threshold are a uniform sample of all rows above it, as long as the threshold is
not below the lowest judged score: then the rows may have been drawn from the top of all scores.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

#: The thresholds are that many equal slices of the scores apart.
_SLICES = 10
#: Judged rows above the first threshold that is tested.
_FIRST = 60


class Judged(NamedTuple):
    """An answer that was judged."""

    score: float
    right: bool


@dataclass(frozen=True, slots=True)
class Bound:
    """What the judged rows above a threshold say."""

    threshold: float
    lower_bound: float  #: of the precision above it, at the wanted confidence
    share: float  #: of all rows of the job that are above it
    labels: int  #: judged rows above it
    wrong: int  #: of those


@dataclass(frozen=True, slots=True)
class Promise:
    """What can be promised. `bound` is None if the wanted precision cannot be; `best` is what the rows above the first
    threshold promise all the same, None for too few; `more`: how many more judged rows would do, if as many of them are
    right, None if that cannot be told."""

    precision: float
    confidence: float
    labels: int
    wrong: int
    bound: Bound | None
    best: Bound | None
    more: int | None
    curve: tuple[Bound, ...]  #: every threshold of the sequence


def promise(
    scores: NDArray[np.float64], rows: int, judged: Sequence[Judged], precision: float, confidence: float
) -> Promise:
    """The lowest threshold that keeps a precision.

    `scores`: (A,), of all answers of the job, in any order; `rows`: of the job, answered or not; `judged`: rows drawn
    uniformly from its answers, or from those with the highest scores. Precision and confidence are shares, in (0, 1).
    """
    risk = 1.0 - confidence
    curve = [_bound(scores, rows, judged, threshold, risk) for threshold in thresholds(scores, judged)]
    kept: Bound | None = None
    for bound in curve:
        if bound.lower_bound < precision:
            break
        kept = bound
    best = curve[0] if curve else None
    more = None if kept or best is None else _more(scores, judged, best, precision, risk)
    wrong = sum(not each.right for each in judged)
    return Promise(precision, confidence, len(judged), wrong, kept, best, more, tuple(curve))


def thresholds(scores: NDArray[np.float64], judged: Sequence[Judged]) -> list[float]:
    """The thresholds that are tested, highest first: quantiles of all scores with enough judged rows above them, none
    below the lowest judged score."""
    if not judged or not len(scores):
        return []
    ranked = np.sort(scores)[::-1]
    ranks = [math.ceil(len(ranked) * part / _SLICES) - 1 for part in range(1, _SLICES + 1)]
    seen = sorted((each.score for each in judged), reverse=True)
    found = dict.fromkeys(float(ranked[rank]) for rank in ranks)
    lowest = seen[-1]
    return [each for each in found if each >= lowest and sum(score >= each for score in seen) >= _FIRST]


def _bound(scores: NDArray[np.float64], rows: int, judged: Sequence[Judged], threshold: float, risk: float) -> Bound:
    above = [each.right for each in judged if each.score >= threshold]
    total = int((scores >= threshold).sum())
    wrong = above.count(False)
    return Bound(threshold, lower_bound(total, len(above), wrong, risk), total / rows, len(above), wrong)


def lower_bound(total: int, labels: int, wrong: int, risk: float) -> float:
    """The lowest precision of `total` answers that goes with so few `wrong` ones among `labels` judged: with a lower
    one, as few would be seen with a probability of `risk` at most."""
    low, high = wrong, total - (labels - wrong)  # so many are wrong of all, at least and at most
    while low < high:
        middle = (low + high + 1) // 2
        if _probability(total, middle, labels, wrong) > risk:
            low = middle
        else:
            high = middle - 1
    return 1.0 - low / total


def _probability(total: int, bad: int, labels: int, wrong: int) -> float:
    """P(at most `wrong` of `labels` drawn from `total` are bad, of which there are `bad`)."""
    least = max(0, labels - (total - bad))
    logs = [_log_choose(bad, drawn) + _log_choose(total - bad, labels - drawn) for drawn in range(least, wrong + 1)]
    whole = _log_choose(total, labels)
    return math.fsum(math.exp(each - whole) for each in logs)


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def _more(
    scores: NDArray[np.float64], judged: Sequence[Judged], best: Bound, precision: float, risk: float
) -> int | None:
    """How many more judged rows would keep the precision above the first threshold, if wrong ones stay as frequent."""
    total = int((scores >= best.threshold).sum())
    rate = best.wrong / best.labels
    labels = best.labels
    while labels < total:
        labels = min(total, math.ceil(labels * 1.05) + 1)
        if lower_bound(total, labels, math.ceil(rate * labels), risk) >= precision:
            return math.ceil((labels - best.labels) * len(judged) / best.labels)
    return None
