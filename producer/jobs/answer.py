"""A few questions, answered at once: a job is submitted, waited for and read."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from contract.errors import BulkqaError, NoWorker, TimedOut
from contract.ledger.progress import Progress
from contract.queue import Queue
from contract.remedy import Call, Remedy, Set
from contract.settings import Settings
from contract.storage import Storage
from producer.input.location import InputSpec
from producer.jobs import follow
from producer.jobs.remove import delete
from producer.jobs.submit import submit_and_send
from producer.request import Request
from producer.results.lines import ready_lines

#: Seconds in which a worker has to serve the model.
_PATIENCE = 3.0


@dataclass(frozen=True, slots=True)
class Answered:
    """A job that has ended, with its predictions."""

    job: Progress
    predictions: list[dict[str, Any]]


def answer(
    file: InputSpec, storage: Storage, queue: Queue, settings: Settings, request: Request, timeout: float
) -> Answered:
    """Answer the rows of a small file within `timeout` seconds. The job stays; to remove it is up to the caller.

    Raises what `submit` raises; TimedOut, and NoWorker where no worker serves the model: then the job is removed.
    """
    job = submit_and_send(file, storage, queue, settings, request).manifest.id
    try:
        *_, ended = follow.patient(follow.follow(job, storage, queue, settings, timeout), _PATIENCE)
    except (follow.StillRunning, NoWorker) as error:
        with suppress(BulkqaError):  # it stays, as any other job
            delete(job, storage, queue, settings, force=True)
        if isinstance(error, NoWorker):
            raise
        more = Remedy("Ask with a larger ", Set("timeout"), ", or submit a job: ", Call("submit"))
        raise TimedOut(f"no answer within {timeout:g} s", more) from None
    lines = (line for block in ready_lines(job, storage) for line in block.splitlines())
    return Answered(ended, [json.loads(line) for line in lines])
