"""When judgements are looked at, so that looking does not break the promise. Pure.

Whoever looks at each judgement and stops at the first promise has had many chances of a lucky one. So judgements count
at fixed numbers of them only, in the order in which rows were first judged, and each look has its share of the error:
together they have no more than all of it. What one look has promised stays promised.

Where everything above a threshold was judged, nothing is left to chance, and no share is needed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from producer.trust.promise import FIRST, MOST, Judged, Labels, Promise, census, counted, lower_bound, sequence, tenths

_COUNTS = (60, 100, 200, 300, 500, 1000)
_SHARES = (0.05, 0.10, 0.15, 0.25, 0.20, 0.15)
#: Judgements by which it is roughly known how frequent wrong ones are.
_KNOWN = 30


@dataclass(frozen=True, slots=True)
class Look:
    """A look at the first judgements."""

    labels: int  #: how many
    risk: float  #: that it promises too much, at most


class Looked(NamedTuple):
    """What all looks so far promise."""

    promise: Promise
    looks: tuple[Look, ...]
    next_look: int | None  #: the number of judgements at which the next one is; None: every answer was judged


def schedule(risk: float) -> Iterator[Look]:
    """All looks, in order; their risks add up to `risk`."""
    for labels, share in zip(_COUNTS, _SHARES, strict=True):
        yield Look(labels, risk * share)
    labels, share = 2 * _COUNTS[-1], 0.05
    while True:
        yield Look(labels, risk * share)
        labels, share = labels * 2, share / 2


def looked(
    ranked: NDArray[np.float64],
    rows: int,
    judged: Sequence[Judged],
    everything: Sequence[Judged],
    precision: float,
    confidence: float,
    floor: float,
) -> Looked:
    """What judgements promise that may have been looked at at any time. The best of all looks holds.

    `ranked`: (A,), the scores of all answers of the job, the lowest first; `rows`: of the job, answered or not;
    `judged`: those drawn at random, in the order of their judgement; `everything`: these and those picked by hand;
    `floor`: the lowest score down to which they were drawn.
    """
    risk, count, drawn = 1.0 - confidence, len(judged), Labels.of(judged)
    looks = tuple(takewhile(lambda look: look.labels <= count, schedule(risk)))
    promises = [sequence(ranked, rows, drawn.first(look.labels), precision, 1.0 - look.risk, floor) for look in looks]
    exact = census(ranked, rows, Labels.of(everything))
    holding = [each.bound for each in promises if each.bound] + [
        each for each in exact if each.lower_bound >= precision
    ]
    best = [each.best for each in promises if each.best] + exact
    whole = Promise(
        precision, confidence, count, drawn.wrong,
        bound=max(holding, key=lambda bound: (bound.share, bound.lower_bound), default=None),
        best=max(best, key=lambda bound: bound.lower_bound, default=None),
        more=None if holding else _more(ranked, drawn, precision, risk, floor),
        curve=promises[-1].curve if promises else tuple(exact),
    )  # fmt: skip
    following = min(_after(count, risk).labels, len(ranked))
    return Looked(whole, looks, following if following > len(everything) else None)


def _after(labels: int, risk: float) -> Look:
    """The next look."""
    return next(look for look in schedule(risk) if look.labels > labels)


def _more(ranked: NDArray[np.float64], judged: Labels, precision: float, risk: float, floor: float) -> int | None:
    """How many more judgements the next look needs that would make the promise, if wrong ones stay as frequent; None if
    none would that anybody can give."""
    if (count := len(judged)) < _COUNTS[0]:
        return None
    lowest = ranked[np.searchsorted(ranked, floor) :][:1].tolist()
    candidates = [each for each in tenths(ranked) if each >= floor] + lowest
    seen = [counted(threshold, ranked, judged) for threshold in candidates]
    rates = [each.wrong / each.labels for each in seen if each.labels >= _KNOWN]
    look = _after(count, risk)
    while rates and look.labels <= min(len(ranked), MOST):
        tested = next((each for each in seen if each.labels * look.labels >= FIRST * count), seen[-1])
        labels = min(round(tested.labels * look.labels / count), tested.total)
        if lower_bound(tested.total, labels, math.ceil(min(rates[0], rates[-1]) * labels), look.risk) >= precision:
            return look.labels - count
        look = _after(look.labels, risk)
    return None
