"""How much memory reading may take: the kernel's limit on this process's data, set around each step that decodes.

A few kilobytes of Parquet can expand to terabytes, and only the decoder knows. The allocation is then refused, as a
MemoryError. Where the kernel has no such limit (macOS, Windows), nothing is bounded.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

#: Bytes that reading may take, unless BULKQA_READ_MEMORY is set.
DEFAULT = 384 << 20

_STATM = Path("/proc/self/statm")
#: The limit is the process's: only one thread decodes at a time, and restores it.
_ONE_AT_A_TIME = threading.Lock()


class Bound:
    """Entered around work that may take no more than `budget` bytes beyond what the process has now.

    Start no process within it: it would inherit the limit. The kernel does not see memory that an allocator took before
    and keeps, so it is not counted: hence the allocator chosen in `producer/__init__.py`.
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget
        used = _used()
        self._most = None if used is None else used + budget
        self._before: tuple[int, int] | None = None

    def __enter__(self) -> Self:
        _ONE_AT_A_TIME.acquire()
        if self._most is not None:
            soft, hard = self._before = resource.getrlimit(resource.RLIMIT_DATA)
            if soft == resource.RLIM_INFINITY or soft > self._most:
                resource.setrlimit(resource.RLIMIT_DATA, (self._most, hard))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._before:
            resource.setrlimit(resource.RLIMIT_DATA, self._before)
        _ONE_AT_A_TIME.release()


def _used() -> int | None:
    """The bytes that count against the limit: data and stack. None if the kernel has no such limit."""
    with suppress(OSError, ValueError, IndexError):
        if hasattr(resource, "RLIMIT_DATA"):
            return int(_STATM.read_bytes().split()[5]) * os.sysconf("SC_PAGE_SIZE")
    return None
