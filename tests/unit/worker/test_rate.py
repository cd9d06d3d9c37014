"""The rate at which a worker finishes rows."""

from __future__ import annotations

from tests.making import Clock
from worker.rate import RowRate


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
