"""The records of a job in storage, read and written: attempts, the pinned model, the cancel marker, the report; and
with them the status of one job or of all. What they add up to is decided in `progress`."""

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
from contract.ledger.reasons import CANCELLED, Reason
from contract.ledger.stored import load_manifest
from contract.ledger.tally import Scored
from contract.namespace import known_id
from contract.queue import Queue, WorkerInfo
from contract.remedy import Call, Remedy
from contract.removal import Note
from contract.storage import Storage
from contract.storage.many import many

#: Seconds after which a note about a job that was never submitted is deleted.
_STRAY = 24 * 3600.0
#: Ended jobs that a caller's cache holds at most: some kilobytes each.
_CACHED = 5000


@dataclass(frozen=True, slots=True)
class Attempts:
    """The attempts at one chunk."""

    started: frozenset[int] = frozenset()
    released: frozenset[int] = frozenset()  #: of those, the ones that ended in order

    @property
    def dead(self) -> tuple[int, ...]:
        """Attempts that did not end in order, by number; the one under way, if any, is among them."""
        return tuple(sorted(self.started - self.released))


@dataclass(frozen=True, slots=True)
class CancelMarker:
    """Present: the job is to be cancelled."""

    asked_at: float = 0.0
    reason: Reason | None = None  #: None: somebody asked for it


@dataclass(frozen=True, slots=True)
class Retried:
    """Present: another job tries the failed rows of this one again."""

    at: float = 0.0


def retries(storage: Storage, job: str) -> dict[str, float]:
    """The jobs that try the failed rows of a job again, by id, and when each was made."""
    return {
        name: codec.salvage(Retried, storage.read(layout.retried(job, name))).at
        for name in storage.list(layout.retries(job))
    }


def attempts(storage: Storage, job: str) -> dict[int, Attempts]:
    """The attempts at each chunk that has no part yet, by its number. Some records of finished chunks may be left."""
    by_chunk: dict[int, dict[str, set[int]]] = {}
    for name in storage.list(layout.attempts(job)):
        parsed = layout.attempt_of(name)
        if parsed:
            number, attempt, kind = parsed
            by_chunk.setdefault(number, {"": set(), "released": set(), "row": set()})[kind].add(attempt)
    return {n: Attempts(frozenset(kinds[""]), frozenset(kinds["released"])) for n, kinds in by_chunk.items()}


def model(storage: Storage, job: str) -> ModelRef | None:
    """The model that a job is pinned to, if any."""
    try:
        return codec.read(ModelRef, storage.read(layout.model(job)))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise BulkqaError(
            f"the pinned model of job {job} is damaged: {error}",
            Remedy(
                f"If all workers hold the same model, remove {storage.locate(layout.model(job))}, then: ",
                Call("repair", job),
            ),
        ) from error


def pin_model(storage: Storage, job: str, mine: ModelRef) -> ModelRef:
    """The model that a job is pinned to. If there is none yet, pins it to `mine`."""
    pinned = model(storage, job)
    if pinned is None and not storage.create(layout.model(job), codec.dump(mine)):
        pinned = model(storage, job)
    return pinned or mine


def pin_at_submit(storage: Storage, job: str, model: ModelRef) -> None:
    """Pin a job to a model before its manifest is written, so that no worker with another digest begins it. The sweeper
    removes what a killed submission left. Raises UsageError if a submission with the same key pinned another model."""
    pinned = pin_model(storage, job, model)
    if pinned.digest != model.digest:
        raise UsageError(
            f"another submission with the key of job {job} is pinned to the model {pinned.name} ({pinned.digest}), "
            f"this one to {model.name} ({model.digest})",
            "Use a new key.",
        )


def forget_stray(storage: Storage, key: str, now: float) -> None:
    """Delete a note whose job doesn't exist, if it is a day old: before that, the submission may be under way."""
    with suppress(FileNotFoundError):
        if now - codec.salvage(Note, storage.read(key)).at > _STRAY:
            storage.delete(key)


def request_cancel(storage: Storage, job: str, reason: Reason | None = None) -> None:
    """Write the cancel marker, at which workers stop a job, if there is none yet."""
    storage.create(layout.cancel(job), codec.dump(CancelMarker(time.time(), reason)))


def cancel_requested(storage: Storage, job: str) -> bool:
    """Whether the cancel marker exists."""
    return storage.exists(layout.cancel(job))


def cancel_marker(storage: Storage, job: str) -> CancelMarker | None:
    """The cancel marker, as far as it can be read; None if there is none."""
    try:
        return codec.salvage(CancelMarker, storage.read(layout.cancel(job)))
    except FileNotFoundError:
        return None


def cancel_reason(storage: Storage, job: str) -> Reason | None:
    """Why a job is to be cancelled; None if it is not."""
    marker = cancel_marker(storage, job)
    return (marker.reason or CANCELLED) if marker else None


@dataclass(frozen=True, slots=True)
class PauseMarker:
    """While it is present, no chunk of the job is sent, and its messages are dropped."""

    asked_at: float = 0.0


def pause_marker(storage: Storage, job: str) -> PauseMarker | None:
    """The marker of a paused job, as far as it can be read; None if it is not paused."""
    try:
        return codec.salvage(PauseMarker, storage.read(layout.paused(job)))
    except FileNotFoundError:
        return None


def is_paused(storage: Storage, job: str) -> bool:
    """Whether the job is paused: no chunk of it is sent."""
    return storage.exists(layout.paused(job))


def report(storage: Storage, job: str) -> Progress | None:
    """The published report of a job; None if it has not ended."""
    try:
        return codec.read(Progress, storage.read(layout.report(job)))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise BulkqaError(
            f"the report of job {job} is damaged: {error}",
            Remedy(f"Remove {storage.locate(layout.report(job))}, then: ", Call("repair", job)),
        ) from error


def status(storage: Storage, queue: Queue | None, job: str, cache: dict[int, Footer] | None = None) -> Progress:
    """The status of a job. Without Redis it is still right, and the `reason` says that Redis is away. `cache` holds
    footers between calls, as in `counting.footers`. Raises UnknownJob."""
    published = report(storage, job)
    if published:
        return published
    manifest = load_manifest(storage, job)
    pinned = model(storage, job)
    # In this order: if the part of a chunk is written meanwhile, its rows still count.
    begun = attempts(storage, job)
    hints = _seen_in_redis(storage, queue, manifest, pinned, begun)
    tally, footers = counting.counted(storage, job, {} if cache is None else cache)
    unfinished = {number: tries for number, tries in begun.items() if number not in footers and not tally.has(number)}
    seen = Seen(
        tally=tally,
        footers=footers,
        attempts=sum(len(tries.started) for tries in unfinished.values()),
        repeated=tuple(number for number, tries in unfinished.items() if len(tries.started) > 1),
        retry=_retry(storage, job, unfinished),
        cancelled=cancel_reason(storage, job),
        paused=is_paused(storage, job),
        model=pinned,
        **hints,
    )
    # The report may have been published while the rest was read: then it holds, not a half-empty folder.
    return report(storage, job) or ledger.progress(manifest, seen, time.time())


def _retry(storage: Storage, job: str, unfinished: dict[int, Attempts]) -> tuple[int, int, tuple[int, ...]] | None:
    """The chunk that ended most workers: its number, the current attempt, its suspected and poison rows.

    The rows in flight of the current attempt change with every micro-batch, and are no suspects while it lives.
    """
    deaths = {number: tries.dead for number, tries in unfinished.items() if len(tries.dead) > 1}
    if not deaths:
        return None
    number = max(deaths, key=lambda chunk: len(deaths[chunk]))
    current = max(unfinished[number].started)
    in_flight = {attempt: quarantine.read(storage, job, number, attempt) for attempt in deaths[number]}
    suspects = {row for attempt, notes in in_flight.items() if attempt != current for row in notes.rows}
    poison = {row for notes in in_flight.values() for row in notes.poison}
    return number, current, tuple(sorted(suspects | poison))


def jobs(storage: Storage) -> list[str]:
    """The ids of all jobs that have a manifest, sorted: the oldest first."""

    def submitted(name: str) -> bool:
        try:
            return storage.exists(layout.manifest(name))
        except UsageError:
            return False  # not a folder of ours, or a link

    names = storage.list(layout.JOBS)
    return [name for name, exists in zip(names, many(storage, submitted, names), strict=True) if exists]


def statuses(
    storage: Storage, queue: Queue | None, ended: dict[str, Progress] | None = None
) -> Iterator[tuple[str, Progress | BulkqaError]]:
    """The status of each job, or the error that keeps it from being read; sorted by id, the oldest first. Raises
    StorageUnreachable.

    `ended` is a cache of ended jobs, which are not read again; this call keeps it current. A job with a key is not
    cached: it may be removed and submitted again.
    """
    cache = {} if ended is None else ended

    def status_of(job: str) -> Progress | BulkqaError | None:
        if job in cache:
            return cache[job]
        try:
            progress = status(storage, queue, job)
            if ended is not None and progress.finished and not has_key(job) and len(cache) < _CACHED:
                cache[job] = progress
            return progress
        except (UnknownJob, UsageError):
            return None  # being submitted, or not a job of ours
        except Unreachable:
            raise
        except BulkqaError as error:
            return error

    names = storage.list(layout.JOBS)
    for job in cache.keys() - set(names):
        cache.pop(job, None)  # another thread may do the same
    results = zip(names, many(storage, status_of, names), strict=True)
    return ((name, result) for name, result in results if result is not None)


def _seen_in_redis(
    storage: Storage, queue: Queue | None, manifest: Manifest, pinned: ModelRef | None, begun: dict[int, Attempts]
) -> dict[str, Any]:
    """What Redis knows about a job, as fields of `Seen`: running chunks, their rows, workers, messages ahead of it."""
    if queue is None:
        return {}
    try:
        hints = queue.hints(manifest.model, manifest.id, pinned.digest if pinned else "")
        workers = [worker for worker in queue.workers() if worker.model == manifest.model]
        here = known_id(storage)
        serving = [worker for worker in workers if worker.storage in ("", here)]
        elsewhere = 0 if serving else len(workers) + queue.workers_elsewhere(manifest.model)
    except RedisUnreachable:
        return {}
    running = tuple(number for number, until in hints.leases.items() if until > hints.now and number >= 0)
    fit = [worker for worker in serving if not pinned or worker.digest == pinned.digest]
    return {
        "running": running,
        "scored": _scored(serving, manifest.id, begun),
        "workers": tuple(worker.name for worker in fit),
        "others": len(serving) - len(fit),
        "elsewhere": elsewhere,
        "trouble": next(((worker.name, worker.trouble) for worker in fit if worker.trouble), None),
        "ahead": max(0, hints.waiting - len(hints.sent.keys() - running)),
    }


def _scored(workers: list[WorkerInfo], job: str, begun: dict[int, Attempts]) -> tuple[Scored, ...]:
    """The rows of a job's chunks by the heartbeats of their workers. Of each chunk only the latest attempt counts, and
    only until it is released: the rows of the others are lost."""
    none = Attempts()
    by_chunk: dict[int, Scored] = {}
    for each in workers:
        if each.job == job and each.chunk is not None:
            tries = begun.get(each.chunk, none)
            if each.attempt == max(tries.started, default=None) and each.attempt not in tries.released:
                held, age = each.held_seconds or 0.0, each.age_seconds
                rows = each.answered, each.no_answer, each.failed
                by_chunk[each.chunk] = Scored(each.chunk, *rows, each.work, held, age)
    return tuple(by_chunk.values())
