"""The interface of a storage: read, list, and write whole objects atomically, once.

An object is whole or absent, never half-written, whatever dies; `create` tells whether this call was the one that made
it. One suite of tests runs over all kinds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

#: Names of files under way. Never listed, never read; what is left of them is swept when the job is published.
TEMPORARY = ".tmp-"
#: What is read at once, in bytes.
BLOCK = 1 << 20

Data = bytes | Iterable[bytes]


class Storage(Protocol):
    """Keys are `/`-separated and spelled by `format.layout`. A missing key raises FileNotFoundError, a storage that
    does not answer StorageUnreachable."""

    url: str
    #: Calls that are worth making at the same time: many where each is waited for, one where each is work.
    at_once: int

    def read(self, key: str) -> bytes:
        """The whole object."""
        ...

    def tail(self, key: str, size: int) -> bytes:
        """The last `size` bytes, or all if there are fewer."""
        ...

    def blocks(self, key: str) -> Iterator[bytes]:
        """The object piece by piece, in bounded memory."""
        ...

    def exists(self, key: str) -> bool:
        """Whether there is an object under a key."""
        ...

    def list(self, folder: str, after: str = "") -> list[str]:
        """Names directly in a folder, sorted; empty if there is no such folder. With `after`, those behind it, and only
        of objects: it costs no more for all that is before."""
        ...

    def sizes(self, folder: str) -> Iterator[tuple[str, int]]:
        """All objects in a folder, however deep, in no order: their keys below it, and their bytes. What is under way
        counts too, under its own name."""
        ...

    def create(self, key: str, data: Data, *, durable: bool = True) -> bool:
        """Write an object unless it exists. True if this call wrote it. If `data` raises, nothing is written.

        What is not `durable` survives the death of any process at once, that of the machine only after `settle`.
        """
        ...

    def settle(self) -> None:
        """Return when all that this process created survives the death of the machine."""
        ...

    def replace(self, key: str, data: bytes) -> None:
        """Write or overwrite a small object that is a hint, not a record."""
        ...

    def delete(self, key: str) -> None:
        """Remove an object, if it is there."""
        ...

    def sweep(self, folder: str, older_than: float) -> None:
        """Remove what writers left under way in a folder, if it is older than so many seconds."""
        ...

    def discard(self, folder: str, older_than: float = 0.0) -> bool:
        """Remove a folder with all that is in it, unless something there is younger than so many seconds. False if
        it was left."""
        ...

    def prune(self, folder: str) -> None:
        """Remove folders without an object in them, from this one downwards, where a storage has such."""
        ...

    def locate(self, key: str) -> str:
        """The address of an object, for people: a path or a URL."""
        ...
