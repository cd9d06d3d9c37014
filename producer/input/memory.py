"""How much memory reading may take: a limit of the kernel on this process's data, set around each step that decodes.

A few kilobytes of Parquet can stand for terabytes, and only its decoder knows. What it then asks for is refused, as a
MemoryError, before there is any of it. Where the kernel keeps no such limit (macOS, Windows) nothing is bounded.
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

#: What reading may take unless BULKQA_READ_MEMORY says otherwise.
DEFAULT = 384 << 20

_STATM = Path("/proc/self/statm")
#: The limit is the process's: of two threads that read, one decodes at a time, and finds it as it was.
_ONE_AT_A_TIME = threading.Lock()


class Bound:
    """Entered around work that may take no more than `budget` bytes beyond what the process has now.

    Not to be held while a process is started, which would have the limit as well. What an allocator took before and
    holds back is not seen by the kernel, and not counted: hence the choice in `producer/__init__.py`.
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
    """The bytes that count against the limit: data and stack. None where there is no such limit."""
    with suppress(OSError, ValueError, IndexError):
        if hasattr(resource, "RLIMIT_DATA"):
            return int(_STATM.read_bytes().split()[5]) * os.sysconf("SC_PAGE_SIZE")
    return None
