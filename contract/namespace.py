"""Which messages and hints on a Redis belong to which storage: a namespace for each, so that several share a Redis.

By default it is made of an id that lies in the storage and was written once, by whoever came first.
"""

from __future__ import annotations

import json
import re
import secrets

from contract.errors import BulkqaError
from contract.format import layout
from contract.queue.redis import RedisQueue
from contract.settings import Settings
from contract.storage import Storage, open_storage

_ID = re.compile(r"[0-9a-f]{12}")


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
        made = {"schema_version": 1, "id": secrets.token_hex(6)}
        storage.create(layout.STORAGE, json.dumps(made).encode() + b"\n")
        found = known_id(storage)  # another's, if he was quicker
    return found or ""


def known_id(storage: Storage) -> str | None:
    """The same, None if nobody has asked for it yet: nothing is written."""
    try:
        found = json.loads(storage.read(layout.STORAGE))["id"]
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, RecursionError):
        found = None
    if not isinstance(found, str) or not _ID.fullmatch(found):
        where = storage.locate(layout.STORAGE)
        raise BulkqaError(
            f"{where} is damaged: it holds no id of this storage", "Stop the workers, remove it, and start them again."
        )
    return found
