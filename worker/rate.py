"""The rows that a worker finishes: their rate, those of one chunk by their outcome, what these cost, and its speed."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from contract.forecast.work import Work
from contract.format.job import Status

#: The rate is that of the last seconds, this many.
_SECONDS = 60.0
#: Chunks count towards the speed for about this many seconds of one thread after them.
_REMEMBERED = 300.0


class RowRate:
    """Counts rows in the threads that finish them, and gives their rate to another."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._rows = 0
        self._lock = threading.Lock()
        self._seen = deque([(clock(), 0)])  # (time, rows until then) of earlier calls of `rate`

    def add(self, rows: int) -> None:
        """Count finished rows."""
        with self._lock:
            self._rows += rows

    def rate(self) -> float | None:
        """Rows a second over the last minute, or since the start if that is less; None if there were none."""
        now, rows = self._clock(), self._rows
        while len(self._seen) > 1 and self._seen[1][0] <= now - _SECONDS:
            self._seen.popleft()
        since, before = self._seen[0]
        self._seen.append((now, rows))
        return round((rows - before) / (now - since), 2) if rows > before and now > since else None


class ChunkRows:
    """The rows of one chunk that have their outcome, counted in the threads that finish them."""

    def __init__(self) -> None:
        self._rows: Counter[Status] = Counter()
        self._lock = threading.Lock()

    def add(self, status: Status, rows: int) -> None:
        """Count rows with an outcome of this status."""
        with self._lock:
            self._rows[status] += rows

    def counts(self) -> Counter[Status]:
        """How many rows have which status, by now."""
        with self._lock:
            return self._rows.copy()


@dataclass(slots=True)
class Effort:
    """What scoring a chunk took, counted in the threads that score."""

    windows: int = 0
    tokens: int = 0  #: in those windows
    squares: int = 0  #: sum of the squares of the tokens of each
    cpu_seconds: float = 0.0  #: of the scoring threads
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def count_windows(self, windows: int, tokens: int, squares: int) -> None:
        """The model was run on windows."""
        with self._lock:
            self.windows += windows
            self.tokens += tokens
            self.squares += squares

    @property
    def work(self) -> Work:
        """The work of those windows, by now."""
        with self._lock:
            return Work(self.windows, self.tokens, self.squares)

    def count_cpu(self, seconds: float) -> None:
        """A thread has spent processor time on rows."""
        with self._lock:
            self.cpu_seconds += seconds


class Speed:
    """How fast the threads of a worker are while all are busy: seconds of work, by the cost curve of its model, that
    each does in a second. The latest chunks count most."""

    def __init__(self) -> None:
        self._work = self._seconds = 0.0

    def add(self, work: float, seconds: float) -> None:
        """This work took this many seconds, summed over the threads."""
        remembered = math.exp(-seconds / _REMEMBERED)
        self._work = self._work * remembered + work
        self._seconds = self._seconds * remembered + seconds

    def value(self) -> float:
        """The speed; 0 if nothing was done yet."""
        return round(self._work / self._seconds, 4) if self._seconds else 0.0
