"""Reading and writing a job's records in storage: the effects around `progress`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from contract.errors import BulkqaError, RedisUnreachable, UnknownJob, Unreachable, UsageError
from contract.format import codec, layout
from contract.format.job import Manifest, ModelRef, has_key
from contract.format.part import Footer
from contract.ledger import counting, quarantine
from contract.ledger import progress as ledger
from contract.ledger.progress import Progress, Seen
from contract.ledger.stored import load_manifest
from contract.namespace import known_id
from contract.queue import Queue
from contract.storage import Storage
from contract.storage.many import many

#: Seconds after which what was noted of no job is forgotten.
_STRAY = 24 * 3600.0
#: Jobs that have ended and are kept in mind, at most: some kilobytes each.
_KEPT = 5000


@dataclass(frozen=True, slots=True)
class Attempts:
    """The attempts at one chunk."""

    started: frozenset[int] = frozenset()
    released: frozenset[int] = frozenset()  #: of those, the ones that ended in order

    @property
    def dead(self) -> tuple[int, ...]:
        """Attempts that did not end in order, in their order; the one under way, if any, is among them."""
        return tuple(sorted(self.started - self.released))


@dataclass(frozen=True, slots=True)
class Note:
    """Something that is noted of a job beside it."""

    at: float = 0.0  #: when it was noted


@dataclass(frozen=True, slots=True)
class CancelMarker:
    """That the job is to be cancelled."""

    asked_at: float = 0.0


def attempts(storage: Storage, job: str) -> dict[int, Attempts]:
    """The attempts at every chunk of a job that has no part yet; of those that have, some may be left."""
    found: dict[int, dict[str, set[int]]] = {}
    for name in storage.list(layout.attempts(job)):
        parsed = layout.attempt_of(name)
        if parsed:
            number, attempt, kind = parsed
            found.setdefault(number, {"": set(), "released": set(), "row": set()})[kind].add(attempt)
    return {n: Attempts(frozenset(k[""]), frozenset(k["released"])) for n, k in found.items()}


def model(storage: Storage, job: str) -> ModelRef | None:
    """The model that was pinned for a job, if one was."""
    try:
        return codec.read(ModelRef, storage.read(layout.model(job)))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise BulkqaError(
            f"what job {job} says of its model is damaged: {error}",
            f"If all workers hold one model, remove {storage.locate(layout.model(job))}, then: producer repair {job}",
        ) from error


def pin_model(storage: Storage, job: str, mine: ModelRef) -> ModelRef:
    """The model of a job: the one pinned before, else `mine`, which is pinned now."""
    pinned = model(storage, job)
    if pinned is None and not storage.create(layout.model(job), codec.dump(mine)):
        pinned = model(storage, job)
    return pinned or mine


def note(storage: Storage, key: str, now: float) -> None:
    """Note something of a job beside it, before there is a manifest: so that no job is ever without it."""
    storage.create(key, codec.dump(Note(now)))


def forget_stray(storage: Storage, key: str, now: float) -> None:
    """Forget what was noted of a job that there is none of, if that was a day ago: a submission has its time."""
    with suppress(FileNotFoundError):
        if now - codec.salvage(Note, storage.read(key)).at > _STRAY:
            storage.delete(key)


def ask_cancel(storage: Storage, job: str) -> None:
    """Put the marker there by which workers stop a job."""
    storage.create(layout.cancel(job), codec.dump(CancelMarker(time.time())))


def cancel_asked(storage: Storage, job: str) -> bool:
    """Whether the marker is there."""
    return storage.exists(layout.cancel(job))


def report(storage: Storage, job: str) -> Progress | None:
    """What was published of a job, None before that."""
    try:
        return codec.read(Progress, storage.read(layout.report(job)))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise BulkqaError(
            f"the report of job {job} is damaged: {error}",
            f"Remove {storage.locate(layout.report(job))}, then: producer repair {job}",
        ) from error


def status(storage: Storage, queue: Queue | None, job: str, known: dict[int, Footer] | None = None) -> Progress:
    """Where a job stands. Works without Redis, which then is the `reason`. Raises UnknownJob."""
    published = report(storage, job)
    if published:
        return published
    manifest = load_manifest(storage, job)
    pinned = model(storage, job)
    tally, later = counting.counted(storage, job, {} if known is None else known)
    unfinished = {
        number: made for number, made in attempts(storage, job).items() if number not in later and not tally.has(number)
    }
    seen = Seen(
        tally=tally,
        footers=later,
        attempts=sum(len(made.started) for made in unfinished.values()),
        repeated=tuple(number for number, made in unfinished.items() if len(made.started) > 1),
        retry=_retry(storage, job, unfinished),
        cancelled=cancel_asked(storage, job),
        model=pinned,
        **_around(storage, queue, manifest, pinned),
    )
    # The report may have come while the rest was read: then it, and not a half-empty folder, is the truth.
    return report(storage, job) or ledger.progress(manifest, seen, time.time())


def _retry(storage: Storage, job: str, unfinished: dict[int, Attempts]) -> tuple[int, int, tuple[int, ...]] | None:
    """The chunk that has ended most workers: its number, the attempt under way, the rows suspected or found guilty."""
    deaths = {number: made.dead for number, made in unfinished.items() if len(made.dead) > 1}
    if not deaths:
        return None
    number = max(deaths, key=lambda each: len(deaths[each]))
    left = [quarantine.read(storage, job, number, attempt) for attempt in deaths[number]]
    rows = {row for one in left for row in (*one.rows, *one.poison)}
    return number, max(unfinished[number].started), tuple(sorted(rows))


def jobs(storage: Storage) -> list[str]:
    """Ids of all jobs that have a manifest, oldest first by name."""

    def submitted(name: str) -> bool:
        try:
            return storage.exists(layout.manifest(name))
        except UsageError:
            return False  # a folder that is none of ours, or a link

    names = storage.list(layout.JOBS)
    return [name for name, one in zip(names, many(storage, submitted, names), strict=True) if one]


def standings(
    storage: Storage, queue: Queue | None, ended: dict[str, Progress] | None = None
) -> Iterator[tuple[str, Progress | BulkqaError]]:
    """Where each job stands, oldest first by name, or what is wrong with it. Raises StorageUnreachable.

    `ended` holds jobs of which that is known, and is brought up to date: who asks often reads none of them again. One
    with a key is read: it may have been removed and made again since.
    """
    kept = {} if ended is None else ended

    def stand(job: str) -> Progress | BulkqaError | None:
        if job in kept:
            return kept[job]
        try:
            found = status(storage, queue, job)
            if ended is not None and found.finished and not has_key(job) and len(kept) < _KEPT:
                kept[job] = found
            return found
        except (UnknownJob, UsageError):
            return None  # being submitted, or none of ours
        except Unreachable:
            raise
        except BulkqaError as error:
            return error

    names = storage.list(layout.JOBS)
    for job in kept.keys() - set(names):
        kept.pop(job, None)  # another thread may be at it
    return ((name, found) for name, found in zip(names, many(storage, stand, names), strict=True) if found is not None)


def _around(storage: Storage, queue: Queue | None, manifest: Manifest, pinned: ModelRef | None) -> dict[str, Any]:
    """What Redis tells of a job, as the fields of `Seen`: of chunks under way, workers, and what waits before it."""
    if queue is None:
        return {}
    try:
        hints = queue.hints(manifest.model, manifest.id, pinned.digest if pinned else "")
        found = [worker for worker in queue.workers() if worker.model == manifest.model]
        here = known_id(storage)
        serving = [worker for worker in found if worker.storage in ("", here)]
        elsewhere = 0 if serving else len(found) + queue.elsewhere(manifest.model)
    except RedisUnreachable:
        return {}
    running = tuple(number for number, until in hints.leases.items() if until > hints.now and number >= 0)
    fit = [worker for worker in serving if not pinned or worker.digest == pinned.digest]
    return {
        "running": running,
        "workers": tuple(worker.name for worker in fit),
        "others": len(serving) - len(fit),
        "elsewhere": elsewhere,
        "trouble": next(((worker.name, worker.trouble) for worker in fit if worker.trouble), None),
        "ahead": max(0, hints.waiting - len(hints.sent.keys() - running)),
    }
