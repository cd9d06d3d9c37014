"""Removing jobs: one by its id, or those that ended long ago. `contract.removal` deletes the objects."""

from __future__ import annotations

import time
from dataclasses import dataclass

from contract.errors import NotEnded, TimedOut, UnknownJob
from contract.format import layout
from contract.format.job import is_made_here
from contract.ledger import records
from contract.ledger.reconcile import retire
from contract.ledger.stored import load_manifest, no_such_job
from contract.queue import Queue
from contract.remedy import Call, Remedy
from contract.removal import remove
from contract.storage import Storage
from producer.jobs import usage
from producer.jobs.find import find
from producer.jobs.follow import Steps, completed


@dataclass(frozen=True, slots=True)
class Old:
    """A job that may be removed."""

    job: str
    status: str
    since_at: float  #: when it ended; if it has not, when it was submitted
    bytes: int


def find_removable(storage: Storage, job: str) -> str:
    """The id of a job, as by `find`; also of the remains of a job, given its full id. Raises UnknownJob."""
    try:
        return find(storage, job)
    except UnknownJob:
        if is_made_here(job) and _has_remains(storage, job):
            return job
        raise


def _has_remains(storage: Storage, job: str) -> bool:
    """Whether a folder without a manifest has more than chunks. Chunks alone may belong to a submission under way: the
    sweeper removes those."""
    return any(layout.kind_of(name) not in ("chunks", None) for name, _ in storage.sizes(layout.folder(job)))


def delete(
    job: str, storage: Storage, queue: Queue, *, cancel: bool = False, force: bool = False, timeout: float | None = None
) -> int:
    """Remove a job, as by `deleting`, with sleep between the steps."""
    return completed(deleting(job, storage, queue, cancel=cancel, force=force, timeout=timeout))


def deleting(
    job: str, storage: Storage, queue: Queue, *, cancel: bool = False, force: bool = False, timeout: float | None = None
) -> Steps[int]:
    """Remove a job; returns how many bytes it took. `cancel` first ends a job that has not ended, and waits for
    `timeout` seconds at most until no worker holds any of it; nothing of it is published. `force` removes it at once: a
    worker may then leave a part behind.

    Raises NotEnded without either, TimedOut, UnknownJob.
    """
    if not is_made_here(job):
        raise UnknownJob(f"{job} is not an id that bulkqa made, so it is not deleted", "Remove its folder yourself.")
    submitted = storage.exists(layout.manifest(job))
    if not submitted and not _has_remains(storage, job):
        raise no_such_job(storage, job)
    if submitted and not force and not storage.exists(layout.report(job)):
        if not cancel:
            raise NotEnded(
                f"job {job} has not ended: it is {records.status(storage, None, job).status}",
                Remedy("Wait for it, or cancel and delete it: ", Call("delete", job, ("cancel",))),
            )
        yield from _end(job, storage, queue, timeout)
    return remove(job, storage, queue)


def _end(job: str, storage: Storage, queue: Queue, timeout: float | None) -> Steps[None]:
    """Wait until nobody works on a job. Raises TimedOut."""
    started, pause = time.monotonic(), 0.05
    while not retire(job, storage, queue):
        if timeout is not None and time.monotonic() - started > timeout:
            raise TimedOut(f"job {job} is being cancelled and has not ended yet", "Ask again.")
        yield pause
        pause = min(1.0, pause * 1.2)


def old(storage: Storage, job: str, before: float, *, unfinished: bool = False) -> Old | None:
    """A job, if it ended before a time; with `unfinished`, also if it was submitted before it and has not ended."""
    if not is_made_here(job):
        return None
    if report := records.report(storage, job):
        since, status = report.finished_at or report.created_at, report.status
    elif unfinished:
        since, status = load_manifest(storage, job).created_at, "unfinished"
    else:
        return None
    return Old(job, status, since, usage.of(storage, job).total) if since < before else None
