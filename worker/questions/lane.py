"""The lane of questions: threads of a worker that answer single questions at once, also while it scores a chunk.

A question does not wait for a micro-batch to end. Of the threads that score a chunk, one gives way to each question
after its window, for a bounded time, so the chunk goes on whatever is asked. An idle lane waits in one call to Redis.
What a lane cannot answer takes a job, which has attempts and a quarantine: so does what it was answering when its
process died, as the process that replaces it says.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue

from contract.errors import BulkqaError, ModelError, RedisUnreachable
from contract.format import layout
from contract.format.job import ModelRef
from contract.questions import stored
from contract.questions.stored import Question, Reply
from contract.queue import Queue
from contract.storage import Storage
from worker.heartbeat import Parent
from worker.reader.reader import Reader
from worker.scoring import Prediction, outcomes_of, prediction

log = logging.getLogger("bulkqa.worker")

#: Seconds that a lane waits for a question before it looks whether the worker drains; and while Redis is away.
_WAIT = 0.5
#: Seconds for which a scoring thread gives way after a window, at most.
_GIVE_WAY = 0.1
#: Seconds in which questions under way are finished when the worker stops.
_LAST = 10.0


class Lane:
    """The lane of a worker, open until `close`. `count` is called with the seconds that each question took."""

    def __init__(
        self,
        storage: Storage,
        queue: Queue,
        reader: Reader,
        model: ModelRef,
        threads: int,
        parent: Parent,
        count: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        self._storage = storage
        self._queue = queue
        self._reader = reader.beside()
        self._model = model
        self._parent = parent
        self._count = count
        self._threads = threads
        self._free = SimpleQueue[int]()  # places in `Parent.answering`
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="question")
        self._answering = self._giving_way = 0
        self._changed = threading.Condition()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lane", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take no more questions, and finish those under way."""
        self._closed.set()
        ends = time.monotonic() + _LAST
        self._thread.join(_LAST)
        with suppress(Empty):
            for _ in range(self._threads):
                self._free.get(timeout=max(0.0, ends - time.monotonic()))
        self._pool.shutdown(wait=False, cancel_futures=True)

    def give_way(self) -> None:
        """Called by each thread that scores a chunk, after every window: waits a moment if a question is under way that
        no other thread gives way to."""
        if self._giving_way >= self._answering:  # mostly both are 0: without the lock
            return
        with self._changed:
            if self._giving_way < self._answering:
                self._giving_way += 1
                self._changed.wait_for(lambda: self._answering < self._giving_way, _GIVE_WAY)
                self._giving_way -= 1

    @contextmanager
    def _under_way(self) -> Iterator[None]:
        with self._changed:
            self._answering += 1
        try:
            yield
        finally:
            with self._changed:
                self._answering -= 1
                self._changed.notify_all()

    def _run(self) -> None:
        for place in range(self._threads):
            self._leave_to_a_job(place)
        while not (self._closed.is_set() or self._parent.draining()):
            try:
                place = self._free.get(timeout=_WAIT)
            except Empty:
                continue
            name = self._take()
            if name is None or not layout.is_question(name):
                self._free.put(place)
            else:
                self._parent.answering[place].value = name.encode()
                self._pool.submit(self._handle, place, name)

    def _leave_to_a_job(self, place: int) -> None:
        """Leave to a job the question that a process was answering in this place when it died."""
        name = self._parent.answering[place].value.decode()
        with self._held(place):
            if name and stored.read(self._storage, name):
                log.warning("a question is left to a job: the process that answered it died")
                stored.reply(self._storage, name, Reply(self._model, None))

    def _take(self) -> str | None:
        try:
            return self._queue.take_question(self._model.name, _WAIT)
        except RedisUnreachable:  # the heartbeat logs it
            self._closed.wait(_WAIT)
            return None

    def _handle(self, place: int, name: str) -> None:
        with self._held(place):
            question = stored.read(self._storage, name)
            if question and question.model == self._model.name:
                with self._under_way():
                    self._answer(name, question)

    @contextmanager
    def _held(self, place: int) -> Iterator[None]:
        try:
            yield
        except BulkqaError as error:  # such as a storage that does not answer
            log.warning("a question is left to a job: %s", error)
        finally:
            self._parent.answering[place].value = b""
            self._free.put(place)

    def _answer(self, name: str, question: Question) -> None:
        began = time.monotonic()
        predictions = None
        try:
            predictions = self._predictions(question)
            self._count(time.monotonic() - began)
        except ModelError as error:  # such as a lost GPU
            log.warning("a question is left to a job: %s. The worker restarts", error.message)
            self._parent.restart()
        except Exception:
            log.exception("a question is left to a job")
        stored.reply(self._storage, name, Reply(self._model, predictions))

    def _predictions(self, question: Question) -> list[Prediction] | None:
        """The predictions of all rows; None if one ran out of memory, beside others."""
        predictions = []
        for row in question.rows:
            outcome = row.error or outcomes_of([row], self._reader, question.options)[0]
            if outcome is None:
                return None
            predictions.append(prediction(row, outcome, question.options))
        return predictions
