"""A forecast, made of the work of an input and the workers that are there."""

from __future__ import annotations

from dataclasses import replace

from contract.forecast.work import Cost, Forecast
from producer.forecast.fleet import Errors, Fleet, interval
from producer.forecast.survey import Surveyed


def forecast(surveyed: Surveyed, cost: Cost, fleet: Fleet, errors: Errors = Errors()) -> Forecast:  # noqa: B008 - frozen
    """The forecast of a job. `errors`: of earlier ones."""
    chunks = surveyed.seconds(cost)
    work = sum(chunks)
    untimed = Forecast(
        windows=round(surveyed.total.windows),
        tokens=round(surveyed.total.tokens),
        work=round(work, 4),
        cpu_hours=round(work / fleet.speed / 3600, 6),
        workers=len(fleet.rates),
        threads=sum(fleet.threads),
    )
    return timed(untimed, fleet.seconds(chunks), errors)


def timed(forecast: Forecast, time: tuple[float, float] | None, errors: Errors) -> Forecast:
    """The same with the time that it takes, and of that what is due before."""
    if time is None:
        return forecast
    seconds, before = time
    low, high = interval(seconds, errors, before)
    return replace(
        forecast,
        seconds=round(seconds, 2),
        seconds_low=round(low, 2),
        seconds_high=round(high, 2),
        seconds_before=round(before, 2),
    )


def after_sample(rest: Forecast, sample: Forecast, seconds: float, chunks: int) -> Forecast:
    """The forecast of the rows that are left, by the seconds in which a sample of `chunks` chunks was scored."""
    if rest.seconds is None or not rest.cpu_hours or not sample.workers or seconds <= 0.0:
        return rest
    threads = sample.threads * min(1.0, chunks / sample.workers)
    factor = seconds * threads / (sample.cpu_hours * 3600)
    return replace(
        rest,
        cpu_hours=round(rest.cpu_hours * factor, 6),
        seconds=round(rest.seconds * factor, 2),
        seconds_low=rest.seconds_low and round(rest.seconds_low * factor, 2),
        seconds_high=rest.seconds_high and round(rest.seconds_high * factor, 2),
    )
