"""Storage in memory: the twin of the real ones for tests. Threads share it, processes do not."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Iterator

from contract.storage.protocol import BLOCK, Data


class MemoryStorage:
    """Objects in a dictionary."""

    url = "memory://"
    at_once = 1

    def __init__(self) -> None:
        self._objects: dict[str, bytes] = {}
        self._written: dict[str, float] = {}
        self._lock = threading.Lock()

    def read(self, key: str) -> bytes:
        try:
            return self._objects[key]
        except KeyError:
            raise FileNotFoundError(errno.ENOENT, "no such object", key) from None

    def tail(self, key: str, size: int) -> bytes:
        return self.read(key)[-size:]

    def blocks(self, key: str) -> Iterator[bytes]:
        data = self.read(key)
        return (data[i : i + BLOCK] for i in range(0, len(data), BLOCK))

    def exists(self, key: str) -> bool:
        return key in self._objects

    def list(self, folder: str, after: str = "") -> list[str]:
        prefix = f"{folder}/"
        with self._lock:
            found = {key[len(prefix) :].split("/")[0] for key in self._objects if key.startswith(prefix)}
        return sorted(name for name in found if name > after)

    def sizes(self, folder: str) -> Iterator[tuple[str, int]]:
        prefix = f"{folder}/"
        with self._lock:
            found = [(key[len(prefix) :], len(data)) for key, data in self._objects.items() if key.startswith(prefix)]
        return iter(found)

    def create(self, key: str, data: Data, *, durable: bool = True) -> bool:
        whole = data if isinstance(data, bytes) else b"".join(data)
        with self._lock:
            if key in self._objects:
                return False
            self._objects[key], self._written[key] = whole, time.time()
        return True

    def settle(self) -> None:
        """Nothing to do."""

    def replace(self, key: str, data: bytes) -> None:
        with self._lock:
            self._objects[key], self._written[key] = data, time.time()

    def delete(self, key: str) -> None:
        self._objects.pop(key, None)

    def sweep(self, folder: str, older_than: float) -> None:
        """Nothing to do: there are no unfinished files."""

    def discard(self, folder: str, older_than: float = 0.0) -> bool:
        with self._lock:
            found = [key for key in self._objects if key.startswith(f"{folder}/")]
            if older_than and any(time.time() - self._written[key] < older_than for key in found):
                return False
            for key in found:
                del self._objects[key]
        return True

    def prune(self, folder: str) -> None:
        """Nothing to do: there are no folders."""

    def locate(self, key: str) -> str:
        return f"memory://{key}"
