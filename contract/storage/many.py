"""Several calls of a storage at a time: an object store takes long over each, and answers many in the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from contract.storage.protocol import Storage

K = TypeVar("K")
V = TypeVar("V")
#: Keys in one go, and how few are done one after the other.
_IN_ONE_GO, _FEW = 1024, 4


def many(storage: Storage, do: Callable[[K], V], keys: Sequence[K]) -> Iterator[V]:
    """What `do`, which asks the storage, gives for each of the keys, in their order. What it raises comes through."""
    if storage.at_once == 1 or len(keys) <= _FEW:
        yield from map(do, keys)
        return
    with ThreadPoolExecutor(storage.at_once) as pool:
        for start in range(0, len(keys), _IN_ONE_GO):
            yield from pool.map(do, keys[start : start + _IN_ONE_GO])
