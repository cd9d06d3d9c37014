"""What judged answers promise: the exact bound, the sequence of thresholds, and how often a promise is broken."""

from __future__ import annotations

import math

import numpy as np
import pytest

from producer.trust.promise import Judged, Labels, lower_bound, promise, thresholds

MILLION = 1_000_000


@pytest.mark.parametrize(
    ("precision", "needed"),
    [(0.8, (14, 22, 37, 50, 82)), (0.9, (29, 46, 76, 103, 167)), (0.95, (59, 93, 153, 208, 336))],
)
def test_so_many_labels_are_needed_for_so_many_wrong_ones(precision: float, needed: tuple[int, ...]):
    """As by Clopper and Pearson, of as many answers as make no difference."""
    for wrong, labels in zip((0, 1, 3, 5, 10), needed, strict=True):
        assert lower_bound(10 * MILLION, labels, wrong, 0.05) >= precision
        assert lower_bound(10 * MILLION, labels - 1, wrong, 0.05) < precision


@pytest.mark.parametrize(("total", "labels", "wrong"), [(40, 20, 2), (40, 40, 3), (500, 60, 0), (7, 3, 3)])
def test_the_bound_is_the_hypergeometric_one_and_tightens_as_all_are_judged(total: int, labels: int, wrong: int):
    def seen(bad: int) -> float:
        ways = [math.comb(bad, k) * math.comb(total - bad, labels - k) for k in range(wrong + 1)]
        return sum(ways) / math.comb(total, labels)

    worst = max(bad for bad in range(wrong, total - labels + wrong + 1) if seen(bad) > 0.05)
    assert lower_bound(total, labels, wrong, 0.05) == pytest.approx(1 - worst / total)
    assert lower_bound(labels, labels, wrong, 0.05) == pytest.approx(1 - wrong / labels), "nothing is left to chance"


def test_thresholds_are_quantiles_of_all_scores_above_which_enough_was_judged():
    scores = np.arange(1000) / 1000
    judged = [Judged(score, right=True) for score in np.arange(500, 1000, 2) / 1000]  # of the better half
    found = thresholds(scores, Labels.of(judged))
    assert found == pytest.approx([0.8, 0.7, 0.6, 0.5])  # above 0.9 there are fifty
    assert thresholds(scores, Labels.of(judged[:50])) == []
    assert thresholds(np.empty(0), Labels.of(judged)) == []


def test_the_sequence_ends_at_the_first_threshold_that_fails():
    scores = np.arange(1000) / 1000
    judged = [Judged(score, right=not 0.6 <= score < 0.65) for score in scores]
    made = promise(scores, 2000, judged, 0.95, 0.95)
    assert made.bound is not None
    assert made.bound.threshold == pytest.approx(0.7), "below 0.6 the precision is good again"
    assert (made.bound.labels, made.bound.wrong, made.bound.share) == (300, 0, 0.15)
    assert (made.best, made.more) == (made.curve[0], None)


def test_what_cannot_be_promised_says_what_can_and_how_many_more_would_do():
    scores = np.linspace(0.5, 1, MILLION)
    judged = [Judged(float(score), right=place % 17 != 0) for place, score in enumerate(scores[::3000])]
    made = promise(scores, MILLION, judged, 0.9, 0.95)
    assert made.bound is None
    assert made.best is not None
    assert 0.8 < made.best.lower_bound < 0.9
    assert made.more is not None
    assert 50 < made.more < 2000
    few = promise(scores, MILLION, judged[:20], 0.9, 0.95)
    assert (few.bound, few.best, few.more) == (None, None, None)


def test_a_promise_is_broken_no_more_often_than_it_says():
    """Of a reader whose precision rises with its score, and of one whose precision does not."""
    chance = np.random.default_rng(5)
    for curve in (lambda score: 0.55 + 0.43 * score, lambda score: 0.8 + 0.1 * np.sin(9 * score)):
        scores = np.sort(chance.beta(2, 1, 4000))
        right = chance.random(len(scores)) < curve(scores)
        broken = made = 0
        for _ in range(150):
            sample = chance.choice(np.arange(1600, 4000), 300, replace=False)
            judged = [Judged(float(scores[place]), bool(right[place])) for place in sample]
            if (bound := promise(scores, 4000, judged, 0.85, 0.95).bound) is not None:
                made += 1
                broken += right[scores >= bound.threshold].mean() < 0.85
        assert broken <= 0.05 * 150, (broken, made)
