"""Health files: each long-running process touches a file of its own while it is healthy.

By default they are in a folder of this user under the system's temporary folder, named after their processes, so that
several processes on a machine are told apart. If a file cannot be touched, that is logged, and the work goes on.
"""

from __future__ import annotations

import logging
import os
import re
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from contract.machine import NO_FOLLOW

log = logging.getLogger("bulkqa.health")

#: A process whose file is older than this, in seconds, is not healthy.
MAX_AGE = 60.0


@dataclass(frozen=True, slots=True)
class Health:
    """The health of one process, by its file."""

    name: str
    age: float  #: seconds since the process touched its file
    dead: bool  #: the process does not exist any more

    @property
    def healthy(self) -> bool:
        """Whether the process exists and has touched its file lately."""
        return not self.dead and self.age < MAX_AGE


def health_files(path: Path | None, role: str, count: int = 1) -> list[HealthFile]:
    """Health files for the processes of one command; those of earlier processes are removed.

    `path` is the first file, and the others are named after it. None: they are named after the role and this process.
    """
    if path is None:
        for stale in filter(_is_dead, _folder().glob("*-*")):
            _remove(stale)
        names = [role, *(f"{role}.{number}" for number in range(1, count))]
        return [HealthFile(_folder() / f"{name}-{os.getpid()}") for name in names]
    for other in _others(path):
        _remove(other)
    return [HealthFile(path), *(HealthFile(path.with_name(f"{path.name}.{number}")) for number in range(1, count))]


class HealthFile:
    """The health file of one process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._warned = False

    def touch(self) -> None:
        """Touch the file. A symbolic link in its place is not followed."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | NO_FOLLOW | os.O_NONBLOCK, 0o600)
            try:
                os.utime(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            if not self._warned:
                log.warning("health file %s cannot be touched: %s", self.path, error.strerror or error)
            self._warned = True

    def remove(self) -> None:
        """Remove the file, when the process ends in order."""
        _remove(self.path)


def read_health(first: Path | None = None) -> list[Health]:
    """The health of the processes of the command with that first file, or of all processes of this user."""
    found = []
    for path in [first, *_others(first)] if first else sorted(_folder().glob("*-*")):
        with suppress(OSError):
            age = max(0.0, time.time() - path.lstat().st_mtime)
            found.append(Health(path.name, age, first is None and _is_dead(path)))
    return found


def _folder() -> Path:
    return Path(tempfile.gettempdir()) / f"bulkqa-health-{os.getuid()}"


def _is_dead(path: Path) -> bool:
    """Whether the process that the file is named after does not exist any more."""
    try:
        os.kill(int(path.name.rpartition("-")[2]), 0)
    except (ValueError, ProcessLookupError):
        return True
    except PermissionError:  # another user's process: the number was reused
        return True
    return False


def _others(first: Path) -> list[Path]:
    """The health files beside the first one of a command."""
    return sorted(path for path in first.parent.glob("*") if re.fullmatch(re.escape(first.name) + r"\.\d+", path.name))


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()
