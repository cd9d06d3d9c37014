"""Removes a job: our own objects in its folder, and the notes about it elsewhere. Other files in the folder stay.

The callers decide whether a job may be removed: on request (`producer.jobs.remove`), or when it has expired.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass

from contract.errors import BulkqaError, RedisUnreachable
from contract.format import codec, layout
from contract.format.job import Manifest, read_manifest
from contract.queue import Queue
from contract.storage import Storage


@dataclass(frozen=True, slots=True)
class Note:
    """A note about a job, outside its folder: a webhook is owed, or the job expires."""

    at: float = 0.0  #: when it was written


def write_note(storage: Storage, key: str, now: float) -> None:
    """Write a note, if it doesn't exist."""
    storage.create(key, codec.dump(Note(now)))


def write_notes(storage: Storage, manifest: Manifest, now: float) -> None:
    """Write the notes that a job wants, if they don't exist. Called before its manifest is written, so that no job
    exists without them, and once more afterwards: see `remove`."""
    for option, key in ((manifest.notify, layout.owed(manifest.id)), (manifest.expire, layout.expiring(manifest.id))):
        if option:
            write_note(storage, key, now)


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
    # A submission with the same key may have written its manifest since, and its notes before we deleted these. Notes
    # are written again after a manifest: so either it finds them deleted, or we find the manifest.
    with suppress(FileNotFoundError, ValueError, BulkqaError):
        write_notes(storage, read_manifest(storage.read(layout.manifest(job))), time.time())
    with suppress(RedisUnreachable):  # hints expire, and workers drop messages of a job that does not exist
        queue.forget(job)
    return sum(size for _, size in objects)
