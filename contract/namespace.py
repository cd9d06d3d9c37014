"""The namespace of a storage: the prefix of all its messages and hints, so that several storages can share a Redis.

By default it is an id in the storage, written once by the first process that needs it.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

from contract.errors import BulkqaError, UsageError
from contract.format import codec, layout
from contract.queue.redis import RedisQueue
from contract.settings import Settings
from contract.storage import Storage, open_storage

_ID = re.compile(r"[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class _StorageId:
    """The record of a storage's id."""

    schema_version: int = 1
    id: str = ""


def open_queue(settings: Settings, storage: Storage, redis_url: str | None = None) -> RedisQueue:
    """The queue of a storage, on the Redis of the settings or another. Raises UsageError, StorageUnreachable, and
    BulkqaError if the storage's id is damaged."""
    return RedisQueue(redis_url or settings.redis_url, namespace_of(settings, storage))


def namespace_of(settings: Settings, storage: Storage) -> str:
    """The prefix of a storage's keys and queues, after `bulkqa:`. Raises as `open_queue`."""
    return settings.namespace or storage_id(storage)


def namespace_at(settings: Settings) -> str:
    """The same for the storage that the settings name. Raises as `open_queue`."""
    return namespace_of(settings, open_storage(settings.storage_url))


def storage_id(storage: Storage) -> str:
    """The unique id of a storage, 12 hexadecimal digits, created if there is none. Raises StorageUnreachable,
    BulkqaError if the id is damaged, and UsageError if the storage is new and overwrites what exists."""
    unique = known_id(storage)
    if unique is None:
        record = codec.line(_StorageId(id=secrets.token_hex(6)), (", ", ": ")).encode() + b"\n"
        if storage.create(layout.STORAGE, record) and storage.create(layout.STORAGE, record):
            storage.delete(layout.STORAGE)
            raise UsageError(
                f"storage {storage.url} overwrites an object that was to be created only if it does not exist",
                "Use a service with conditional puts (If-None-Match: *): else workers overwrite each other's parts.",
            )
        unique = known_id(storage)  # another process's, if that was faster
    return unique or ""


def known_id(storage: Storage) -> str | None:
    """The id of a storage, or None if it has none yet. Writes nothing. Raises as `storage_id`."""
    try:
        unique = codec.salvage(_StorageId, storage.read(layout.STORAGE)).id
    except FileNotFoundError:
        return None
    if not _ID.fullmatch(unique):
        where = storage.locate(layout.STORAGE)
        raise BulkqaError(
            f"{where} is damaged: it has no id of this storage", "Stop the workers, remove it, and start them again."
        )
    return unique
