"""Time of chunks on workers, its interval, and the workers for a deadline."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest

from contract.forecast.work import Cost, Forecast, Work
from contract.queue import WorkerInfo
from producer.forecast.fleet import PRIOR, Errors, Fleet, error, fleet_of, interval, workers_for
from producer.forecast.make import forecast
from producer.forecast.survey import Surveyed

COST = Cost(window=1.0, token=0.0, square=0.0)
NO_ERRORS = Errors()


def worker(name: str, threads: int = 2, **about: object) -> WorkerInfo:
    return WorkerInfo(name, "tiny", "", "int8", threads, "1", **about)  # type: ignore[arg-type]


def made(chunks: list[float], fleet: Fleet):
    works = tuple(Work(windows=each) for each in chunks)
    return forecast(Surveyed(sum(works, Work()), works, len(works)), COST, fleet)


def test_two_workers_share_chunks_and_the_last_one_has_a_tail():
    seconds, before = Fleet((1.0, 1.0), (1, 1)).seconds([10.0, 10.0, 10.0]) or (0, 0)
    assert seconds == pytest.approx(20.0, abs=0.1)
    assert before == 0


def test_a_worker_that_has_no_chunk_helps_nothing():
    one, many = (Fleet((4.0,) * count, (4,) * count).seconds([100.0]) for count in (1, 50))
    assert one == many


def test_a_faster_worker_takes_more():
    seconds, _ = Fleet((3.0, 1.0), (3, 1)).seconds([1.0] * 400) or (0, 0)
    assert seconds == pytest.approx(100.0, rel=0.08)


def test_many_chunks_take_their_share_of_each_worker():
    pick = random.Random(1)
    chunks = [pick.uniform(1, 9) for _ in range(5001)]
    fleet = Fleet((2.0, 1.0), (2, 1))
    assert fleet.seconds(chunks)[0] == pytest.approx(fleet.seconds(chunks[:-1])[0], rel=0.01)


def test_what_is_due_before_comes_first():
    forecasts = [made([10.0] * 6, Fleet((2.0,), (2,), before)) for before in (0.0, 30.0)]
    assert forecasts[1].seconds_before == 15.0
    assert forecasts[1].seconds == pytest.approx(forecasts[0].seconds + 15.0)


def test_workers_that_stop_or_cannot_write_do_not_count():
    fleet = fleet_of([worker("a", speed=0.5), worker("b", draining=True), worker("c", trouble="full"), worker("d")])
    assert (fleet.rates, fleet.threads) == ((1.0, 2.0), (2, 2))


def test_without_workers_there_is_work_but_no_time():
    nothing = made([3600.0], fleet_of([]))
    assert (nothing.seconds, nothing.seconds_low, nothing.workers) == (None, None, 0)
    assert nothing.cpu_hours == 1.0


def test_cpu_hours_are_those_of_these_processors():
    assert made([3600.0], Fleet((2.0,), (4,))).cpu_hours == 2.0


def test_the_interval_is_wide_at_first_and_as_wide_as_earlier_errors_later():
    low, high = interval(1e4, NO_ERRORS)
    assert math.log(high / 1e4) == pytest.approx(1.2816 * PRIOR[0], rel=0.2)
    assert low * high == pytest.approx(1e8, rel=0.01)
    dice = random.Random(1)
    errors = tuple(dice.gauss(0.0, 0.05) for _ in range(400))
    assert math.log(interval(1e4, Errors(errors))[1] / 1e4) == pytest.approx(1.2816 * 0.05, rel=0.2)
    assert interval(1e4, Errors((0.5,) * 50))[1] > high
    for errors in ((0.5,) * 50, (-0.5,) * 50):  # all to one side
        low, high = interval(1e4, Errors(errors))
        assert low <= 1e4 <= high


def test_eight_of_ten_that_are_like_earlier_ones_are_within():
    """Also where most are exact and some take twice as long, as when others overtake them."""
    dice = random.Random(2)
    errors = [dice.gauss(0.0, 0.02) if dice.random() < 0.6 else dice.uniform(0.3, 1.0) for _ in range(300)]
    inside = 0
    for number in range(20, 300):
        low, high = interval(100.0, Errors(waiting=tuple(errors[:number][-50:])), before=50.0)
        inside += low <= 102.0 * math.exp(errors[number]) - 2.0 <= high
    assert 0.75 <= inside / 280 <= 0.87
    assert low > 90.0, "seldom sooner"
    assert high > 150.0


def test_jobs_that_wait_are_judged_by_those_that_did():
    errors = Errors.of(
        Forecast(1, 1, 1.0, 0.0, 1, 1, 100.0, seconds_before=before, actual_seconds=actual)
        for before, actual in ((0.0, 101.0), (60.0, 200.0), (0.2, 99.0))
    )
    assert (len(errors.at_once), len(errors.waiting)) == (2, 1)
    at_once, waiting = interval(100.0, errors), interval(100.0, errors, before=60.0)
    assert waiting[1] - waiting[0] > at_once[1] - at_once[0]


def test_the_seconds_that_any_job_takes_are_no_error():
    small = Forecast(1, 20, 0.01, 0.0, seconds=0.01, seconds_low=0.0, seconds_high=interval(0.01, NO_ERRORS)[1])
    assert abs(error(replace(small, actual_seconds=0.3))) < 0.15
    assert replace(small, actual_seconds=0.3).held
    large = replace(small, seconds=1000.0, actual_seconds=2000.0)
    assert error(large) == pytest.approx(math.log(2), abs=0.01)


@pytest.mark.parametrize("deadline", [40.0, 100.0, 399.0])
def test_a_deadline_takes_the_fewest_workers_that_keep_it(deadline: float):
    fleet, chunks = Fleet((2.0,), (2,)), [10.0] * 100
    workers = workers_for(fleet, chunks, deadline)
    assert workers
    assert fleet.of(workers).seconds(chunks)[0] <= deadline
    assert workers == 1 or fleet.of(workers - 1).seconds(chunks)[0] > deadline


def test_no_number_of_workers_splits_a_chunk():
    assert workers_for(Fleet((1.0,), (1,)), [100.0] * 3, 99.0) is None
