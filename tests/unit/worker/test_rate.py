"""The rate at which a worker finishes rows, and its speed."""

from __future__ import annotations

import pytest

from tests.making import Clock
from worker.rate import RowRate, Speed


def test_the_rate_is_of_the_last_minute():
    clock = Clock()
    rows = RowRate(clock)
    assert rows.rate() is None
    clock.now += 10
    rows.add(50)
    assert rows.rate() == 5.0
    for _ in range(12):
        clock.now += 5
        rows.rate()
    assert rows.rate() is None, "a minute ago there were some"


def test_a_rate_forgets_what_is_older_than_a_minute():
    clock = Clock()
    rows = RowRate(clock)
    for _ in range(1000):
        rows.add(10)
        clock.now += 5
        assert rows.rate() == 2.0
    assert len(rows._seen) < 20


def test_the_speed_is_that_of_the_latest_chunks():
    speed = Speed()
    assert speed.value() == 0.0
    speed.add(work=0.1, seconds=0.4)
    assert speed.value() == 0.25, "at its start"
    for _ in range(100):
        speed.add(work=10.0, seconds=10.0)
    assert speed.value() == pytest.approx(1.0, abs=0.01)
    for _ in range(100):
        speed.add(work=10.0, seconds=20.0)
    assert speed.value() == pytest.approx(0.5, abs=0.01)
