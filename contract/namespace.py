"""Which messages and hints on a Redis belong to which storage: a namespace for each, so that several share a Redis.

By default it is made of an id that lies in the storage and was written once, by whoever came first.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

from contract.errors import BulkqaError
from contract.format import codec, layout
from contract.queue.redis import RedisQueue
from contract.settings import Settings
from contract.storage import Storage, open_storage

_ID = re.compile(r"[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class _StorageId:
    """The record that tells a storage from all others."""

    schema_version: int = 1
    id: str = ""


def open_queue(settings: Settings, storage: Storage, redis_url: str | None = None) -> RedisQueue:
    """The queue of a storage, on the Redis of the settings or another. Raises UsageError, StorageUnreachable, and
    BulkqaError if the storage's id was altered."""
    return RedisQueue(redis_url or settings.redis_url, namespace_of(settings, storage))


def namespace_of(settings: Settings, storage: Storage) -> str:
    """What the names of all keys and queues of a storage begin with, after `bulkqa:`. Raises as `open_queue`."""
    return settings.namespace or storage_id(storage)


def namespace_at(settings: Settings) -> str:
    """The same for the storage that the settings name. Raises as `open_queue`."""
    return namespace_of(settings, open_storage(settings.storage_url))


def storage_id(storage: Storage) -> str:
    """12 hexadecimal digits that tell a storage from all others, made when they are first asked for. Raises
    StorageUnreachable, and BulkqaError if they were altered."""
    found = known_id(storage)
    if found is None:
        record = _StorageId(id=secrets.token_hex(6))
        storage.create(layout.STORAGE, codec.line(record, (", ", ": ")).encode() + b"\n")
        found = known_id(storage)  # another's, if he was quicker
    return found or ""


def known_id(storage: Storage) -> str | None:
    """The same, None if nobody has asked for it yet: nothing is written."""
    try:
        found = codec.salvage(_StorageId, storage.read(layout.STORAGE)).id
    except FileNotFoundError:
        return None
    if not _ID.fullmatch(found):
        where = storage.locate(layout.STORAGE)
        raise BulkqaError(
            f"{where} is damaged: it holds no id of this storage", "Stop the workers, remove it, and start them again."
        )
    return found
