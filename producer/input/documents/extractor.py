"""Has documents read by a child process, one after the other: one that kills it, or takes too long, costs no other."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

from contract.command import program
from contract.errors import MissingExtra
from producer.input.documents.child import too_large
from producer.input.documents.text import Text, Unreadable, unreadable

#: Seconds that reading a document may take.
SECONDS = 60.0


class Extractor:
    """Reads documents in a child that takes at most `memory` bytes for one. Started for the first of them, and again
    after one that ended it."""

    def __init__(self, memory: int, seconds: float = SECONDS) -> None:
        self.most = memory // 2  #: bytes of a document
        self._memory, self._seconds = memory, seconds
        self._child: tuple[subprocess.Popen[bytes], Connection] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the child."""
        if self._child:
            process, connection = self._child
            self._child = None
            connection.close()
            process.kill()
            process.wait()

    def text(self, name: str, data: bytes) -> Text:
        """The text of a document. Raises Unreadable, and MissingExtra for a library that is not installed."""
        if len(data) > self.most:
            raise unreadable(too_large(self._memory))
        about, text = self._asked(name, data)
        if "missing" in about:
            raise MissingExtra(f"{name}: reading it", about["missing"], "documents")
        if "code" in about:
            raise Unreadable(about["code"], about["why"])
        return Text(text.decode(), about["pages"], about["library"], about["version"], tuple(about["warnings"]))

    def _asked(self, name: str, data: bytes) -> tuple[dict[str, Any], bytes]:
        self._child = self._child or self._started()
        connection = self._child[1]
        try:
            connection.send_bytes(name.encode("utf-8", "surrogateescape"))
            connection.send_bytes(data)
            if connection.poll(self._seconds):
                return json.loads(connection.recv_bytes()), connection.recv_bytes()
            why = f"reading it takes more than {self._seconds:g} s"
        except (EOFError, OSError):
            why = f"reading it crashes the program that reads it, or takes more than {self._memory >> 20} MiB of memory"
        except BaseException:
            self.close()
            raise
        self.close()
        raise unreadable(f"{why}: save it again, or split it")

    def _started(self) -> tuple[subprocess.Popen[bytes], Connection]:
        parent_end, child_end = multiprocessing.Pipe()
        with child_end:
            command = [*program("producer.input.documents.child"), str(child_end.fileno()), str(self._memory)]
            nothing = subprocess.DEVNULL
            process = subprocess.Popen(
                command, pass_fds=[child_end.fileno()], stdin=nothing, stdout=nothing, stderr=nothing
            )
        return process, parent_end
