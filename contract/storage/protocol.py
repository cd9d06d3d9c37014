"""The interface of a storage: read, list, and write whole objects atomically, once.

An object is whole or absent, never half-written, whatever dies. `create` says whether this call made it. One test suite
runs over all kinds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

#: Names of files that are being written. Never listed, never read; leftovers are swept when the job is published.
TEMPORARY = ".tmp-"
#: Bytes that are read at once.
BLOCK = 1 << 20

Data = bytes | Iterable[bytes]


class Storage(Protocol):
    """Keys are `/`-separated and come from `format.layout`. A missing key raises FileNotFoundError, a storage that
    does not answer StorageUnreachable."""

    url: str
    #: How many concurrent calls pay off: many if a call is mostly waiting, one if it is mostly work.
    at_once: int

    def read(self, key: str) -> bytes:
        """The whole object."""
        ...

    def tail(self, key: str, size: int) -> bytes:
        """The last `size` bytes, or all if there are fewer."""
        ...

    def blocks(self, key: str) -> Iterator[bytes]:
        """The object, a block at a time, in bounded memory."""
        ...

    def exists(self, key: str) -> bool:
        """Whether there is an object under a key."""
        ...

    def list(self, folder: str, after: str = "") -> list[str]:
        """Names directly in a folder, sorted; empty if there is no such folder. With `after`, only names of objects
        that sort behind it, at no cost for those before it."""
        ...

    def sizes(self, folder: str) -> Iterator[tuple[str, int]]:
        """All objects in a folder, however deep, in no order: keys relative to the folder, and bytes. Files that are
        being written are included, under their temporary names."""
        ...

    def create(self, key: str, data: Data, *, durable: bool = True) -> bool:
        """Write an object unless it exists. True if this call wrote it. If `data` raises, nothing is written.

        Without `durable`, the object survives the death of any process at once, but a crash of the machine only after
        `settle`.
        """
        ...

    def settle(self) -> None:
        """Return when everything that this process created survives a crash of the machine."""
        ...

    def replace(self, key: str, data: bytes) -> None:
        """Write or overwrite a small object that is only a hint."""
        ...

    def delete(self, key: str) -> None:
        """Remove an object if it is there."""
        ...

    def sweep(self, folder: str, older_than: float) -> None:
        """Remove leftovers of writers in a folder that are older than this many seconds."""
        ...

    def discard(self, folder: str, older_than: float = 0.0) -> bool:
        """Remove a folder and everything in it, unless something in it is younger than that: then False."""
        ...

    def prune(self, folder: str) -> None:
        """Remove empty folders, this one and those below it, if the storage has folders."""
        ...

    def locate(self, key: str) -> str:
        """The address of an object for people: a path or a URL."""
        ...
