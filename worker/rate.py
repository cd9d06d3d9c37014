"""The rate at which a worker finishes rows."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

#: The rate is that of the last seconds, this many.
_SECONDS = 60.0


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
