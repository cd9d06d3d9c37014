"""The queue in memory: the twin of the one on Redis, for tests."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from contract.queue import LONGEST_LEASE, WORKER_TTL, Hints, WorkerInfo, queue_name


class MemoryQueue:
    """The queue within this process. Messages wait in `messages[queue]` until somebody pops them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.messages: dict[str, deque[tuple[str, int]]] = {}
        self._clock = clock
        self._sent: dict[str, dict[int, float]] = {}
        self._leases: dict[str, dict[int, tuple[float, float, str]]] = {}  # since, until, owner
        self._next: dict[str, int] = {}
        self._workers: dict[str, tuple[float, WorkerInfo]] = {}
        self._lock = threading.RLock()

    def ping(self) -> None:
        """Always there."""

    def send(self, model: str, job: str, chunks: list[int], digest: str = "") -> None:
        with self._lock:
            for chunk in chunks:
                self._sent.setdefault(job, {})[chunk] = self._clock()
                self.messages.setdefault(queue_name(model, digest), deque()).append((job, chunk))

    def hints(self, model: str, job: str, digest: str = "") -> Hints:
        queues = {queue_name(model), queue_name(model, digest)}
        with self._lock:
            now = self._clock()
            return Hints(
                now=now,
                sent=dict(self._sent.get(job, {})),
                leases={
                    n: until
                    for n, (since, until, _) in self._leases.get(job, {}).items()
                    if since <= now and until - since <= LONGEST_LEASE
                },
                waiting=sum(len(self.messages.get(name, ())) for name in queues),
            )

    def lease(self, job: str, chunk: int, owner: str, seconds: float) -> bool:
        with self._lock:
            now = self._clock()
            since, until, holder = self._leases.get(job, {}).get(chunk, (0.0, 0.0, owner))
            if holder != owner and since <= now < until <= since + LONGEST_LEASE:
                return False
            self._leases.setdefault(job, {})[chunk] = (now, now + seconds, owner)
            return True

    def release(self, job: str, chunk: int, owner: str) -> None:
        with self._lock:
            leases = self._leases.get(job, {})
            if chunk in leases and leases[chunk][2] == owner:
                del leases[chunk]

    def finish(self, job: str, chunk: int, owner: str) -> None:
        with self._lock:
            self._sent.get(job, {}).pop(chunk, None)
            self.release(job, chunk, owner)

    def claim(self, job: str, chunks: int, window: int) -> int | None:
        with self._lock:
            if job not in self._next:
                raise LookupError(job)
            number = self._next[job]
            if number >= chunks:
                return chunks
            if len(self._sent.get(job, {})) >= window:
                return None
            self._next[job] = number + 1
            self._sent.setdefault(job, {})[number] = self._clock()
            return number

    def restart(self, job: str, next_chunk: int) -> None:
        with self._lock:
            self._next[job] = next_chunk

    def forget(self, job: str) -> None:
        with self._lock:
            for table in (self._sent, self._leases, self._next):
                table.pop(job, None)

    def announce(self, worker: WorkerInfo) -> None:
        self._workers[worker.name] = (self._clock(), worker)

    def leave(self, name: str) -> None:
        self._workers.pop(name, None)

    def workers(self) -> list[WorkerInfo]:
        now = self._clock()
        return [
            replace(worker, age_seconds=now - seen)
            for _, (seen, worker) in sorted(self._workers.items())
            if now - seen <= WORKER_TTL
        ]

    def elsewhere(self, model: str) -> int:
        return 0

    def wipe(self) -> None:
        """What FLUSHALL does."""
        with self._lock:
            self.__init__(self._clock)  # type: ignore[misc]
