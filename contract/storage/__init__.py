"""Storage: the truth about every job.

Exports `Storage`, the interface (`protocol`), and `open_storage`, which opens the kind that a URL names: a `local`
folder or `objects` in a cloud. `tests/twins` has their twin in memory. Must not import: anything that knows what
objects mean.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from contract.errors import UsageError
from contract.storage.local import LocalStorage
from contract.storage.protocol import Storage

__all__ = ["Storage", "open_storage"]


def open_storage(url: str, *, create: bool = False) -> Storage:
    """The storage at `url`: a path, `file:///path`, or `s3://`, `gs://`, `az://` and bucket/prefix.

    Raises StorageUnreachable or UsageError.
    """
    parts = urlsplit(url)
    if parts.scheme in ("", "file"):
        path = Path(unquote(parts.path)) if parts.scheme else Path(url)
        return LocalStorage(path, create=create)
    if parts.scheme in ("s3", "gs", "az"):
        from contract.storage.objects import ObjectStorage  # an optional extra, slow to import

        return ObjectStorage(url)
    raise UsageError(
        f"storage {parts.scheme}:// is not supported",
        "Use a path, file:///path or s3://bucket/prefix (BULKQA_STORAGE_URL).",
    )
