"""The documents of a job and their texts, as they were read when it was submitted."""

from __future__ import annotations

import hashlib

from contract.errors import BulkqaError, UsageError
from contract.format import documents, layout
from contract.format.documents import Document
from contract.format.job import Manifest
from contract.storage import Storage


def index(storage: Storage, manifest: Manifest) -> list[Document]:
    """The documents of a job, in the order of its rows. Raises UsageError if it has none, and BulkqaError if the index
    was altered or removed."""
    return list(documents.from_bytes(_index(storage, manifest)))


def text(storage: Storage, manifest: Manifest, number: int) -> str | None:
    """The text of a document, None if it has none. Raises as `index` does, and UsageError for a number too high."""
    data = _index(storage, manifest)
    document = documents.nth(data, number) if number >= 0 else None
    if document is None:
        count = manifest.documents.count if manifest.documents else 0
        raise UsageError(f"job {manifest.id} has {count:,} documents, and no document {number}")
    return text_of(storage, manifest, document.text_sha256).decode() if document.text_sha256 else None


def text_of(storage: Storage, manifest: Manifest, digest: str) -> bytes:
    """The text of a digest, in UTF-8. Raises BulkqaError if it was altered or removed."""
    return _read(storage, layout.text(manifest.id, digest, manifest.chunks_folder), digest)


def _index(storage: Storage, manifest: Manifest) -> bytes:
    if manifest.documents is None:
        raise UsageError(f"job {manifest.id} has no documents: its rows have contexts of their own")
    return _read(storage, layout.documents(manifest.id, manifest.chunks_folder), manifest.documents.sha256)


def _read(storage: Storage, key: str, sha256: str) -> bytes:
    try:
        data = storage.read(key)
    except FileNotFoundError:
        data = b""
    if hashlib.sha256(data).hexdigest() != sha256:
        raise BulkqaError(f"{storage.locate(key)} was altered or removed", "Submit the documents again.")
    return data
