"""The heartbeat of a worker: shows that the process is healthy, renews the lease of its chunk, and ends or restarts a
process that hangs.

Writes to the health file, to Redis (presence, lease, the transport's own clock) and to faulthandler's watchdog. Knows
nothing of rows and storage.
"""

from __future__ import annotations

import ctypes
import faulthandler
import logging
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace

from contract.errors import RedisUnreachable
from contract.format.job import Status
from contract.health import HealthFile
from contract.machine import resident_memory
from contract.queue import WorkerInfo
from contract.queue.redis import RedisQueue
from contract.settings import Settings
from worker.rate import ChunkRows, RowRate

log = logging.getLogger("bulkqa.worker")

#: Seconds between two heartbeats: each renews the lease, touches the health file and announces the worker.
HEARTBEAT = 5.0
#: Seconds between two heartbeats while chunks come and rows finish: then the worker is only announced, with them.
_ROWS = 1.0
#: Seconds between two checks whether a heartbeat is due. That the worker is draining is announced at once.
_CHECK = 0.1
#: A storage call over one chunk that takes longer than this many seconds counts as hung: others may have the chunk.
_STORAGE_PATIENCE = 900.0
#: A worker that is idle for this many seconds while messages wait is a stalled consumer: its connection is dead, and
#: neither side was notified. It restarts.
_STALLED = 25.0


#: The names of the questions that a process answers, one for each of its threads; empty: none.
Names = ctypes.c_char * 32 * 256


@dataclass(frozen=True, slots=True)
class Parent:
    """What a child process needs from its parent. The defaults are for a worker without one."""

    draining: Callable[[], bool] = lambda: False  #: whether the worker was asked to stop
    restart: Callable[[], None] = lambda: None  #: restarts the worker
    last_reply: Callable[[], float] = lambda: 0.0  #: when Redis last replied about the queue, by time.monotonic
    answering: ctypes.Array[ctypes.Array[ctypes.c_char]] = field(default_factory=Names)  #: outlives the child


class Heartbeat:
    """A thread of the child that beats as long as the child is healthy.

    While a chunk is scored, it beats only as long as windows advance. After `stall` seconds without one, faulthandler's
    own thread, which needs no GIL, ends the process: a hang in native code does not hold a chunk. Reading a chunk or
    writing its part may take longer: ending the process then would blame rows that did nothing.
    """

    def __init__(
        self, queue: RedisQueue, settings: Settings, me: WorkerInfo, health: HealthFile, parent: Parent
    ) -> None:
        self._queue = queue
        self._settings = settings
        self._me = me
        self._health = health
        self._parent = parent
        self._rate = RowRate()
        #: The chunk that the worker holds, and the delivery tag of its message.
        self.active: tuple[str, int, str | None] | None = None
        self._held_since = 0.0
        self._attempt = 0  # at that chunk
        self._chunk_rows = ChunkRows()
        self._work: Callable[[], float] = lambda: 0.0  # done of that chunk
        #: Of the worker's threads (`WorkerInfo.speed`).
        self.speed = me.speed
        self._advanced_at = self._armed_at = time.monotonic()
        self._scoring = False
        self._consuming_at = time.monotonic()  # when the consumer last had a message, or none was waiting
        self._handling = False
        #: The error of a storage that cannot be used; `status` of a job shows it.
        self.trouble = ""
        self._logged = ""
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._beat()
        self._thread.start()

    def advance(self) -> None:
        """A window was run, or a row finished."""
        self._advanced_at = time.monotonic()
        if self._scoring and self._advanced_at - self._armed_at > 1.0:  # arming costs a thread: not for every window
            self._arm()

    def count_rows(self, status: Status, rows: int) -> None:
        """Rows have their outcome."""
        self._rate.add(rows)
        self._chunk_rows.add(status, rows)

    @contextmanager
    def holding(self, job: str, chunk: int, tag: str | None) -> Iterator[None]:
        """While the worker holds a chunk: its lease is renewed."""
        self._advanced_at = self._held_since = time.monotonic()
        self._attempt, self._chunk_rows, self._work = 0, ChunkRows(), lambda: 0.0
        self.active = (job, chunk, tag)
        try:
            yield
        finally:
            self.active = None

    @contextmanager
    def scoring(self, attempt: int, work: Callable[[], float] = lambda: 0.0) -> Iterator[None]:
        """While rows are scored, at this attempt at the chunk: windows have to advance. `work`: how much of what the
        chunk was forecast to take is done."""
        self._attempt, self._work = attempt, work
        self._scoring = True
        self._advanced_at = time.monotonic()
        self._arm()
        try:
            yield
        finally:
            self._scoring = False
            faulthandler.cancel_dump_traceback_later()
            self._advanced_at = time.monotonic()

    @contextmanager
    def handling(self) -> Iterator[None]:
        """While a message is handled, up to assembling the job: other messages may wait."""
        self._handling = True
        try:
            yield
        finally:
            self._handling = False
            self._consuming_at = time.monotonic()

    def close(self) -> None:
        """Stop, and remove the worker from the list of those that are present."""
        self._done.set()
        self._thread.join(timeout=2.0)
        self._health.remove()
        with suppress(RedisUnreachable):
            self._queue.leave(self._me.name, self._me.model)

    def _arm(self) -> None:
        self._armed_at = time.monotonic()
        faulthandler.dump_traceback_later(self._settings.stall, exit=True, file=sys.__stderr__ or sys.stderr)

    def _run(self) -> None:
        due, announced = time.monotonic() + HEARTBEAT, False
        rows_due, rows = 0.0, self._under_way()
        while not self._done.wait(_CHECK):
            now = time.monotonic()
            if now >= due or self._parent.draining() is not announced:
                due, announced = now + HEARTBEAT, self._parent.draining()
                self._beat()
            elif now >= rows_due and self._under_way() != rows:
                rows_due, rows = now + _ROWS, self._under_way()
                self._announce_rows()

    def _under_way(self) -> tuple[tuple[str, int, str | None] | None, Counter[Status]]:
        """The chunk that the worker holds, and its rows by outcome."""
        return self.active, self._chunk_rows.counts()

    def _presence(self) -> WorkerInfo:
        """The worker as `producer workers` shows it."""
        job, chunk, _ = self.active or (None, None, None)
        rows = self._chunk_rows.counts() if job else {}
        return replace(
            self._me,
            job=job,
            chunk=chunk,
            held_seconds=round(time.monotonic() - self._held_since, 1) if job else None,
            rows_per_second=self._rate.rate(),
            rss=resident_memory(),
            draining=self._parent.draining(),
            attempt=self._attempt if job else 0,
            answered=rows.get("answered", 0),
            no_answer=rows.get("no_answer", 0),
            failed=rows.get("error", 0),
            work=round(self._work(), 3) if job else 0.0,
            speed=self.speed,
            trouble="".join(c if c.isprintable() else " " for c in self.trouble[:250]),
        )

    def _beat(self) -> None:
        patience = self._settings.lease if self._scoring else _STORAGE_PATIENCE
        if self.active and time.monotonic() - self._advanced_at > patience:
            return
        self._health.touch()
        try:
            self._queue.announce(self._presence())
            self._check_consumer()
            if active := self.active:
                job, chunk, tag = active
                self._queue.lease(job, chunk, self._me.name, self._settings.lease)
                if tag:
                    self._queue.touch(tag)
            self._logged = ""
        except RedisUnreachable as error:
            self._consuming_at = time.monotonic()  # an outage is no stall: the consumer has its time once Redis is back
            if error.message != self._logged:  # once: Celery logs every attempt, but not the remedy
                log.warning("worker %s: %s. %s", self._me.name, error.message, error.remedy)
                self._logged = error.message

    def _announce_rows(self) -> None:
        """Announce the worker, unless Redis was away at the last heartbeat: the next one tries again."""
        with suppress(RedisUnreachable):
            if not self._logged:
                self._queue.announce(self._presence())

    def _check_consumer(self) -> None:
        """Restart a worker whose consumer has stalled. Replies count too: the gate drops messages that are not ours."""
        if self._handling or not self._queue.waiting(self._me.model, self._me.digest):
            self._consuming_at = time.monotonic()
        elif time.monotonic() - max(self._consuming_at, self._parent.last_reply()) > _STALLED:
            log.error("worker %s: messages wait and none arrives: it restarts", self._me.name)
            self._consuming_at = time.monotonic()
            self._parent.restart()
