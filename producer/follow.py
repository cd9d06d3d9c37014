"""Waiting for a job: look, bring it forward, look again. A client that stops waiting never ends a job."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from contract import layout, part, records
from contract.broker import Queue
from contract.errors import COMPLETED_WITH_ERRORS, JobCancelled, JobFailed, RedisUnreachable
from contract.ledger import Progress
from contract.part import Footer
from contract.reconcile import reconcile
from contract.settings import Settings
from contract.storage import Storage

_RECONCILE_EVERY = 2.0

EXIT_CODES = {
    "completed": 0,
    "completed_with_errors": COMPLETED_WITH_ERRORS,
    "failed": JobFailed.exit_code,
    "cancelled": JobCancelled.exit_code,
}


class TimedOut(Exception):
    """The wait was longer than its limit; the job goes on."""

    def __init__(self, progress: Progress) -> None:
        super().__init__(f"job {progress.id} is still {progress.status}")
        self.progress = progress


def follow(
    job: str, storage: Storage, queue: Queue, settings: Settings, timeout: float | None = None
) -> Iterator[Progress]:
    """Progress again and again, until it is final. The pause grows from a tenth of a second to one.

    Reconciles on the way, so that a job ends though no sweeper runs. Redis may come and go: `reason` says so.
    Raises TimedOut.
    """
    known: dict[int, Footer] = {}
    started = time.monotonic()
    reconciled, pause = 0.0, 0.1
    while True:
        progress = records.status(storage, queue, job, known)
        yield progress
        if progress.finished:
            return
        if timeout is not None and time.monotonic() - started > timeout:
            raise TimedOut(progress)
        due = progress.status == "finalizing" or time.monotonic() - reconciled > _RECONCILE_EVERY
        if due:
            try:
                reconcile(job, storage, queue, settings)
            except RedisUnreachable:
                pass  # the next look says so
            reconciled = time.monotonic()
        time.sleep(pause)
        pause = min(1.0, pause * 1.2)


def ready_lines(job: str, storage: Storage, *, wait: Callable[[], bool] | None = None) -> Iterator[bytes]:
    """Predictions as JSON lines, a part at a time, in row order: as far as they are there without a gap.

    With `wait`, goes on for as long as it returns True where the next part is not there yet.
    """
    manifest = records.load(storage, job)
    index = records.load_index(storage, manifest)
    for number, rows in enumerate(index.rows):
        while not storage.exists(layout.part(job, number)):
            ended = wait is None or not wait()
            if ended and not storage.exists(layout.part(job, number)):
                return
        try:
            yield part.body(storage.read(layout.part(job, number)), rows)[0]
        except (part.DamagedPart, FileNotFoundError):
            return


def errors_beside(out: Path) -> Path:
    """Where the error rows of a job go whose predictions go to `out`: answers.json -> answers.errors.csv."""
    return out.with_name(f"{out.name.split('.')[0]}.errors.csv")
