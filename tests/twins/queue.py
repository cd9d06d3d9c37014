"""The queue in memory: the twin of the one on Redis, for tests."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from contract.queue import LONGEST_LEASE, WORKER_TTL, Asked, Hints, WorkerInfo, queue_name


class MemoryQueue:
    """The queue within this process. Messages wait in `messages[queue]` until somebody pops them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.messages: dict[str, deque[tuple[str, int]]] = {}
        self._clock = clock
        self._sent: dict[str, dict[int, float]] = {}
        self._leases: dict[str, dict[int, tuple[float, float, str]]] = {}  # since, until, owner
        self._plans: dict[str, tuple[int, int]] = {}  # the next chunk, and how many there are
        self._orders: dict[str, dict[str, float]] = {}  # by model: when each job is due
        self._workers: dict[str, tuple[float, WorkerInfo]] = {}
        self.questions: dict[str, deque[str]] = {}  # names, by model
        self._lock = threading.RLock()
        self._asked = threading.Condition(self._lock)

    def ping(self) -> None:
        """Always reachable."""

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
                following=self._plans[job][0] if job in self._plans else None,
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

    def finish(self, job: str, chunk: int, owner: str) -> bool:
        with self._lock:
            self._sent.get(job, {}).pop(chunk, None)
            self.release(job, chunk, owner)
            following, chunks = self._plans.get(job, (0, 0))
            return following >= chunks and not (chunks and self._sent.get(job))

    def plan(self, model: str, job: str, following: int, chunks: int, due: float) -> None:
        with self._lock:
            self._plans.setdefault(job, (following, chunks))
            self._orders.setdefault(model, {})[job] = due

    def planned(self, model: str, due: float, limit: int) -> list[str]:
        order = self._orders.get(model, {})
        jobs = sorted((when, job) for job, when in order.items() if when <= due)
        return [job for _, job in jobs][:limit]

    def unplan(self, model: str, job: str) -> None:
        with self._lock:
            self._plans.pop(job, None)
            self._orders.get(model, {}).pop(job, None)

    def claim(self, model: str, waiting: int, each: int) -> tuple[str, int] | None:
        with self._lock:
            workers = self.serving(model)
            if len(self.messages.get(queue_name(model), ())) >= waiting * workers:
                return None
            order = self._orders.get(model, {})
            for job in sorted(order, key=lambda one: (order[one], one)):
                following, chunks = self._plans.get(job, (0, 0))
                sent = self._sent.setdefault(job, {})
                if following >= chunks:
                    del order[job]
                elif len(sent) < each * workers:
                    self._plans[job] = following + 1, chunks
                    sent[following] = self._clock()
                    return job, following
            return None

    def put(self, model: str, job: str, chunk: int) -> None:
        with self._lock:
            self.messages.setdefault(queue_name(model), deque()).append((job, chunk))

    def unsend(self, job: str, chunks: list[int]) -> None:
        for chunk in chunks:
            self._sent.get(job, {}).pop(chunk, None)

    def forget(self, job: str) -> None:
        with self._lock:
            for table in (self._sent, self._leases, self._plans):
                table.pop(job, None)

    def ask(self, model: str, question: str, each: int) -> Asked:
        with self._asked:
            workers = sum(worker.model == model for worker in self.workers())
            questions = self.questions.setdefault(model, deque())
            if not workers:
                return "unserved"
            if len(questions) >= each * workers:
                return "full"
            questions.append(question)
            self._asked.notify()
            return "waits"

    def take_question(self, model: str, wait: float) -> str | None:
        with self._asked:
            self._asked.wait_for(lambda: self.questions.get(model), wait)
            questions = self.questions.get(model)
            return questions.popleft() if questions else None

    def announce(self, worker: WorkerInfo) -> None:
        self._workers[worker.name] = (self._clock(), worker)

    def leave(self, name: str, model: str) -> None:
        self._workers.pop(name, None)

    def waiting(self, model: str, digest: str) -> int:
        return self.hints(model, "", digest).waiting

    def queued(self, model: str, digest: str, limit: int) -> list[tuple[str, int]]:
        names = queue_name(model), queue_name(model, digest or "none")
        return [each for name in names for each in list(self.messages.get(name, ()))[:limit]]

    def serving(self, model: str) -> int:
        return max(1, sum(worker.model == model for worker in self.workers()))

    def workers(self) -> list[WorkerInfo]:
        now = self._clock()
        return [
            replace(worker, age_seconds=now - seen)
            for _, (seen, worker) in sorted(self._workers.items())
            if now - seen <= WORKER_TTL
        ]

    def workers_elsewhere(self, model: str) -> int:
        return 0

    def wipe(self) -> None:
        """What FLUSHALL does."""
        with self._lock:
            self.__init__(self._clock)  # type: ignore[misc]
