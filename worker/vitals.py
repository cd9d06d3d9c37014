"""What a worker tells of its own state: the memory that it takes, and the rows that it finishes. Cheap to ask."""

from __future__ import annotations

import resource
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

#: The rate is over the rows of so many seconds.
_LATELY = 60.0


def memory(statm: Path = Path("/proc/self/statm")) -> int:
    """The resident memory of this process in bytes; where the system does not tell, its peak."""
    try:
        return int(statm.read_text().split()[1]) * resource.getpagesize()
    except (OSError, ValueError, IndexError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


class Pace:
    """Rows finished lately, counted by the threads that finish them and looked at by another."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._rows = 0
        self._lock = threading.Lock()
        self._seen = deque([(clock(), 0)])  # (when, rows until then), at each look

    def add(self, rows: int) -> None:
        """So many rows more are finished."""
        with self._lock:
            self._rows += rows

    def rate(self) -> float | None:
        """Rows a second over the last minute, or since the start if that is less; None where there were none."""
        now, rows = self._clock(), self._rows
        while len(self._seen) > 1 and self._seen[1][0] <= now - _LATELY:
            self._seen.popleft()
        since, before = self._seen[0]
        self._seen.append((now, rows))
        return round((rows - before) / (now - since), 2) if rows > before and now > since else None
