"""A reader and the threads that share it: pairs of question and context in, outcomes in the same order out.

Safe to call from several threads, and in a process that was forked. Memory is bounded by the micro-batches under way,
not by the input, which may have no end.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from contract.format.job import Answer, Options, Row, RowError
from contract.machine import available_cpus
from worker.reader.reader import Reader
from worker.scoring import answer_alone, outcomes_of

Pair = tuple[str, str]

#: Micro-batches under way for each thread: one is scored, one waits.
_AHEAD = 2


class Engine:
    """A reader and its threads: by default one for each CPU."""

    def __init__(self, reader: Reader, threads: int = 0) -> None:
        self.reader = reader
        self.threads = threads or available_cpus()
        self._pool: ThreadPoolExecutor | None = None
        self._process = 0
        self._lock = threading.Lock()

    def answer(self, pair: Pair, options: Options) -> Answer | RowError:
        """The answer to one pair, in the caller's thread, or why there is none."""
        return answer_alone(Row(0, *pair), self.reader, options)

    def answers(self, pairs: Iterable[Pair], options: Options) -> Iterator[Answer | RowError]:
        """The outcome of each pair, in order. Pairs are taken as there is room for them, in the caller's thread."""
        pool, pending = self._threads(), deque[Future[list[Answer | RowError]]]()
        try:
            for batch in _micro_batches(pairs, self.reader.micro_batch):
                pending.append(pool.submit(self._batch, batch, options))
                if len(pending) == _AHEAD * self.threads:
                    yield from pending.popleft().result()
            while pending:
                yield from pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()

    def _batch(self, rows: list[Row], options: Options) -> list[Answer | RowError]:
        outcomes = outcomes_of(rows, self.reader, options)
        return [outcome or answer_alone(row, self.reader, options) for row, outcome in zip(rows, outcomes, strict=True)]

    def _threads(self) -> ThreadPoolExecutor:
        """The threads of this process: a fork has none of its parent's."""
        with self._lock:
            if self._pool is None or self._process != os.getpid():
                self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="answer")
                self._process = os.getpid()
            return self._pool


def _micro_batches(pairs: Iterable[Pair], most: int) -> Iterator[list[Row]]:
    """The pairs as rows, as many at a time as have `most` characters. The first ones are smaller: all threads begin at
    once, and short lists are shared out."""
    batch: list[Row] = []
    size, room = 0, most // 8
    for number, pair in enumerate(pairs):
        batch.append(Row(number, *pair))
        size += len(pair[0]) + len(pair[1])
        if size >= room:
            yield batch
            batch, size, room = [], 0, min(most, room + most // 8)
    if batch:
        yield batch
