"""When workers will be done: the time of chunks on a fleet, its interval, and the workers for a deadline. Pure."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from contract.forecast.work import Forecast
from contract.queue import WorkerInfo

#: Seconds of a worker for a chunk, and of the last one for each part that it assembles, besides scoring.
_CHUNK, _PART = 0.018, 0.004
#: The spread of errors of which nothing is known, and how many jobs that belief counts as: of jobs that begin at once,
#: and of those that wait for others, which may be overtaken.
PRIOR, PRIOR_WAITING = (0.25, 1.0), (0.6, 3.0)
#: A job counts as waiting if this many seconds of work are due before it.
_WAITS = 1.0
#: Seconds within which no forecast is judged: a worker starts, a message waits, somebody polls.
_ANYWAY = 2.0
#: Eight values as a normal distribution of spread one has them; and between which shares of errors the interval is.
_NORMAL = tuple(NormalDist().inv_cdf((place + 0.5) / 8) for place in range(8))
_LOW, _HIGH = 0.1, 0.9
#: With more chunks than this, a share of each worker's time is all that counts.
_SCHEDULED = 5000
#: The most workers that a deadline is answered with.
_MOST = 100_000


@dataclass(frozen=True, slots=True)
class Fleet:
    """Workers of a model. A rate is seconds of work, by the cost curve, that a worker does in a second."""

    rates: tuple[float, ...]
    threads: tuple[int, ...]
    before: float = 0.0  #: seconds of work that is due before

    @property
    def speed(self) -> float:
        """Seconds of work that a thread does in a second: 1.0 on the machine that the curve was measured on."""
        return sum(self.rates) / sum(self.threads) if self.rates else 1.0

    def of(self, workers: int, threads: int = 1) -> Fleet:
        """This many workers, each like the average of this fleet; if it has none, each with this many threads."""
        if not self.rates:
            return replace(self, rates=(float(threads),) * workers, threads=(threads,) * workers)
        rate, own = sum(self.rates) / len(self.rates), round(sum(self.threads) / len(self.rates))
        return replace(self, rates=(rate,) * workers, threads=(own,) * workers)

    def seconds(self, chunks: Sequence[float]) -> tuple[float, float] | None:
        """Seconds until chunks of this work are done, and how many of them are for what is before. None
        without workers."""
        if not self.rates:
            return None
        waited = self.before / sum(self.rates)
        return waited + _scheduled(chunks, self.rates) + _PART * len(chunks), waited


def fleet_of(workers: Iterable[WorkerInfo], before: float = 0.0) -> Fleet:
    """The fleet of workers, without those that are stopping or cannot use the storage."""
    able = [each for each in workers if each.threads > 0 and not each.draining and not each.trouble]
    return Fleet(
        tuple(each.threads * (each.speed or 1.0) for each in able), tuple(each.threads for each in able), before
    )


class Errors(NamedTuple):
    """How far off earlier forecasts were (`error`)."""

    at_once: tuple[float, ...] = ()  #: of jobs that began at once
    waiting: tuple[float, ...] = ()  #: of jobs that waited for others

    @classmethod
    def of(cls, forecasts: Iterable[Forecast]) -> Errors:
        """Those of jobs that have ended."""
        errors: tuple[list[float], list[float]] = [], []
        for each in forecasts:
            errors[each.seconds_before >= _WAITS].append(error(each))
        return cls(*map(tuple, errors))


def error(forecast: Forecast) -> float:
    """How far off a forecast was: log(actual / forecast), both with the seconds that any job takes."""
    return math.log(((forecast.actual_seconds or 0.0) + _ANYWAY) / ((forecast.seconds or 0.0) + _ANYWAY))


def interval(seconds: float, errors: Errors, before: float = 0.0) -> tuple[float, float]:
    """Where eight of ten jobs end that are forecast to take `seconds`, `before` of which they wait: that is where
    eight of ten ended that were alike, as far as there were some."""
    (spread, jobs), own = (PRIOR_WAITING, errors.waiting) if before >= _WAITS else (PRIOR, errors.at_once)
    values = np.array([*(spread * value for value in _NORMAL), *own])
    weights = np.array([jobs / len(_NORMAL)] * len(_NORMAL) + [1.0] * len(own))
    order = np.argsort(values)
    places = (np.cumsum(weights[order]) - weights[order] / 2) / weights.sum()
    low, high = np.interp((_LOW, _HIGH), places, values[order]).tolist()
    # The forecast is inside, even if all earlier ones erred to one side.
    low, high = math.exp(min(low, 0.0)), math.exp(max(high, 0.0))
    return max(0.0, (seconds + _ANYWAY) * low - _ANYWAY), (seconds + _ANYWAY) * high - _ANYWAY


def workers_for(fleet: Fleet, chunks: Sequence[float], deadline: float) -> int | None:
    """How many workers, like those of a fleet, finish by a deadline; None if no number does, because one chunk
    takes longer."""
    low, high = 1, 2
    while (time := fleet.of(high).seconds(chunks)) and time[0] > deadline:
        low, high = high, 2 * high
        if high > _MOST:
            return None
    while low < high:
        middle = (low + high) // 2
        time = fleet.of(middle).seconds(chunks)
        low, high = (low, middle) if time and time[0] <= deadline else (middle + 1, high)
    return low


def _scheduled(chunks: Sequence[float], rates: Sequence[float]) -> float:
    """When the last chunk is done, if each goes to the worker that is free first."""
    if len(chunks) > _SCHEDULED:
        even = sum(chunks) / sum(rates) + _CHUNK * len(chunks) / len(rates)
        return even + max(chunks) / (sum(rates) / len(rates)) / 2
    free = [(0.0, -rate) for rate in sorted(rates, reverse=True)[: len(chunks)]]
    heapq.heapify(free)
    end = 0.0
    for work in chunks:
        at, rate = heapq.heappop(free)
        done = at + work / -rate + _CHUNK
        end = max(end, done)
        heapq.heappush(free, (done, rate))
    return end
