"""A forecast, made of the work of an input and the workers that are there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from contract.forecast.work import Cost, Forecast
from producer.forecast.fleet import Fleet, interval
from producer.forecast.survey import Surveyed


def forecast(surveyed: Surveyed, cost: Cost, fleet: Fleet, errors: Sequence[float] = ()) -> Forecast:
    """The forecast of a job. `errors`: of earlier ones (`fleet.error`)."""
    chunks = surveyed.seconds(cost)
    work = sum(chunks)
    made = Forecast(
        windows=round(surveyed.total.windows),
        tokens=round(surveyed.total.tokens),
        work=round(work, 4),
        cpu_hours=round(work / fleet.speed / 3600, 6),
        workers=len(fleet.rates),
        threads=sum(fleet.threads),
    )
    return timed(made, fleet.seconds(chunks), errors)


def timed(made: Forecast, time: tuple[float, float] | None, errors: Sequence[float]) -> Forecast:
    """The same with the time that it takes, and of that what is due before."""
    if time is None:
        return made
    seconds, before = time
    low, high = interval(seconds, errors)
    return replace(
        made,
        seconds=round(seconds, 2),
        seconds_low=round(low, 2),
        seconds_high=round(high, 2),
        seconds_before=round(before, 2),
    )
