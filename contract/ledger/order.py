"""Which chunk is sent next, of all that were never sent: small jobs first, then older ones.

The queue of a model is kept short, about one message per worker, so that a new job doesn't wait behind a long backlog.
Which chunk is next is decided when there is room: the job that is due first is served completely before the next one.
The more rows a job has, the longer after its submission it is due. So the mean time to completion is near that of
shortest job first, the best order there is (Smith, "Various optimizers for single-stage production", 1956), and no job
starves (benchmarks/scale.py compares).
"""

from __future__ import annotations

from contract.errors import UnknownJob
from contract.format.job import Manifest, check_job_id
from contract.queue import Queue
from contract.settings import Settings

#: A job is due this many seconds per row after its submission (about a hundred times what a row takes on a CPU with
#: the reader that ships), and a day at most. Smaller jobs that come within that time may overtake it.
_SECONDS_PER_ROW, _SECONDS_AT_MOST = 2.0, 86_400.0


def due(manifest: Manifest) -> float:
    """When a job is due, in seconds since 1970."""
    return due_of(manifest.created_at, manifest.rows - manifest.rejected)


def due_of(created_at: float, rows: int) -> float:
    """When a job with this many rows to score is due."""
    return created_at + min(_SECONDS_PER_ROW * rows, _SECONDS_AT_MOST)


def per_worker(settings: Settings) -> int:
    """How many chunks of one job may be queued or running per worker: one is running, the others wait."""
    return settings.queue_ahead + 1


def fill(model: str, queue: Queue, settings: Settings) -> list[tuple[str, int]]:
    """Send chunks that were never sent while the queue has room. Returns them as (job, chunk). Raises RedisUnreachable.

    The room is large enough to keep every worker busy, and small enough that a new job doesn't wait. If Redis was
    emptied, some of the chunks may have their part already: the worker that gets the message notices.
    """
    sent = []
    while claimed := queue.claim(model, settings.queue_ahead, per_worker(settings)):
        job, chunk = claimed
        try:
            check_job_id(job)
        except UnknownJob:
            queue.forget(job)
            continue
        queue.put(model, job, chunk)
        sent.append(claimed)
    return sent
