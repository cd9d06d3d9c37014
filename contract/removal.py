"""What is ours in a job's folder is removed, and what is noted of the job elsewhere. Whatever else lies there is left.

Whether a job may go is for others to say: who asked for it (`producer.jobs.remove`), or how long it was to be kept.
"""

from __future__ import annotations

from contextlib import suppress

from contract.errors import RedisUnreachable
from contract.format import layout
from contract.queue import Queue
from contract.storage import Storage


def remove(job: str, storage: Storage, queue: Queue) -> int:
    """Remove a job; how many bytes it took. Raises StorageUnreachable.

    Report and manifest go last: until then it is a job that has ended, which nobody brings forward, whatever of it is
    gone. And the manifest after the report: who submits with its key meanwhile must not find half of it.
    """
    last = {layout.report(job): 1, layout.manifest(job): 2}
    found = [
        (f"{layout.folder(job)}/{name}", size)
        for name, size in storage.sizes(layout.folder(job))
        if layout.kind_of(name)
    ]
    for key, _ in sorted(found, key=lambda one: (last.get(one[0], 0), one[0])):
        storage.delete(key)
    storage.prune(layout.folder(job))
    for key in (layout.owed(job), layout.expiring(job)):
        storage.delete(key)
    with suppress(RedisUnreachable):  # hints expire by themselves, messages of a job that is gone are dropped
        queue.forget(job)
    return sum(size for _, size in found)
