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
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

#: The thresholds are that many equal slices of the scores apart.
_SLICES = 10
#: Judged rows above the first threshold that is tested.
FIRST = 60
#: Judgements that somebody may be asked for.
MOST = 20_000


class Judged(NamedTuple):
    """An answer that was judged."""

    score: float
    right: bool


@dataclass(frozen=True)
class Labels:
    """Answers that were judged, as columns: (L,) each, in the order of their judgement."""

    scores: NDArray[np.float64]
    right: NDArray[np.bool_]

    @classmethod
    def of(cls, judged: Sequence[Judged] | Labels) -> Labels:
        """The same as columns."""
        if isinstance(judged, Labels):
            return judged
        return cls(np.array([each.score for each in judged], float), np.array([each.right for each in judged], bool))

    def first(self, count: int) -> Labels:
        """Those that were judged first."""
        return Labels(self.scores[:count], self.right[:count])

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def wrong(self) -> int:
        """How many are."""
        return len(self) - int(self.right.sum())


class Counted(NamedTuple):
    """The answers above a threshold: all, those judged, and those wrong."""

    threshold: float
    total: int
    labels: int
    wrong: int


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
    scores: NDArray[np.float64],
    rows: int,
    judged: Sequence[Judged] | Labels,
    precision: float,
    confidence: float,
    floor: float | None = None,
) -> Promise:
    """The lowest threshold that keeps a precision.

    `scores`: (A,), of all answers of the job, in any order; `rows`: of the job, answered or not; `judged`: rows drawn
    uniformly from its answers whose score is `floor` or more; None: that of the lowest judged one. Precision and
    confidence are shares, in (0, 1).
    """
    ranked, judged = np.sort(scores), Labels.of(judged)
    result = sequence(ranked, rows, judged, precision, confidence, floor)
    if result.bound or result.best is None:
        return result
    return replace(result, more=_more(ranked, judged, result.best, precision, 1.0 - confidence))


def sequence(
    ranked: NDArray[np.float64],
    rows: int,
    judged: Labels,
    precision: float,
    confidence: float,
    floor: float | None = None,
) -> Promise:
    """The same, given the scores with the lowest first; without `more`."""
    risk = 1.0 - confidence
    curve = [bound_at(threshold, ranked, rows, judged, risk) for threshold in thresholds(ranked, judged, floor)]
    proved: Bound | None = None
    for bound in curve:
        if bound.lower_bound < precision:
            break
        proved = bound
    best = curve[0] if curve else None
    return Promise(precision, confidence, len(judged), judged.wrong, proved, best, None, tuple(curve))


def thresholds(ranked: NDArray[np.float64], judged: Labels, floor: float | None = None) -> list[float]:
    """The thresholds that are tested, highest first: quantiles of all scores, and at last the floor, with enough judged
    rows above each. Without a floor none is below the lowest judged score. The scores come with the lowest first."""
    lowest = judged.scores.min(initial=1.0) if floor is None else floor
    candidates = [each for each in tenths(ranked) if each >= lowest]
    if floor is not None:
        candidates = list(dict.fromkeys([*candidates, *ranked[np.searchsorted(ranked, floor) :][:1].tolist()]))
    return [each for each in candidates if int((judged.scores >= each).sum()) >= FIRST]


def tenths(ranked: NDArray[np.float64]) -> list[float]:
    """The scores above which a tenth of all are, two tenths, and so on down to the lowest."""
    places = (len(ranked) - math.ceil(len(ranked) * part / _SLICES) for part in range(1, _SLICES + 1))
    return list(dict.fromkeys(float(ranked[place]) for place in places)) if len(ranked) else []


def census(ranked: NDArray[np.float64], rows: int, judged: Labels) -> list[Bound]:
    """The thresholds above which every answer was judged: what is promised there is what was seen."""
    seen = (counted(threshold, ranked, judged) for threshold in tenths(ranked))
    return [
        Bound(each.threshold, 1 - each.wrong / each.total, each.total / rows, each.labels, each.wrong)
        for each in seen
        if each.labels == each.total
    ]


def bound_at(threshold: float, ranked: NDArray[np.float64], rows: int, judged: Labels, risk: float) -> Bound:
    """What is known of the answers above a threshold."""
    _, total, labels, wrong = counted(threshold, ranked, judged)
    return Bound(threshold, lower_bound(total, labels, wrong, risk), total / rows, labels, wrong)


def counted(threshold: float, ranked: NDArray[np.float64], judged: Labels) -> Counted:
    """The answers above a threshold."""
    right = judged.right[judged.scores >= threshold]
    return Counted(threshold, above(ranked, threshold), len(right), len(right) - int(right.sum()))


def above(ranked: NDArray[np.float64], threshold: float) -> int:
    """How many scores are that or more, of scores with the lowest first."""
    return len(ranked) - int(np.searchsorted(ranked, threshold))


def lower_bound(total: int, labels: int, wrong: int, risk: float) -> float:
    """The lowest precision of `total` answers that goes with so few `wrong` ones among `labels` judged: with a lower
    one, as few would be seen with a probability of `risk` at most."""
    low, high = wrong, total - (labels - wrong)  # how many of all are wrong, at least and at most
    while low < high:
        middle = (low + high + 1) // 2
        if _probability(total, middle, labels, wrong) > risk:
            low = middle
        else:
            high = middle - 1
    return 1.0 - low / total


def _probability(total: int, bad: int, labels: int, wrong: int) -> float:
    """P(at most `wrong` of `labels` drawn from `total` are bad, of which there are `bad`). At least a half is 1."""
    if wrong >= math.ceil(labels * bad / total):  # the median is no higher
        return 1.0
    good, least = total - bad, max(0, labels - (total - bad))
    log = _log_choose(bad, wrong) + _log_choose(good, labels - wrong) - _log_choose(total, labels)
    term = math.exp(log) if wrong >= least else 0.0  # below the median each is less than the next
    terms = [term]
    for drawn in range(wrong, least, -1):
        term *= drawn * (good - labels + drawn) / ((bad - drawn + 1) * (labels - drawn + 1))
        if term < terms[0] * 1e-18:
            break
        terms.append(term)
    return math.fsum(terms)


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def _more(ranked: NDArray[np.float64], judged: Labels, best: Bound, precision: float, risk: float) -> int | None:
    """How many more judged rows would keep the precision above the first threshold, if wrong ones stay as frequent."""
    total = above(ranked, best.threshold)
    rate = best.wrong / best.labels
    labels = best.labels
    while labels < min(total, MOST):
        labels = min(total, math.ceil(labels * 1.05) + 1)
        if lower_bound(total, labels, math.ceil(rate * labels), risk) >= precision:
            return math.ceil((labels - best.labels) * len(judged) / best.labels)
    return None
