"""Which chunk is sent next, of all that were never sent: small jobs first, then older ones.

The queue of a model is kept short, about a message a worker, so that whoever comes later need not wait for what was
sent before. What is next is decided when there is room: a job that is due sooner is served whole before one that is due
later, whereby the mean time to completion is near that of the shortest job first, the best order there is (Smith,
"Various optimizers for single-stage production", 1956). A job is due when it would be done had it been begun at once by
itself, so that a large one waits for small ones that came before then, and for no others.
"""

from __future__ import annotations

from contract.errors import UnknownJob
from contract.format.job import Manifest, check_job_id
from contract.queue import Queue
from contract.settings import Settings

#: Seconds that a row takes, roughly: a CPU with the reader that ships. Only the order of jobs follows from it.
_ROW = 0.02


def due(manifest: Manifest) -> float:
    """When a job is due, in seconds since 1970."""
    return manifest.created_at + _ROW * (manifest.rows - manifest.rejected)


def most(queue: Queue, model: str, settings: Settings) -> tuple[int, int]:
    """How many messages may wait on the queue of a model, and how many chunks of one job may be on it and under way:
    enough that no worker waits, few enough that the next job does not either."""
    workers = max(1, queue.serving(model))
    return settings.window * workers, (settings.window + 1) * workers


def fill(model: str, queue: Queue, settings: Settings) -> list[tuple[str, int]]:
    """Send chunks that were never sent while there is room. Returns which: (job, chunk). Raises RedisUnreachable.

    Some may have their part already, where Redis was emptied: whoever is asked for one sees that.
    """
    waiting, each = most(queue, model, settings)
    sent = []
    while found := queue.claim(model, waiting, each):
        job, chunk = found
        try:
            check_job_id(job)
        except UnknownJob:
            queue.forget(job)
            continue
        queue.send(model, job, [chunk])
        sent.append(found)
    return sent
