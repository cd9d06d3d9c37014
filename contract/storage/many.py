"""Several calls of a storage at a time: an object store takes long over each, and answers many in the same time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from contract.storage.protocol import Storage

K = TypeVar("K")
V = TypeVar("V")


def many(storage: Storage, do: Callable[[K], V], keys: Iterable[K], ahead: int = 1024) -> Iterator[V]:
    """What `do`, which asks the storage, gives for each of the keys, in their order, no more than `ahead` of them at a
    time: so many results are held in memory. What it raises comes through."""
    if storage.at_once == 1:
        yield from map(do, keys)
        return
    waiting: deque[Future[V]] = deque()
    with ThreadPoolExecutor(min(storage.at_once, ahead)) as pool:
        try:
            for key in keys:
                waiting.append(pool.submit(do, key))
                if len(waiting) >= ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


@contextmanager
def created(storage: Storage, ahead: int = 8) -> Iterator[Callable[[str, bytes], None]]:
    """Gives what creates an object, durable once the storage has settled. On the way out all are there; no more than
    `ahead` of them are under way and in memory at a time. What a creation raises comes through, later or at the end."""

    def create(key: str, data: bytes) -> None:
        storage.create(key, data, durable=False)

    if storage.at_once == 1:
        yield create
        return
    waiting: deque[Future[None]] = deque()

    def later(key: str, data: bytes) -> None:
        waiting.append(pool.submit(create, key, data))
        if len(waiting) >= ahead:
            waiting.popleft().result()

    with ThreadPoolExecutor(min(storage.at_once, ahead)) as pool:
        yield later
        for one in waiting:
            one.result()
