"""Which chunk is sent next, of all that were never sent: small jobs first, then older ones.

The queue of a model is kept short, about a message a worker, so that whoever comes later need not wait for what was
sent before. What is next is decided when there is room: a job that is due sooner is served whole before one that is due
later. A job is due some time after it came, the later the more rows it has: so the mean time to completion is near that
of the shortest job first, the best order there is (Smith, "Various optimizers for single-stage production", 1956), and
no job is passed for ever (benchmarks/scale.py compares).
"""

from __future__ import annotations

from contract.errors import UnknownJob
from contract.format.job import Manifest, check_job_id
from contract.queue import Queue
from contract.settings import Settings

#: A job is passed by smaller ones that come within so many seconds for each of its rows (a hundred times what a row
#: takes, roughly, on a CPU with the reader that ships), and within a day at most.
_PASSED, _PASSED_AT_MOST = 2.0, 86_400.0


def due(manifest: Manifest) -> float:
    """When a job is due, in seconds since 1970."""
    return manifest.created_at + min(_PASSED * (manifest.rows - manifest.rejected), _PASSED_AT_MOST)


def each(settings: Settings) -> int:
    """How many chunks of one job may be on the queue and under way, for each worker: one is under way, others wait."""
    return settings.queue_ahead + 1


def fill(model: str, queue: Queue, settings: Settings) -> list[tuple[str, int]]:
    """Send chunks that were never sent while there is room. Returns which: (job, chunk). Raises RedisUnreachable.

    There is room for so many messages that no worker waits, and for so few that the next job does not either. Some of
    the chunks may have their part already, where Redis was emptied: whoever is asked for one sees that.
    """
    sent = []
    while found := queue.claim(model, settings.queue_ahead, each(settings)):
        job, chunk = found
        try:
            check_job_id(job)
        except UnknownJob:
            queue.forget(job)
            continue
        queue.put(model, job, chunk)
        sent.append(found)
    return sent
