"""Forecasts as text: of a file, in one line; and beside what the jobs took, to judge them by."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from producer.cli import messages
from producer.cli.messages import plural
from producer.times import duration

if TYPE_CHECKING:
    from contract.forecast.work import Forecast
    from contract.settings import Settings
    from producer.forecast.outlook import Outlook
    from producer.forecast.quote import Quote
    from producer.jobs.submit import Submitted


def line(forecast: Forecast) -> str:
    """A forecast in one line."""
    work = f"forecast: {plural(forecast.windows, 'window')}, {_hours(forecast.cpu_hours)}"
    if forecast.seconds is None:
        return f"{work}; no worker serves its model, so the time is unknown"
    return f"{work}, {_time(forecast)} on {plural(forecast.workers, 'worker')}{_before(forecast)}"


def say(submitted: Submitted, longer_than: float = -1.0) -> None:
    """Print the notes for the submitter, and the forecast of a new job that takes longer than a few seconds."""
    for note in submitted.notes:
        messages.say(note)
    forecast = submitted.manifest.forecast
    if submitted.new and forecast and (forecast.seconds or 0.0) > longer_than:
        messages.say(line(forecast))


def rows(quote: Quote) -> list[tuple[str, str]]:
    """A forecast as names and values."""
    mean = round(quote.tokens / quote.windows) if quote.windows else 0
    about = "" if quote.complete else "about "
    table = [
        ("file", quote.name),
        ("rows", f"{about}{quote.rows:,}, {quote.windows:,} windows of {plural(mean, 'token')} each on average"),
        ("work", _hours(quote.cpu_hours)),
    ]
    if quote.reused is not None:
        table.insert(2, ("reused", f"{about}{quote.reused:,} of {quote.rows:,} rows reuse an earlier outcome"))
    if quote.seconds is None:
        table.append(
            ("time", f"unknown: no worker serves {quote.model} now; --workers 1 assumes one like this machine")
        )
    else:
        fleet = f"{plural(quote.workers, 'worker')}, {plural(quote.threads, 'thread')} in all"
        table.append(("time", f"{_time(quote)} on {fleet}"))
        if quote.seconds_before >= 1.0:
            table.append(("", f"{duration(quote.seconds_before)} of it for jobs that are due before"))
    if quote.deadline_seconds is not None:
        needed = quote.workers_needed
        many = f"with {plural(needed, 'worker')} nine times in ten" if needed else "with no number of workers"
        table.append(("deadline", f"{duration(quote.deadline_seconds)}: kept {many}"))
    if quote.cost is not None:
        table.append(("cost", f"{quote.cost:,.2f}" if quote.cost >= 0.01 else "less than 0.01"))
    return table


def judged(forecasts: Sequence[tuple[str, Forecast]]) -> list[str]:
    """How good forecasts were: the jobs, and a line about all of them."""
    lines = [f"{'job':36}{'forecast':>14}{'took':>14}{'error':>8}  within"]
    errors = []
    for job, each in forecasts:
        took, expected = each.actual_seconds or 0.0, each.seconds or 1.0
        errors.append(abs(math.log(max(took, 1e-3) / expected)))
        error = f"{took / expected - 1:+.0%}"
        held = "yes" if each.held else "no"
        lines.append(f"{job:36}{duration(expected):>14}{duration(took):>14}{error:>8}  {held}")
    within = sum(bool(each.held) for _, each in forecasts)
    middle = math.expm1(statistics.median(errors)) if errors else 0.0
    lines.append(
        f"{plural(len(errors), 'job')}: half of them within {middle:.0%} of the forecast, {within:,} in the interval"
    )
    return lines


def outlook(settings: Settings) -> Outlook:
    """What is known beside the storage, or of the model alone where there is none."""
    from contract.errors import BulkqaError
    from producer.backend import open_direct
    from producer.forecast.outlook import look

    if not settings.server:
        with suppress(BulkqaError):
            backend = open_direct(settings)
            return look(settings, settings.model, backend.storage, backend.queue)
    return look(settings, settings.model, None, None)


def _time(forecast: Forecast) -> str:
    low, high = forecast.seconds_low or 0.0, forecast.seconds_high or 0.0
    about = f"about {duration(seconds)}" if (seconds := forecast.seconds or 0.0) >= 1 else "less than a second"
    return f"{about} ({duration(low)} to {duration(high)})"


def _before(forecast: Forecast) -> str:
    if forecast.seconds_before < 1.0:
        return ""
    return f", {duration(forecast.seconds_before)} of it for jobs that are due before"


def _hours(hours: float) -> str:
    if hours >= 1:
        return f"{hours:,.1f} CPU hours"
    return f"{hours * 60:.1f} CPU minutes" if hours * 60 >= 1 else f"{hours * 3600:.1f} CPU seconds"
