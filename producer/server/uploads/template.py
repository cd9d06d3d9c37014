"""The process from which those that read uploads are forked: it has imported what they need, which takes a second.

It runs `producer.server.uploads.reading`. The fork server of the standard library would not do: its children import the
main module of this program again, and if this process is killed, they keep the fork server alive and are not told.
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

from contract.command import program
from contract.settings import Settings

#: Seconds that processes which still read have at the end, to remove what they wrote.
_LAST = 2


class Template:
    """Forks processes that read uploads. Starts at `with` or at the first upload, and again after it was killed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._running: tuple[subprocess.Popen[bytes], socket.socket] | None = None

    def __enter__(self) -> Self:
        self._running = self._started()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End it, and those that still read, as they all end when this process is killed."""
        if self._running:
            process, control = self._running
            self._running = None
            control.close()
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_LAST)

    def fork(self, files: Sequence[int]) -> socket.socket:
        """A connection to a new process that has these files open, and ends with it. Raises OSError."""
        here, there = socket.socketpair()
        with there:
            try:
                self._send([there.fileno(), *files])
            except BrokenPipeError:  # it was killed
                self.close()
                self._send([there.fileno(), *files])
        return here

    def _send(self, files: Sequence[int]) -> None:
        self._running = _, control = self._running or self._started()
        socket.send_fds(control, [b"."], files)

    def _started(self) -> tuple[subprocess.Popen[bytes], socket.socket]:
        # Not as flags: `ps` shows flags, and these can hold a password.
        env = os.environ | {
            "BULKQA_REDIS_URL": self._settings.redis_url,
            "BULKQA_STORAGE_URL": self._settings.storage_url,
            "BULKQA_MODEL": self._settings.model,
            "OPENBLAS_NUM_THREADS": "1",  # a process with threads had better not fork
        }
        env.pop("BULKQA_API_TOKEN", None)
        here, there = socket.socketpair()
        here.setblocking(False)  # noqa: FBT003 - positional only
        with there:
            nothing, number = subprocess.DEVNULL, there.fileno()
            process = subprocess.Popen(
                [*program("producer.server.uploads.reading"), str(number)], env=env, pass_fds=[number],
                stdin=nothing, stdout=nothing, start_new_session=True,  # Ctrl-C is for the server, which ends this
            )  # fmt: skip
        return process, here
