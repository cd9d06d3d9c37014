"""Outputs that go to an object store, `s3://`, `gs://` or `az://`: made here first, and put there object by object,
each whole."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from contract.errors import UsageError

if TYPE_CHECKING:
    from contract.storage.objects import ObjectStorage

#: As a path of this system has it, which has lost a slash.
_URL = re.compile(r"(s3|gs|az):/+(?=[^/])")
_BLOCK = 1 << 20


def url_of(output: Path) -> str | None:
    """The address that an output was given as; None for a file of this machine."""
    found = _URL.match(str(output))
    return f"{found[1]}://{str(output)[found.end() :]}" if found else None


def check(url: str, *, as_folder: bool) -> None:
    """Complain about an address before the work. Raises UsageError, and StorageUnreachable for a bucket that is not
    there or may not be used."""
    store, key = _store(url)
    if not key:
        raise UsageError(f"-o {url} is a bucket and no object in it", f"For example: -o {url}/answers.parquet")
    if as_folder and store.list(key):
        raise UsageError(f"-o {url} is there, and has objects in it", "Name a new prefix: nothing is written over.")
    store.exists(key)


def put(url: str, folder: Path) -> None:
    """Put all that is in a folder beside that address, what says that all is there last. Raises StorageUnreachable."""
    store, key = _store(url)
    above = key.rpartition("/")[0]
    files = [path for path in folder.rglob("*") if path.is_file()]
    for path in sorted(files, key=lambda path: (path.name == "_SUCCESS", path)):
        name = path.relative_to(folder).as_posix()
        with path.open("rb") as file:
            store.write(f"{above}/{name}" if above else name, iter(lambda: file.read(_BLOCK), b""))


def _store(url: str) -> tuple[ObjectStorage, str]:
    from contract.storage.objects import ObjectStorage

    parts = urlsplit(url)
    return ObjectStorage(f"{parts.scheme}://{parts.netloc}"), parts.path.strip("/")
