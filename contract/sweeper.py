"""The sweeper's loop: every unfinished job, round after round. What is done for a job is `contract.reconcile`."""

from __future__ import annotations

import logging
import threading

from contract import layout, records
from contract.broker import Queue
from contract.errors import BulkqaError, RedisUnreachable, StorageUnreachable
from contract.reconcile import reconcile
from contract.settings import Settings
from contract.storage import Storage

log = logging.getLogger("bulkqa.sweeper")


def sweep_jobs(
    storage: Storage, queue: Queue, settings: Settings, *, stopped: threading.Event, once: bool = False
) -> None:
    """Reconcile all unfinished jobs every `sweep_interval` seconds until `stopped`. A job that fails is logged and
    does not keep the others waiting; so is a storage or Redis that is away."""
    finished: set[str] = set()
    log.info("sweeper: storage %s, a round every %g s", storage.url, settings.sweep_interval)
    while not stopped.is_set():
        try:
            for job in records.jobs(storage):
                settings.health_file.touch()
                if job not in finished and _bring_forward(job, storage, queue, settings):
                    finished.add(job)
        except StorageUnreachable as error:
            log.warning("sweeper waits: %s", error)
        if once:
            return
        settings.health_file.touch()
        stopped.wait(settings.sweep_interval)


def _bring_forward(job: str, storage: Storage, queue: Queue, settings: Settings) -> bool:
    """True once the job has ended."""
    try:
        if storage.exists(layout.report(job)):
            return True
        return reconcile(job, storage, queue, settings, owner="sweeper").finished
    except RedisUnreachable as error:
        log.warning("job %s waits: %s", job, error.message)
    except BulkqaError as error:
        log.error("job %s cannot be brought forward: %s", job, error)  # noqa: TRY400 - the message says it all
    return False
