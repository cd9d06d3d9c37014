"""The heartbeat of a worker: that it is well, that its chunk is under way, and when its process must end or restart.

Says so to the health file, to Redis (presence, lease, the transport's own clock) and to the kernel's watch on hangs.
Knows nothing of rows and storage.
"""

from __future__ import annotations

import faulthandler
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from contract.errors import RedisUnreachable
from contract.health import HealthFile
from contract.queue import WorkerInfo
from contract.queue.redis import RedisQueue
from contract.settings import Settings
from worker.vitals import Pace, memory

log = logging.getLogger("bulkqa.worker")

#: How often the child renews its lease, touches its health file and looks for a cancel marker.
HEARTBEAT = 5.0
#: How often it looks whether it was told to stop, to say so while it still is.
_LOOK = 0.1
#: A storage that takes longer than this over one chunk is believed to hang: others may have the chunk.
_STORAGE_PATIENCE = 900.0
#: An idle worker that leaves messages waiting for this long is a stalled consumer: its connection is dead and it does
#: not know, as when something between it and Redis went away without a word. It restarts.
_STALLED = 25.0


class Heartbeat:
    """A thread of the child that says that it is alive, while it is: health file, lease, and presence.

    While a chunk is scored this goes on only as long as windows advance. When none has for `stall` seconds the process
    is ended by faulthandler's own thread, which needs no GIL, so that a hang inside native code does not hold a chunk.
    Storage may take longer to read a chunk or to write its part: to end the process for that would be a death beside
    rows that did nothing.
    """

    def __init__(
        self,
        queue: RedisQueue,
        settings: Settings,
        me: WorkerInfo,
        health: HealthFile,
        restart: Callable[[], None],
        heard: Callable[[], float],
        draining: Callable[[], bool] = lambda: False,
    ) -> None:
        """`restart` is called when the consumer has stalled: messages wait, and none comes through. `heard` says when
        Redis last told what is on the queue, by time.monotonic: what is dropped there this process does not see.
        `draining`: whether the worker was told to stop."""
        self._queue = queue
        self._settings = settings
        self._me = me
        self._restart = restart
        self._draining = draining
        self._pace = Pace()
        self._health = health
        self._last = heard
        self.active: tuple[str, int, str | None] | None = None
        self._held = 0.0
        self._advanced = self._armed = time.monotonic()
        self._scoring = False
        self._heard = time.monotonic()
        self._hearing = False
        #: What a storage that cannot be used says; a job says so then.
        self.trouble = ""
        self._told = ""
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._tick()
        self._thread.start()

    def beat(self) -> None:
        """A window was run, or a row finished."""
        self._advanced = time.monotonic()
        if self._scoring and self._advanced - self._armed > 1.0:  # arming costs a thread: not at every window
            self._arm()

    def rows(self, count: int) -> None:
        """So many rows have their outcome."""
        self._pace.add(count)

    @contextmanager
    def over(self, job: str, chunk: int, tag: str | None) -> Iterator[None]:
        """While a chunk is worked on."""
        self._advanced = self._held = time.monotonic()
        self.active = (job, chunk, tag)
        try:
            yield
        finally:
            self.active = None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """While rows are scored: windows have to advance."""
        self._scoring = True
        self._advanced = time.monotonic()
        self._arm()
        try:
            yield
        finally:
            self._scoring = False
            faulthandler.cancel_dump_traceback_later()
            self._advanced = time.monotonic()

    @contextmanager
    def hearing(self) -> Iterator[None]:
        """While a message is dealt with, assembling included: what else waits on the queue waits rightly."""
        self._hearing = True
        try:
            yield
        finally:
            self._hearing = False
            self._heard = time.monotonic()

    def close(self) -> None:
        """Stop, and leave."""
        self._done.set()
        self._thread.join(timeout=2.0)
        self._health.remove()
        with suppress(RedisUnreachable):
            self._queue.leave(self._me.name, self._me.model)

    def _arm(self) -> None:
        self._armed = time.monotonic()
        faulthandler.dump_traceback_later(self._settings.stall, exit=True, file=sys.__stderr__ or sys.stderr)

    def _run(self) -> None:
        due, told = time.monotonic() + HEARTBEAT, False
        while not self._done.wait(_LOOK):
            if time.monotonic() >= due or self._draining() is not told:
                due, told = time.monotonic() + HEARTBEAT, self._draining()
                self._tick()

    def _said(self) -> WorkerInfo:
        """What this worker is and does now."""
        job, chunk, _ = self.active or (None, None, None)
        return replace(
            self._me,
            job=job,
            chunk=chunk,
            held_seconds=round(time.monotonic() - self._held, 1) if job else None,
            rows_per_second=self._pace.rate(),
            rss=memory(),
            draining=self._draining(),
            trouble="".join(c if c.isprintable() else " " for c in self.trouble[:250]),
        )

    def _tick(self) -> None:
        patience = self._settings.lease if self._scoring else _STORAGE_PATIENCE
        if self.active and time.monotonic() - self._advanced > patience:
            return
        self._health.touch()
        try:
            self._queue.announce(self._said())
            if self._hearing or not self._queue.waiting(self._me.model, self._me.digest):
                self._heard = time.monotonic()
            elif time.monotonic() - max(self._heard, self._last()) > _STALLED:
                log.error("worker %s: messages wait and none comes through: it restarts", self._me.name)
                self._heard = time.monotonic()
                self._restart()
            if active := self.active:
                job, chunk, tag = active
                self._queue.lease(job, chunk, self._me.name, self._settings.lease)
                if tag:
                    self._queue.touch(tag)
            self._told = ""
        except RedisUnreachable as error:
            self._heard = time.monotonic()  # an outage is no stall: the consumer has its time once Redis is back
            if error.message != self._told:  # Celery's own lines go on, without the remedy
                log.warning("worker %s: %s. %s", self._me.name, error.message, error.remedy)
                self._told = error.message
