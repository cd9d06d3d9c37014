"""The sweeper's loop: it reconciles every unfinished job, round after round. A round costs one listing of all jobs, and
one call for each job not known to have ended.

Once an hour it removes expired jobs, questions that nobody waits for any more, and what belongs to no manifest: chunks
of killed submissions, and the attempt of a worker that had read the manifest of a job just before it was removed.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from contract.errors import BulkqaError, RedisUnreachable, StorageUnreachable, UnknownJob, UsageError
from contract.format import layout
from contract.format.job import has_key, is_made_here
from contract.health import health_files
from contract.ledger import records
from contract.ledger.reconcile import reconcile
from contract.ledger.stored import load_manifest
from contract.logs import log_context
from contract.questions import stored as questions
from contract.queue import Queue
from contract.removal import remove
from contract.settings import Settings
from contract.storage import Storage
from contract.storage.many import many

log = logging.getLogger("bulkqa.sweeper")


@dataclass(slots=True)
class Round:
    """What one round over all open jobs did."""

    seconds: float = 0.0
    jobs: int = 0  #: open ones
    sent: int = 0  #: messages of chunks
    given_up: int = 0  #: chunks
    published: int = 0  #: jobs
    failures: Counter[str] = field(default_factory=Counter)  #: by cause: storage, redis or job


#: Seconds without a new chunk after which a submission is dead: a live one, however slow, adds chunks.
ABANDONED = 24 * 3600.0
#: Seconds between two removals.
_REMOVE_EVERY = 3600.0


def sweep_jobs(
    storage: Storage,
    queue: Queue,
    settings: Settings,
    *,
    stopped: threading.Event,
    once: bool = False,
    on_round: Callable[[Round], None] = lambda _: None,
) -> None:
    """Reconcile all unfinished jobs every `sweep_interval` seconds until `stopped`. Failures are logged: one of a job
    doesn't hold up the others, and an unreachable storage or Redis is retried in the next round. `on_round` is called
    after each round."""
    removed_at = -_REMOVE_EVERY
    ended: set[str] = set()
    expiries: dict[str, float] = {}
    health = health_files(settings.health_file, "sweeper")[0]
    log.info("sweeper: storage %s, a round every %g s", storage.url, settings.sweep_interval)
    while not stopped.is_set():
        began, this_round = time.monotonic(), Round()
        try:
            if remove_now := time.monotonic() - removed_at >= _REMOVE_EVERY:
                removed_at = time.monotonic()
                ended.clear()  # somebody may have removed a report, to have it written again
            for job in open_jobs(storage, ended):
                health.touch()
                with log_context(job=job):
                    _bring_forward(job, storage, queue, settings, this_round, health.touch)
            if remove_now:
                remove_abandoned(storage, beat=health.touch)
                remove_expired(storage, queue, time.time(), expiries, health.touch)
                questions.remove_old(storage, time.time())
        except StorageUnreachable as error:
            this_round.failures["storage"] += 1
            log.warning("sweeper waits: %s", error)
        this_round.seconds = time.monotonic() - began
        on_round(this_round)
        if once:
            return
        health.touch()
        stopped.wait(settings.sweep_interval)


def remove_abandoned(
    storage: Storage, older_than: float = ABANDONED, beat: Callable[[], None] = lambda: None
) -> list[str]:
    """Remove folders that belong to no manifest and hold no answers, if they are older than this many seconds. Returns
    them."""
    removed = []
    for job in filter(is_made_here, storage.list(layout.JOBS)):
        beat()
        try:
            for folder in _strays(storage, job):
                if storage.discard(folder, older_than):
                    removed.append(folder)
                    log.info("sweeper: removed %s, which belongs to no job", folder)
        except UsageError:
            continue  # a link, not a job of ours
    return removed


def remove_expired(
    storage: Storage, queue: Queue, now: float, expiries: dict[str, float], beat: Callable[[], None] = lambda: None
) -> list[str]:
    """Remove the jobs that have expired. Returns their ids.

    `expiries` is a cache of when other jobs expire, in seconds since 1970: those are not read again.
    """
    names = [job for job in storage.list(layout.EXPIRING) if is_made_here(job)]
    for job in expiries.keys() - set(names):
        del expiries[job]
    removed = []
    for job in names:
        beat()
        if expiries.get(job, 0.0) > now:
            continue
        try:
            expires_at = _expires_at(storage, job, now)
        except StorageUnreachable:
            raise
        except BulkqaError as error:
            log.warning("job %s may have expired, but is kept: %s", job, error.message)
            continue
        if expires_at is None:
            continue
        if expires_at > now:
            expiries[job] = expires_at
            continue
        size = remove(job, storage, queue)
        removed.append(job)
        log.info("sweeper: removed job %s, which has expired, %d bytes", job, size)
    return removed


def _expires_at(storage: Storage, job: str, now: float) -> float | None:
    """When a job expires, in seconds since 1970; None if it has not ended, or never expires."""
    try:
        manifest = load_manifest(storage, job)
    except UnknownJob:  # a submission that is under way or was killed
        records.forget_stray(storage, layout.expiring(job), now)
        return None
    report = records.report(storage, job)
    if report is None and _is_bare_manifest(storage, job):
        return now
    if report is None or report.finished_at is None or manifest.expire is None:
        return None
    return report.finished_at + manifest.expire


def _is_bare_manifest(storage: Storage, job: str) -> bool:
    """Whether only the manifest is left of a job: its removal was killed before the last step."""
    ours = [name for name, _ in storage.sizes(layout.folder(job)) if layout.kind_of(name)]
    return [f"{layout.folder(job)}/{name}" for name in ours] == [layout.manifest(job)]


def _strays(storage: Storage, job: str) -> list[str]:
    """The folders of a job that belong to no manifest: the whole job, or chunks of other submissions with its key."""
    submitted = storage.exists(layout.manifest(job))
    if submitted and not has_key(job):
        return []
    names = storage.list(layout.folder(job))
    if not submitted:  # with answers it was a job: that is left for people to look at
        return [layout.folder(job)] if all(map(layout.is_without_answers, names)) else []
    try:
        own = load_manifest(storage, job).chunks_folder
    except BulkqaError:  # also one of another version
        return []
    return [layout.chunks(job, name) for name in names if layout.is_chunks(name) and name != own]


def open_jobs(storage: Storage, ended: set[str]) -> list[str]:
    """The jobs that have not ended. `ended` is a cache of ended jobs, which are not looked at again; this call keeps it
    current. A job with a key is not cached: it may be removed and submitted again."""

    def has_ended(job: str) -> bool:
        try:
            return storage.exists(layout.report(job))
        except UsageError:
            return False  # not a folder of ours, or a link

    names = storage.list(layout.JOBS)
    ended.intersection_update(names)
    unknown = [name for name in names if name not in ended]
    ended_now = dict(zip(unknown, many(storage, has_ended, unknown), strict=True))
    ended.update(name for name in unknown if ended_now[name] and not has_key(name))
    return [name for name in unknown if not ended_now[name]]


def _bring_forward(
    job: str, storage: Storage, queue: Queue, settings: Settings, this_round: Round, beat: Callable[[], None]
) -> None:
    """Reconcile a job and count what was done. Never raises, whatever is wrong with the job."""
    try:
        if storage.exists(layout.manifest(job)):
            this_round.jobs += 1
            repair = reconcile(job, storage, queue, settings, owner="sweeper", beat=beat)
            this_round.sent += len(repair.sent)
            this_round.given_up += len(repair.given_up)
            this_round.published += repair.published
    except UsageError:
        pass  # not a folder of ours, a link, or a job that was just removed
    except RedisUnreachable as error:
        this_round.failures["redis"] += 1
        log.warning("job %s waits: %s", job, error.message)
    except BulkqaError as error:
        this_round.failures["storage" if isinstance(error, StorageUnreachable) else "job"] += 1
        log.error("job %s cannot be advanced: %s", job, error)  # noqa: TRY400 - the message says it all
    except Exception:  # the other jobs go on, whatever it is
        this_round.failures["job"] += 1
        log.exception("job %s cannot be advanced", job)
