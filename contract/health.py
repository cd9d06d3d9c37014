"""Signs of life of a long-running process: a file of its own that it touches while it is well.

By default one a process, in a folder of this user under the system's temporary one, so that several on a machine do not
speak for each other. A file that cannot be touched costs nothing but a word in the log.
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

#: A process whose file is older than this, in seconds, is not well.
HEALTHY = 60.0


@dataclass(frozen=True, slots=True)
class Sign:
    """What was found of one process."""

    name: str
    age: float  #: seconds since it touched its file
    dead: bool  #: there is no process of that number any more

    @property
    def well(self) -> bool:
        """Whether it lives and said so of late."""
        return not self.dead and self.age < HEALTHY


def health_files(given: Path | None, role: str, count: int = 1) -> list[HealthFile]:
    """Files for the processes of one command; what earlier ones left there is removed. `given`: the path of the first,
    after which the others are named; None for names after the role and this process."""
    if given is None:
        for path in filter(_is_dead, _folder().glob("*-*")):  # of killed ones: nobody waits for them any more
            _remove(path)
        names = [role, *(f"{role}.{number}" for number in range(1, count))]
        return [HealthFile(_folder() / f"{name}-{os.getpid()}") for name in names]
    for path in _others(given):
        _remove(path)
    return [HealthFile(given), *(HealthFile(given.with_name(f"{given.name}.{n}")) for n in range(1, count))]


class HealthFile:
    """The file of one process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._told = False

    def beat(self) -> None:
        """Touch the file. A link in its place is not followed."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | NO_FOLLOW | os.O_NONBLOCK, 0o600)
            try:
                os.utime(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            if not self._told:
                log.warning("health file %s cannot be touched: %s", self.path, error.strerror or error)
            self._told = True

    def end(self) -> None:
        """The process ends in order."""
        _remove(self.path)


def look(given: Path | None = None) -> list[Sign]:
    """The signs of the processes of the command whose file is given, else of all processes of this user."""
    found = []
    for path in [given, *_others(given)] if given else sorted(_folder().glob("*-*")):
        with suppress(OSError):
            age = max(0.0, time.time() - path.lstat().st_mtime)
            found.append(Sign(path.name, age, given is None and _is_dead(path)))
    return found


def _folder() -> Path:
    return Path(tempfile.gettempdir()) / f"bulkqa-health-{os.getuid()}"


def _is_dead(path: Path) -> bool:
    """Whether the process that the file is named after is gone."""
    try:
        os.kill(int(path.name.rpartition("-")[2]), 0)
    except (ValueError, ProcessLookupError):
        return True
    except PermissionError:  # another user's: the number was given out again
        return True
    return False


def _others(given: Path) -> list[Path]:
    """Files of the other processes of a command whose first one's is given."""
    return sorted(path for path in given.parent.glob("*") if re.fullmatch(re.escape(given.name) + r"\.\d+", path.name))


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()
