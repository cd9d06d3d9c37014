"""The sweeper's loop: every unfinished job, round after round. What is done for a job is `reconcile`. A round costs a
listing of all jobs, and a look at each that is not known to have ended.

Once an hour it removes the chunks of submissions that were killed, which no manifest speaks of, and the jobs that were
to be kept until then.
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
from contract.logs import speaking_of
from contract.queue import Queue
from contract.removal import remove
from contract.settings import Settings
from contract.storage import Storage
from contract.storage.many import many

log = logging.getLogger("bulkqa.sweeper")


@dataclass(slots=True)
class Round:
    """What was done in a round over all open jobs."""

    seconds: float = 0.0
    jobs: int = 0  #: that had not ended
    sent: int = 0  #: messages of chunks
    given_up: int = 0  #: chunks
    published: int = 0  #: jobs
    failures: Counter[str] = field(default_factory=Counter)  #: by what kept a job back: storage, redis or job


#: A submission to which nothing was added for this long is dead: one that lives, however slow, adds a chunk at times.
ABANDONED = 24 * 3600.0
_LOOK = 3600.0


def sweep_jobs(
    storage: Storage,
    queue: Queue,
    settings: Settings,
    *,
    stopped: threading.Event,
    once: bool = False,
    told: Callable[[Round], None] = lambda _: None,
) -> None:
    """Reconcile all unfinished jobs every `sweep_interval` seconds until `stopped`. A job that fails is logged and
    does not keep the others waiting; so is a storage or Redis that is away. Each round is `told`."""
    looked = -_LOOK
    ended: set[str] = set()
    kept: dict[str, float] = {}
    health = health_files(settings.health_file, "sweeper")[0]
    log.info("sweeper: storage %s, a round every %g s", storage.url, settings.sweep_interval)
    while not stopped.is_set():
        began, this = time.monotonic(), Round()
        try:
            if due := time.monotonic() - looked >= _LOOK:
                looked = time.monotonic()
                ended.clear()  # somebody may have removed a report, to have it made again
            for job in open_jobs(storage, ended):
                health.beat()
                with speaking_of(job=job):
                    _bring_forward(job, storage, queue, settings, this)
            if due:
                remove_abandoned(storage, beat=health.beat)
                remove_expired(storage, queue, time.time(), kept, health.beat)
        except StorageUnreachable as error:
            this.failures["storage"] += 1
            log.warning("sweeper waits: %s", error)
        this.seconds = time.monotonic() - began
        told(this)
        if once:
            return
        health.beat()
        stopped.wait(settings.sweep_interval)


def remove_abandoned(
    storage: Storage, older_than: float = ABANDONED, beat: Callable[[], None] = lambda: None
) -> list[str]:
    """Remove chunks that no manifest speaks of, if nothing came to them for so many seconds. Returns their folders."""
    removed = []
    for job in filter(is_made_here, storage.list(layout.JOBS)):
        beat()
        try:
            for folder in _strays(storage, job):
                if storage.discard(folder, older_than):
                    removed.append(folder)
                    log.info("sweeper: %s, of a submission that was not finished, is removed", folder)
        except UsageError:
            continue  # a link, and none of ours
    return removed


def remove_expired(
    storage: Storage, queue: Queue, now: float, kept: dict[str, float], beat: Callable[[], None] = lambda: None
) -> list[str]:
    """Remove the jobs that ended long enough ago for what was asked of them. Returns them.

    `kept` holds until when others are kept, in seconds since 1970, as far as that is known: they are not read again.
    """
    names = [job for job in storage.list(layout.EXPIRING) if is_made_here(job)]
    for job in kept.keys() - set(names):
        del kept[job]
    removed = []
    for job in names:
        beat()
        if kept.get(job, 0.0) > now:
            continue
        try:
            until = _kept_until(storage, job, now)
        except StorageUnreachable:
            raise
        except BulkqaError as error:
            log.warning("job %s was to be removed, and stays: %s", job, error.message)
            continue
        if until is None:
            continue
        if until > now:
            kept[job] = until
            continue
        size = remove(job, storage, queue)
        removed.append(job)
        log.info("sweeper: job %s was kept as long as was asked for and is removed, %d bytes", job, size)
    return removed


def _kept_until(storage: Storage, job: str, now: float) -> float | None:
    """When a job is to be removed, in seconds since 1970; None: that is not known yet."""
    try:
        manifest = load_manifest(storage, job)
    except UnknownJob:  # a submission under way, or one that died
        records.forget_stray(storage, layout.expiring(job), now)
        return None
    report = records.report(storage, job)
    if report is None and _is_rest(storage, job):
        return now
    if report is None or report.finished_at is None or manifest.expire is None:
        return None
    return report.finished_at + manifest.expire


def _is_rest(storage: Storage, job: str) -> bool:
    """Whether nothing of ours is left of a job but its manifest: whoever was removing it died before the last step."""
    ours = [name for name, _ in storage.sizes(layout.folder(job)) if layout.kind_of(name)]
    return [f"{layout.folder(job)}/{name}" for name in ours] == [layout.manifest(job)]


def _strays(storage: Storage, job: str) -> list[str]:
    """The folders under a job's id that no manifest speaks of: all of it, or chunks of others with its key."""
    submitted = storage.exists(layout.manifest(job))
    if submitted and not has_key(job):
        return []
    names = storage.list(layout.folder(job))
    if not submitted:  # with anything but chunks it was a job, and is for people to look at
        return [layout.folder(job)] if all(map(layout.is_chunks, names)) else []
    try:
        own = load_manifest(storage, job).chunks_folder
    except BulkqaError:  # also one of another version
        return []
    return [layout.chunks(job, name) for name in names if layout.is_chunks(name) and name != own]


def open_jobs(storage: Storage, ended: set[str]) -> list[str]:
    """The jobs that have not ended. `ended` holds those of which that is known, and is brought up to date: what has
    ended is not looked at in every round. A job with a key is: it may have been removed and made again since."""

    def has_ended(job: str) -> bool:
        try:
            return storage.exists(layout.report(job))
        except UsageError:
            return False  # a folder that is none of ours, or a link

    names = storage.list(layout.JOBS)
    ended.intersection_update(names)
    unknown = [name for name in names if name not in ended]
    found = dict(zip(unknown, many(storage, has_ended, unknown), strict=True))
    ended.update(name for name in unknown if found[name] and not has_key(name))
    return [name for name in unknown if not found[name]]


def _bring_forward(job: str, storage: Storage, queue: Queue, settings: Settings, this: Round) -> None:
    """Reconcile a job, whatever is wrong with it, and count what was done."""
    try:
        if storage.exists(layout.manifest(job)):
            this.jobs += 1
            done = reconcile(job, storage, queue, settings, owner="sweeper")
            this.sent += len(done.sent)
            this.given_up += len(done.given_up)
            this.published += done.published
    except UsageError:
        pass  # a folder that is none of ours, a link, or a job that was removed just now
    except RedisUnreachable as error:
        this.failures["redis"] += 1
        log.warning("job %s waits: %s", job, error.message)
    except BulkqaError as error:
        this.failures["storage" if isinstance(error, StorageUnreachable) else "job"] += 1
        log.error("job %s cannot be brought forward: %s", job, error)  # noqa: TRY400 - the message says it all
    except Exception:  # whatever it is, the others go on
        this.failures["job"] += 1
        log.exception("job %s cannot be brought forward", job)
