"""Judgements that are looked at again and again keep their promise, and a census needs none."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from numpy.typing import NDArray

from producer.trust.promise import Judged
from producer.trust.promises.looks import Looked, looked, schedule


def look(
    scores: NDArray[np.float64], judged: list[Judged], *picked: Judged, precision: float = 0.9, floor: float = 0.0
):
    return looked(np.sort(scores), len(scores), judged, [*judged, *picked], precision, 0.95, floor)


def of(scores: NDArray[np.float64], right: NDArray[np.bool_], places: NDArray[np.int64]) -> list[Judged]:
    return [Judged(float(scores[place]), bool(right[place])) for place in places]


def test_the_looks_are_at_fixed_numbers_and_share_the_error():
    looks = list(islice(schedule(0.05), 40))
    assert [each.labels for each in looks[:8]] == [60, 100, 200, 300, 500, 1000, 2000, 4000]
    assert sum(each.risk for each in looks) == pytest.approx(0.05)
    assert all(each.risk > 0 for each in looks)


def test_between_two_looks_nothing_changes_and_what_was_promised_stays():
    scores = np.linspace(0, 1, 10_000)
    chance = np.random.default_rng(3)
    judged = of(scores, np.ones(10_000, bool), chance.permutation(10_000)[:700])
    before: Looked | None = None
    for count in (0, 59, 60, 99, 100, 199, 200, 300, 499):
        made = look(scores, judged[:count])
        assert (made.promise.labels, made.promise.wrong) == (count, 0)
        if count in (59, 99, 199, 499):
            assert before is not None
            assert made.promise.bound == before.promise.bound
            assert made.looks == before.looks
        before = made
    assert look(scores, judged[:59]).looks == ()
    assert look(scores, judged[:59]).next_look == 60
    assert look(scores, judged[:300]).promise.bound is not None
    last = look(scores, judged[:300]).looks[-1]
    assert (last.labels, last.risk) == (300, pytest.approx(0.0125))
    # Then all that follow are wrong: the promise of the earlier look holds, with its confidence.
    worse = judged[:300] + [each._replace(right=False) for each in judged[300:]]
    assert look(scores, worse).promise.bound == look(scores, judged[:300]).promise.bound


def test_no_threshold_is_below_what_the_rows_were_drawn_from():
    scores = np.linspace(0, 1, 10_000)
    judged = of(scores, np.ones(10_000, bool), np.random.default_rng(3).permutation(10_000)[:500])
    for floor in (0.0, 0.35, 0.72):
        bound = look(scores, judged, floor=floor).promise.bound
        assert bound is not None
        assert bound.threshold == pytest.approx(floor, abs=1e-4)


def test_the_first_look_is_at_everything_that_was_drawn_from():
    scores = np.linspace(0, 1, 10_000)
    judged = of(scores, np.ones(10_000, bool), 3333 + np.random.default_rng(3).permutation(6667)[:60])
    made = look(scores, judged, precision=0.85, floor=0.3333).promise
    assert made.bound is not None
    assert made.bound.labels == 60


def test_where_everything_was_judged_what_was_seen_is_promised():
    scores = np.linspace(0.5, 1, 40)
    right = np.arange(40) % 8 != 0  # five of forty are wrong
    judged = of(scores, right, np.arange(40))
    made = look(scores, judged[:20], *judged[20:], precision=0.87)
    assert made.promise.bound is not None
    assert (made.promise.bound.lower_bound, made.promise.bound.share) == (0.875, 1.0)
    assert (made.looks, made.next_look) == ((), None)
    assert look(scores, judged[:39], precision=0.87).promise.bound is None, "one below all others was not judged"
    assert look(scores, judged[:30]).next_look == 40
    assert look(scores, judged, precision=0.9).promise.best is not None


def test_how_many_more_would_do_leads_to_a_look_that_promises():
    chance = np.random.default_rng(8)
    scores = np.sort(chance.random(50_000))
    order = chance.permutation(50_000)
    right = np.ones(50_000, bool)
    right[order[::25]] = False  # as frequent in all that are judged
    judged = of(scores, right, order[:120])
    few = look(scores, judged)
    assert few.promise.bound is None
    assert few.promise.more is not None
    assert 120 + few.promise.more in (200, 300, 500, 1000, 2000)
    assert look(scores, of(scores, right, order[: 120 + few.promise.more])).promise.bound is not None
    hopeless = look(scores, [each._replace(right=place % 2 == 0) for place, each in enumerate(judged)])
    assert hopeless.promise.more is None


def test_who_stops_at_the_first_promise_is_not_deceived():
    """A reader that is right just less often than wanted at every score: any promise is broken."""
    chance = np.random.default_rng(11)
    scores = np.sort(chance.random(20_000))
    broken = 0
    for _ in range(100):
        right = chance.random(20_000) < 0.845
        judged = of(scores, right, chance.permutation(20_000)[:500])
        broken += look(scores, judged, precision=0.85).promise.bound is not None
    assert broken <= 0.05 * 100, broken
