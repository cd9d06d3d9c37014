"""What a forecast needs to know besides the input: the model, the workers, jobs due before, how good forecasts were.

It asks Redis and storage, and leaves out whatever does not answer: a forecast never keeps a file from being submitted.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from contract.errors import BulkqaError
from contract.forecast.work import Cost, Forecast
from contract.format import codec, layout
from contract.format.job import has_key
from contract.ledger import counting, order
from contract.ledger.stored import load_manifest
from contract.namespace import known_id
from contract.queue import WorkerInfo
from contract.storage.many import many
from producer.forecast import tokens
from producer.forecast.fleet import Errors, Fleet, fleet_of
from producer.forecast.make import forecast
from producer.forecast.survey import Count, Survey, Surveyed

if TYPE_CHECKING:
    from contract.format.job import Manifest, Options
    from contract.queue import Queue
    from contract.settings import Settings
    from contract.storage import Storage

#: Jobs that are looked at: of those due before, and of those that have ended.
_BEFORE, _EARLIER = 200, 50
#: States of a job that was not ended by anybody.
_BY_ITSELF = ("completed", "completed_with_errors", "failed")
#: Processor seconds from which on a job tells how fast its workers were.
_TELLING = 2.0
#: Seconds of work of a row of which nothing is known.
_ROW = 0.02


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is known of a model and of those who serve it."""

    cost: Cost = Cost()  # noqa: RUF009 - frozen
    longest: int = 0  #: tokens in the longest window that the model takes; 0: unknown
    count: Count | None = None
    workers: tuple[WorkerInfo, ...] = ()
    model: str = ""
    storage: Storage | None = None
    queue: Queue | None = None
    earlier: tuple[Earlier, ...] = ()  #: jobs that have ended lately, oldest first

    def survey(self, options: Options) -> Survey:
        """What adds up the work of an input as it is read."""
        return Survey(options, self.cost, self.longest, self.count)

    def fleet(self, rows: int, now: float | None = None) -> Fleet:
        """The workers, and what they have to do before a job of this many rows that is submitted now."""
        before = 0.0
        with suppress(BulkqaError):
            before = sum(self._before(order.due_of(now or time.time(), rows)))
        return fleet_of(self.workers, before)

    def forecast(self, surveyed: Surveyed) -> Forecast:
        """The forecast of an input that was read."""
        return forecast(surveyed, self.cost, self.fleet(surveyed.rows), self.errors())

    def errors(self) -> Errors:
        """How far off the forecasts of these jobs were."""
        return Errors.of(each.forecast for each in self.earlier)

    def on_this_machine(self, threads: int) -> Outlook:
        """With a worker of this many threads that is about to start here, each as fast as those of the latest job."""
        speed = next((each.speed for each in reversed(self.earlier) if each.speed), 0.0)
        return replace(self, workers=(WorkerInfo("", self.model, "", "", threads, "", cost=self.cost, speed=speed),))

    def _before(self, due: float) -> Iterator[float]:
        """The seconds of work of each job that is served before what is due then."""
        if self.storage is None or self.queue is None:
            return
        storage = self.storage
        first = self.queue.planned(self.model, due, _BEFORE)
        digest = next((worker.digest for worker in self.workers), "")
        # Others were sent whole, or are due later: of those come first what workers hold, and what waits for one.
        chunks = Counter(job for job, _ in self.queue.queued(self.model, digest, _BEFORE))
        # Asked after the queue: a message that was taken meanwhile is counted twice rather than not at all.
        workers = [worker for worker in self.queue.workers() if worker.model == self.model]
        chunks += Counter(worker.job for worker in workers if worker.job)
        jobs = dict.fromkeys(first) | {job: chunks[job] for job in sorted(chunks.keys() - set(first))}
        done = {job: sum(worker.work for worker in workers if worker.job == job) for job in jobs}
        yield from many(storage, lambda job: max(0.0, _left(storage, job, jobs[job]) - done[job]), list(jobs))


#: Of which nothing is known, and nobody asked.
NOTHING = Outlook()


def look(settings: Settings, model: str, storage: Storage | None, queue: Queue | None) -> Outlook:
    """What is known of a model now. Without storage or queue, by its directory on this machine alone."""
    workers: tuple[WorkerInfo, ...] = ()
    if queue is not None and storage is not None:
        with suppress(BulkqaError):
            here = known_id(storage)
            workers = tuple(w for w in queue.workers() if w.model == model and w.storage in ("", here))
    measured = next((worker.cost for worker in workers if worker.cost), None)
    cost = measured or tokens.curve(settings.model_dir, model) or Cost()
    longest = min((worker.max_positions for worker in workers if worker.max_positions), default=0)
    if not longest:
        longest = _integer(tokens.described(settings.model_dir), model)
    count = tokens.counter(settings.model_dir, model)
    return Outlook(cost, longest, count, workers, model, storage, queue, _earlier(storage))


def _earlier(storage: Storage | None) -> tuple[Earlier, ...]:
    if storage is not None:
        with suppress(BulkqaError):
            return tuple(history(storage, _EARLIER))
    return ()


def _integer(about: dict[str, object], model: str) -> int:
    longest = about.get("max_positions") if about.get("name") == model else 0
    return longest if isinstance(longest, int) else 0


def _left(storage: Storage, job: str, chunks: int | None) -> float:
    """The seconds of work that are left of a job, or of `chunks` of its chunks; 0 if it cannot be read, as when it was
    removed. What a worker was said to hold may have its part by now."""
    try:
        manifest = load_manifest(storage, job)
        tally, footers = counting.counted(storage, job, {})
    except BulkqaError:
        return 0.0
    done, work = tally.plus(footers), _work(manifest)
    remaining = max(0.0, work - (done.work or work * done.rows / manifest.rows))
    return remaining if chunks is None else min(remaining, chunks * work / manifest.chunks)


def _work(manifest: Manifest) -> float:
    return manifest.forecast.work if manifest.forecast else _ROW * manifest.rows


@dataclass(frozen=True, slots=True)
class Earlier:
    """A job that has ended, with its forecast."""

    job: str
    ended_at: float
    forecast: Forecast
    speed: float = 0.0  #: of its threads (`WorkerInfo.speed`); 0 if it was too small to tell


@dataclass(frozen=True, slots=True)
class _Report:
    """The fields of a report that matter here."""

    status: str = ""
    finished_at: float | None = None
    forecast: Forecast | None = None
    cpu_seconds: float = 0.0


def history(storage: Storage, limit: int) -> list[Earlier]:
    """The latest jobs that have ended by themselves and had a forecast, oldest first. Raises StorageUnreachable."""
    names = storage.list(layout.JOBS)
    keyed = [name for name in names if has_key(name)]  # in no order of time
    jobs = [name for name in names if not has_key(name)][-limit:] + keyed[-limit:]

    def read(job: str) -> Earlier | None:
        try:
            report = codec.salvage(_Report, storage.read(layout.report(job)))
        except (FileNotFoundError, ValueError, BulkqaError):
            return None
        forecast = report.forecast
        if forecast is None or not forecast.seconds or not forecast.actual_seconds or report.status not in _BY_ITSELF:
            return None
        speed = forecast.work / report.cpu_seconds if report.cpu_seconds > _TELLING else 0.0
        return Earlier(job, report.finished_at or 0.0, forecast, speed)

    ended = [each for each in many(storage, read, jobs) if each is not None]
    return sorted(ended, key=lambda each: each.ended_at)[-limit:]
