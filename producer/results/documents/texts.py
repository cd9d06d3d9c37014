"""The documents of a job and their texts, as they were read when it was submitted."""

from __future__ import annotations

import hashlib

from contract.errors import BulkqaError, UsageError
from contract.format import documents, layout
from contract.format.documents import Document
from contract.format.job import Manifest
from contract.storage import Storage


def index(storage: Storage, manifest: Manifest) -> list[Document]:
    """The documents of a job, in the order of its rows. Raises UsageError if it asks none, and BulkqaError if the index
    was altered or removed."""
    if manifest.documents is None:
        raise UsageError(f"job {manifest.id} asks no documents: its rows have contexts of their own")
    key = layout.documents(manifest.id, manifest.chunks_folder)
    data = _read(storage, key, manifest.documents.sha256)
    return list(documents.from_bytes(data))


def text(storage: Storage, manifest: Manifest, number: int) -> str | None:
    """The text of a document, None if it has none. Raises as `index` does, and UsageError for a number too high."""
    listed = index(storage, manifest)
    if not 0 <= number < len(listed):
        raise UsageError(f"job {manifest.id} has {len(listed):,} documents, and none of the number {number}")
    digest = listed[number].text_sha256
    if not digest:
        return None
    return _read(storage, layout.text(manifest.id, digest, manifest.chunks_folder), digest).decode()


def _read(storage: Storage, key: str, sha256: str) -> bytes:
    try:
        data = storage.read(key)
    except FileNotFoundError:
        data = b""
    if hashlib.sha256(data).hexdigest() != sha256:
        raise BulkqaError(f"{storage.locate(key)} was altered or removed", "Submit the documents again.")
    return data
