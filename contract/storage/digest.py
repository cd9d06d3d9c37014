"""The sha256 and size of an object, taken as its blocks stream by."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator


class Digest:
    """Of the blocks seen so far."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self.bytes = 0

    def over(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        """The same blocks, counted as they pass."""
        for block in blocks:
            self._sha256.update(block)
            self.bytes += len(block)
            yield block

    @property
    def sha256(self) -> str:
        """In hexadecimal."""
        return self._sha256.hexdigest()


def digest_of(blocks: Iterable[bytes]) -> Digest:
    """The digest of a whole object."""
    digest = Digest()
    for _ in digest.over(blocks):
        pass
    return digest
