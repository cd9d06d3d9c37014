"""What a worker tells of its own state."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

from tests.making import Clock
from worker.vitals import Pace, memory


def test_the_memory_of_this_process_is_told_also_where_there_is_no_proc(tmp_path: Path):
    used = psutil.Process(os.getpid()).memory_info().rss
    for told in (memory(), memory(tmp_path / "nowhere")):
        assert used / 2 < told < used * 4


def test_the_rate_is_of_the_last_minute():
    clock = Clock()
    pace = Pace(clock)
    assert pace.rate() is None
    clock.now += 10
    pace.add(50)
    assert pace.rate() == 5.0
    for _ in range(12):
        clock.now += 5
        pace.rate()
    assert pace.rate() is None, "a minute ago there were some"


def test_a_rate_forgets_what_is_older_than_a_minute():
    clock = Clock()
    pace = Pace(clock)
    for _ in range(1000):
        pace.add(10)
        clock.now += 5
        assert pace.rate() == 2.0
    assert len(pace._seen) < 20
