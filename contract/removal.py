"""Removes a job: our own objects in its folder, and its records elsewhere. Other files in the folder stay.

The callers decide whether a job may be removed: on request (`producer.jobs.remove`), or when it has expired.
"""

from __future__ import annotations

from contextlib import suppress

from contract.errors import RedisUnreachable
from contract.format import layout
from contract.queue import Queue
from contract.storage import Storage


def remove(job: str, storage: Storage, queue: Queue) -> int:
    """Remove a job, and return its size in bytes. Raises StorageUnreachable.

    Report and manifest go last: as long as the report exists the job has ended, and no reconcile touches it. The
    manifest goes after the report, so that a submission with the same key never finds half a job.
    """
    last = {layout.report(job): 1, layout.manifest(job): 2}
    objects = [
        (f"{layout.folder(job)}/{name}", size)
        for name, size in storage.sizes(layout.folder(job))
        if layout.kind_of(name)
    ]
    for key, _ in sorted(objects, key=lambda item: (last.get(item[0], 0), item[0])):
        storage.delete(key)
    storage.prune(layout.folder(job))
    for key in (layout.owed(job), layout.expiring(job)):
        storage.delete(key)
    with suppress(RedisUnreachable):  # hints expire, and workers drop messages of a job that does not exist
        queue.forget(job)
    return sum(size for _, size in objects)
