"""The keys of a new job's rows, by which its rows are looked up in older jobs.

They lie in a file while its input is read, and are sorted in memory a million at a time.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from typing import IO

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contract.reuse import keys
from contract.storage import Storage
from contract.storage.digest import Digest
from contract.storage.protocol import BLOCK
from producer.reuse.sources import Keys, halves

#: Rows of the new job whose keys are in memory at once.
_AT_ONCE = 1 << 20
#: Bytes of keys that are in memory before they go to a file.
_SPOOLED = 1 << 20

Numbers = NDArray[np.intp]


class RowKeys:
    """The keys of a job's rows while its input is read."""

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(_SPOOLED)  # noqa: SIM115 - closed by `close`

    def add(self, table: pa.Table) -> bytes:
        """The keys of the next chunk."""
        own = keys.of_table(table)
        self._file.write(own)
        return own

    def store(self, storage: Storage, key: str) -> str:
        """Write them as an object. Returns its digest."""
        self._file.seek(0)
        digest = Digest()
        storage.create(key, digest.over(iter(lambda: self._file.read(BLOCK), b"")), durable=False)
        return digest.sha256

    def portions(self, rows: Sequence[int]) -> Iterator[tuple[Wanted, list[int]]]:
        """The keys of consecutive chunks, as many as are in memory at once, and the rows of each; at least one chunk.
        `rows`: of all chunks."""
        first = 0
        for chunks in _portions(rows):
            yield Wanted(self._of(first, sum(chunks))), chunks
            first += sum(chunks)

    def _of(self, first: int, rows: int) -> Keys:
        self._file.seek(first * keys.SIZE)
        return halves(self._file.read(rows * keys.SIZE))

    def close(self) -> None:
        """Drop them."""
        self._file.close()


class Wanted:
    """The keys of some new rows, each once."""

    def __init__(self, own: Keys) -> None:
        order = np.argsort(own[:, 0], kind="stable")
        ordered = own[order]
        new = np.ones(len(own), np.bool_)
        new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
        self._keys = ordered[new]  # two with an equal first half stay neighbours, and the second is not found
        #: The number of each row's key among them.
        self.of_row: NDArray[np.int32] = np.empty(len(own), np.int32)
        self.of_row[order] = np.cumsum(new, dtype=np.int32) - 1

    def __len__(self) -> int:
        return len(self._keys)

    def hits(self, old: Keys) -> tuple[Numbers, Numbers]:
        """(places among the old keys, numbers of wanted keys) of those that are the same."""
        if not len(self._keys):
            return np.empty(0, np.intp), np.empty(0, np.intp)
        near = np.minimum(np.searchsorted(self._keys[:, 0], old[:, 0]), len(self._keys) - 1)
        places = np.flatnonzero((self._keys[near] == old).all(axis=1) & old.any(axis=1))
        return places, near[places]


def _portions(rows: Sequence[int]) -> Iterator[list[int]]:
    """The rows of consecutive chunks, as many as are in memory at once, at least one."""
    portion: list[int] = []
    for count in rows:
        if portion and sum(portion) + count > _AT_ONCE:
            yield portion
            portion = []
        portion.append(count)
    if portion:
        yield portion
