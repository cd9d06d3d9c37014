"""Uploading outputs to an object store: `s3://`, `gs://` or `az://`. They are written locally first, then uploaded
object by object, each one whole."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from contract.errors import UsageError
from contract.remedy import Remedy, Set

if TYPE_CHECKING:
    from contract.storage.objects import ObjectStorage

#: A URL that became a `Path`, which has lost one slash.
_URL = re.compile(r"(s3|gs|az):/+(?=[^/])")
_BLOCK = 1 << 20


def url_of(output: Path) -> str | None:
    """The URL of an output; None for a local file."""
    match = _URL.match(str(output))
    return f"{match[1]}://{str(output)[match.end() :]}" if match else None


def check(url: str, *, as_folder: bool) -> None:
    """Check a URL before the work starts. Raises UsageError, and StorageUnreachable if there is no such bucket or
    access is denied."""
    store, key = _store(url)
    if not key:
        raise UsageError(
            f"the output {url} is a bucket, not an object",
            Remedy("Name an object in it: ", Set(output=f"{url.rstrip('/')}/answers.parquet")),
        )
    if as_folder and store.list(key):
        raise UsageError(f"the output {url} exists and is not empty", "Name a new prefix: nothing is overwritten.")
    store.exists(key)


def put(url: str, folder: Path) -> None:
    """Upload the files of a folder next to a URL, under their own names; `_SUCCESS` comes last. Raises
    StorageUnreachable."""
    store, key = _store(url)
    prefix = key.rpartition("/")[0]
    files = [path for path in folder.rglob("*") if path.is_file()]
    for path in sorted(files, key=lambda path: (path.name == "_SUCCESS", path)):
        name = path.relative_to(folder).as_posix()
        with path.open("rb") as file:
            store.write(f"{prefix}/{name}" if prefix else name, iter(lambda: file.read(_BLOCK), b""))


def _store(url: str) -> tuple[ObjectStorage, str]:
    from contract.storage.objects import ObjectStorage

    parts = urlsplit(url)
    return ObjectStorage(f"{parts.scheme}://{parts.netloc}"), parts.path.strip("/")
