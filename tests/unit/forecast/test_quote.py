"""What is said of a file before it is submitted, in Python and as text."""

from __future__ import annotations

import io
import math
from dataclasses import replace

import pytest

from contract.errors import UsageError
from contract.forecast.work import Cost, Forecast, Work
from contract.queue import WorkerInfo
from contract.settings import Settings
from producer.cli import quotes
from producer.forecast.outlook import Outlook
from producer.forecast.quote import Beginning, Quote, Wish, quote, quote_beginning
from producer.forecast.survey import Surveyed
from producer.jobs.check import forecast_file
from producer.request import Request
from tests.making import csv

COST = Cost(window=1.0, token=0.0, square=0.0)
OUTLOOK = Outlook(COST, workers=(WorkerInfo("w", "tiny", "", "int8", 2, "1", speed=0.5),), model="tiny")


def of(works: list[float], wish: Wish = Wish(), outlook: Outlook = OUTLOOK) -> Quote:  # noqa: B008 - frozen
    chunks = tuple(Work(windows=each) for each in works)
    return quote(Surveyed(sum(chunks, Work()), chunks, 10), outlook, wish, "f.csv")


def test_a_file_is_forecast_as_it_would_be_submitted(settings: Settings):
    found = forecast_file(io.BytesIO(csv(8, bad=(1,))), Request(), settings, OUTLOOK, Wish())
    assert (found.rows, found.windows, found.workers, found.complete, found.reused) == (7, 7, 1, True, None)
    assert found.seconds == pytest.approx(7.0, abs=0.1)


def test_more_workers_are_as_those_that_are_there():
    found = of([10.0] * 20, Wish(workers=4))
    assert (found.workers, found.threads) == (4, 8)
    assert found.seconds == pytest.approx(50.0, abs=0.5)


def test_a_deadline_is_kept_nine_times_in_ten():
    found = of([10.0] * 100, Wish(deadline=300.0))
    assert found.workers_needed
    enough, fewer = (of([10.0] * 100, Wish(workers=found.workers_needed - less)) for less in (0, 1))
    assert (enough.seconds_high or math.inf) <= 300.0 < (fewer.seconds_high or 0.0)
    assert of([1000.0], Wish(deadline=300.0)).workers_needed is None


def test_the_cost_is_that_of_the_cpu_hours():
    assert of([1800.0], Wish(price=0.04)).cost == pytest.approx(0.04), "half as fast as the curve says"


@pytest.mark.parametrize("wish", [{"workers": 0}, {"deadline": -1.0}, {"deadline": math.nan}, {"price": -0.1}])
def test_what_cannot_be_is_refused(wish: dict[str, float]):
    with pytest.raises(UsageError):
        Wish(**wish)  # type: ignore[arg-type]


def test_a_file_goes_on_as_it_begins():
    beginning = Beginning((100.0, 2000.0, 50_000.0), 80, reused=20, bytes_read=1000, complete=True)
    whole = quote_beginning("f.csv", beginning, 10_000, OUTLOOK, Wish())
    assert (whole.windows, whole.rows, whole.reused, whole.complete) == (1000, 800, 200, False)
    assert dict(quotes.rows(whole))["reused"] == "about 200 of 800 rows reuse an earlier outcome"
    assert quote_beginning("f.csv", beginning, 1000, OUTLOOK, Wish()).complete


def test_without_workers_the_time_is_unknown_and_the_deadline_still_answered():
    found = of([10.0] * 100, Wish(deadline=300.0), replace(OUTLOOK, workers=()))
    assert found.seconds is None
    assert found.workers_needed
    assert "no worker serves tiny" in dict(quotes.rows(found))["time"]


def test_a_forecast_is_one_line():
    made = of([60.0] * 4)
    assert quotes.line(made) == (
        "forecast: 240 windows, 8.0 CPU minutes, about 4 min 0 s (2 min 51 s to 5 min 36 s) on 1 worker"
    )
    waiting = replace(made, seconds_before=30.0)
    assert quotes.line(waiting).endswith("on 1 worker, 30 s of it for jobs that are due before")
    assert quotes.line(replace(made, seconds=None)).endswith("the time is unknown")


def test_the_product_judges_itself():
    made = Forecast(1, 1, 1.0, 0.0, 1, 1, 100.0, 80.0, 120.0)
    lines = quotes.judged([("a", replace(made, actual_seconds=110.0)), ("b", replace(made, actual_seconds=150.0))])
    assert lines[1].split() == ["a", "1", "min", "40", "s", "1", "min", "50", "s", "+10%", "yes"]
    assert lines[2].endswith("+50%  no")
    assert lines[3] == "2 jobs: half of them within 28% of the forecast, 1 in the interval"
    assert quotes.judged([])[-1].startswith("0 jobs")
