"""Uploading outputs to an object store: `s3://`, `gs://` or `az://`. They are written locally first, then uploaded
object by object, each one whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from contract.errors import UsageError
from contract.remedy import Remedy, Set
from contract.storage import address

if TYPE_CHECKING:
    from contract.storage.objects import ObjectStorage

_BLOCK = 1 << 20


def url_of(output: Path) -> str | None:
    """The URL of an output; None for a local file."""
    return address.of_path(output)


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

    place = address.parse(url)
    return ObjectStorage(f"{place.scheme}://{place.bucket}"), place.key.strip("/")
