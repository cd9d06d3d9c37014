"""Waiting for a job: poll it, bring it forward, poll again. A client that stops waiting doesn't end the job.

What waits is written as steps, so that a server can have hundreds of it wait without a thread each."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress
from typing import TypeVar

from contract.errors import (
    COMPLETED_WITH_ERRORS,
    JOB_CANCELLED,
    JOB_FAILED,
    NoWorker,
    RedisUnreachable,
    TimedOut,
)
from contract.format.part import Footer
from contract.ledger import records
from contract.ledger.progress import Progress
from contract.ledger.reconcile import WHOLE, Bound, reconcile
from contract.queue import Queue
from contract.settings import Settings
from contract.storage import Storage

T = TypeVar("T")
#: Something that waits: each step gives the seconds until the next, and the last returns the result.
Steps = Generator[float, None, T]

#: Time between two calls of reconcile: seconds, and a multiple of how long the last one took.
_RECONCILE_EVERY, _RECONCILE_SHARE = 2.0, 20.0

EXIT_CODES = {
    "completed": 0,
    "completed_with_errors": COMPLETED_WITH_ERRORS,
    "failed": JOB_FAILED,
    "cancelled": JOB_CANCELLED,
}


#: Reasons for which no worker scores a job until somebody acts.
_NO_WORKER = ("no_worker", "other_model", "other_storage")


class StillRunning(TimedOut):
    """The job has not ended within the timeout; it continues."""

    def __init__(self, progress: Progress) -> None:
        super().__init__(f"job {progress.id} is still {progress.status}")
        self.progress = progress


def completed(steps: Steps[T]) -> T:
    """Take all steps, and sleep in between."""
    while True:
        try:
            pause = next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
        time.sleep(pause)


def follow(
    job: str, storage: Storage, queue: Queue, settings: Settings, timeout: float | None = None, bound: Bound = WHOLE
) -> Iterator[Progress]:
    """The progress of a job, as by `polls`, with sleep in between. Raises StillRunning after `timeout` seconds."""
    started = time.monotonic()
    for progress, pause in polls(job, storage, queue, settings, bound):
        yield progress
        if progress.finished:
            return
        if timeout is not None and time.monotonic() - started > timeout:
            raise StillRunning(progress)
        time.sleep(pause)


def polls(
    job: str, storage: Storage, queue: Queue, settings: Settings, bound: Bound = WHOLE
) -> Iterator[tuple[Progress, float]]:
    """The progress of a job until the job has ended, each with the seconds to wait before the next: they grow from a
    twentieth of one to one.

    Reconciles between polls, within `bound`, so that the job ends even if no sweeper runs. Redis may be away meanwhile:
    the `reason` of the progress says so.
    """
    footers: dict[int, Footer] = {}
    reconcile_at, pause = 0.0, 0.05
    while True:
        progress = records.status(storage, queue, job, footers)
        yield progress, pause
        if progress.finished:
            return
        began = time.monotonic()
        if (progress.status == "finalizing" and bound == WHOLE) or began >= reconcile_at:
            with suppress(RedisUnreachable):  # the next poll reports it
                reconcile(job, storage, queue, settings, bound=bound)
            now = time.monotonic()
            reconcile_at = now + max(_RECONCILE_EVERY, _RECONCILE_SHARE * (now - began))
        pause = min(1.0, pause * 1.2)


def patient(steps: Iterable[Progress], patience: float | None) -> Iterator[Progress]:
    """The same steps. Raises NoWorker once no worker has served the job's model for `patience` seconds; None: never."""
    since: float | None = None
    for progress in steps:
        yield progress
        reason = progress.reason
        if progress.finished or reason is None or reason.code not in _NO_WORKER:
            since = None
            continue
        since = time.monotonic() if since is None else since
        if patience is not None and time.monotonic() - since >= patience:
            raise NoWorker(reason.message, reason.remedy)
