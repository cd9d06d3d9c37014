"""Concurrent calls of a storage: an object store answers many in the time that it takes for one."""

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
    """The results of `do`, which calls the storage, for each key in order. At most `ahead` calls are pending, and so
    many results are held in memory. With 1, they are made in the caller's thread. Exceptions of `do` propagate."""
    if min(storage.at_once, ahead) == 1:
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
    """Gives a function that creates an object in the background, durable once the storage has settled. All objects are
    there on exit. At most `ahead` of them are pending and in memory. Exceptions propagate, from a later call or on
    exit.
    """

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
        for pending in waiting:
            pending.result()
