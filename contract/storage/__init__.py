"""Whole objects, each written once, on a disk or in an object store: the truth about every job.

Exports `Storage`, the interface (`protocol`), and `open_storage`, which opens the kind that a URL names: a `local`
folder or `objects` in a cloud; `address` splits it. `tests/twins` has their twin in memory. Must not import: anything
that knows what objects mean.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

from contract.errors import UsageError
from contract.storage.address import SCHEMES
from contract.storage.local import LocalStorage
from contract.storage.protocol import Storage

__all__ = ["Storage", "open_storage"]

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")


def open_storage(url: str, *, create: bool = False) -> Storage:
    """The storage at `url`: a path, `file:///path`, or `s3://`, `gs://`, `az://` and bucket/prefix.

    Raises StorageUnreachable or UsageError.
    """
    match = _SCHEME.match(url)
    scheme = match[1].lower() if match else ""
    if scheme in SCHEMES:
        from contract.storage.objects import ObjectStorage  # an optional extra, slow to import

        return ObjectStorage(url)
    if scheme == "file":
        host, _, path = url[len("file:") :].removeprefix("//").partition("/")
        if host in ("", "localhost"):
            return LocalStorage(Path(unquote(f"/{path}")), create=create)
    elif not scheme:
        return LocalStorage(Path(url), create=create)
    raise UsageError(
        f"storage {scheme}:// is not supported" if scheme != "file" else "a storage URL file:// has no host",
        "Use a path, file:///path or s3://bucket/prefix (BULKQA_STORAGE_URL).",
    )
