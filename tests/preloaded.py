"""Commands without the second or two that each takes to import its modules: every command is a process of its own,
forked from one that has imported them. How a command starts is tested where it is started anew."""

from __future__ import annotations

import json
import os
import resource
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from contract.machine import end_with_parent

#: What each program imports while it starts.
PRODUCER = ("producer.backend.direct", "producer.backend.http", "producer.cli.view")
WORKER = ("worker.cli", "worker.tasks")

#: Listens for commands, and forks for each a process that starts it, says its number, waits for it, and says how it
#: ended. The command leaves the loop.
_SERVER = """
import gc, io, json, os, signal, socket, sys
from contextlib import suppress
from importlib import import_module

from contract.machine import end_with_parent

def await_command(listener):
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how those ended that wait
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            return connection
        connection.close()

def leave_waiting(connection, files):
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    end_with_parent()
    if (child := os.fork()) == 0:
        connection.close()
        return
    for number in files:
        os.close(number)
    with suppress(OSError):  # nobody waits for it any more
        connection.sendall(b"%d\\n" % child)
    _, ended, used = os.wait4(child, 0)
    with suppress(OSError):
        connection.sendall(b"%d %d\\n" % (os.waitstatus_to_exitcode(ended), used.ru_maxrss << 10))
    os._exit(0)

listener, program, *modules = sys.argv[1:]
for module in modules:
    import_module(module)
main = import_module(program + ".__main__").main
gc.freeze()  # what is shared with the children stays so: else each copies it as it looks for garbage
connection = await_command(socket.socket(fileno=int(listener)))
_, files, _, _ = socket.recv_fds(connection, 1, 3)
with connection.makefile() as lines:
    command = json.loads(lines.readline())
leave_waiting(connection, files)
end_with_parent()
if command["session"]:
    os.setsid()
os.chdir(command["cwd"])
os.environ.clear()
os.environ.update(command["env"])
for number, opened in enumerate(files):
    os.dup2(opened, number)
    os.close(opened)
# Streams remember what their files are: those of the server may be no terminals or pipes.
sys.stdin = open(0, closefd=False)
sys.stdout, sys.stderr = (
    io.TextIOWrapper(open(number, "wb", 0, closefd=False), write_through=True) for number in (1, 2)
)
sys.argv = [program, *command["arguments"]]
main()
"""

#: Has a command run, as a program of its name does, and ends as it did.
_CLIENT = """
import json, os, socket, sys

connection = socket.socket(socket.AF_UNIX)
connection.connect(sys.argv[1])
socket.send_fds(connection, [b"."], [0, 1, 2])
command = {"arguments": sys.argv[2:], "cwd": os.getcwd(), "env": dict(os.environ), "session": False}
connection.sendall(json.dumps(command).encode() + b"\\n")
_, ended = connection.makefile()
status = int(ended.split()[0])
sys.exit(status if status >= 0 else 128 - status)
"""


class Ended(subprocess.CompletedProcess[str]):
    """A command that has ended. `peak` is the most memory that it held, in bytes."""

    peak: int


class Started:
    """A command that runs, with what tests use of `subprocess.Popen`."""

    def __init__(self, arguments: tuple[str, ...], connection: socket.socket) -> None:
        """`connection`: on which its number comes, and how it ended."""
        self.args = arguments
        self.returncode: int | None = None
        self.peak = 0
        self._connection = connection.detach()
        self._unread = b""
        self.pid = int(self._line(None) or b"")

    def __enter__(self) -> Started:
        return self

    def __exit__(self, *_: object) -> None:
        self.wait()

    def poll(self) -> int | None:
        """The exit status, if it has ended."""
        return self._end(0)

    def wait(self, timeout: float | None = None) -> int:
        """The exit status. Raises TimeoutExpired."""
        if (status := self._end(timeout)) is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _end(self, timeout: float | None) -> int | None:
        if self.returncode is None and (line := self._line(timeout)):
            self.returncode, self.peak = map(int, line.split())
            os.close(self._connection)
        return self.returncode

    def _line(self, timeout: float | None) -> bytes | None:
        """The next line of what is said of it."""
        while b"\n" not in self._unread:
            if not select.select([self._connection], [], [], timeout)[0]:
                return None
            received = os.read(self._connection, 4096)
            assert received, f"who waited for {self.args} was killed"
            self._unread += received
        line, _, self._unread = self._unread.partition(b"\n")
        return line


class Commands:
    """Runs commands of `program`. To be closed."""

    def __init__(
        self,
        env: Mapping[str, str],
        address_space: int = resource.RLIM_INFINITY,
        program: str = "producer",
        modules: tuple[str, ...] = PRODUCER,
    ) -> None:
        """`env`: what the modules find when they are imported. Each command has an environment of its own.
        `address_space`: the bytes that a command may have. `modules` are imported once."""
        self.program = program
        self._folder = Path(tempfile.mkdtemp(prefix="bqa-", dir="/tmp"))  # short, as the path of a socket has to be
        self._socket = str(self._folder / program)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self._socket)
            listener.listen(64)
            number = listener.fileno()
            self._server = subprocess.Popen(
                [sys.executable, "-c", _SERVER, str(number), program, *modules],
                env=env, pass_fds=[number], start_new_session=True,
                preexec_fn=lambda: (end_with_parent(), resource.setrlimit(resource.RLIMIT_AS, (address_space,) * 2)),
            )  # fmt: skip

    def run(self, *arguments: str, cwd: Path, env: Mapping[str, str]) -> Ended:
        """Run a command to its end."""
        with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
            started = self._begin(arguments, cwd, env, stdout, stderr, session=False)
            try:
                status = started.wait()
            except BaseException:  # the test gave up on what hangs
                started.kill()
                raise
            for file in (stdout, stderr):
                file.seek(0)
            said = [file.read().decode() for file in (stdout, stderr)]
        ended = Ended([self.program, *arguments], status, *said)
        ended.peak = started.peak
        return ended

    def start(self, *arguments: str, cwd: Path, env: Mapping[str, str], log: Path) -> Started:
        """Start a command in a session of its own. `log` gets what it prints."""
        with log.open("ab") as output:
            return self._begin(arguments, cwd, env, output, output, session=True)

    def script(self, folder: Path) -> None:
        """Write a program of that name, for a shell: it runs a command here."""
        (client := folder / "client.py").write_text(_CLIENT)
        script = folder / self.program
        script.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, "-IS", str(client), self._socket])} "$@"\n')
        script.chmod(0o755)

    def close(self) -> None:
        """End the process from which commands are forked, and with it all that it has forked."""
        os.killpg(self._server.pid, signal.SIGKILL)
        self._server.wait()
        shutil.rmtree(self._folder)

    def _begin(
        self, arguments: tuple[str, ...], cwd: Path, env: Mapping[str, str], stdout: IO[bytes], stderr: IO[bytes], *,
        session: bool,
    ) -> Started:  # fmt: skip
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(self._socket)
        with Path(os.devnull).open() as nothing:
            socket.send_fds(connection, [b"."], [each.fileno() for each in (nothing, stdout, stderr)])
        command = {"arguments": arguments, "cwd": str(cwd), "env": dict(env), "session": session}
        connection.sendall(json.dumps(command).encode() + b"\n")
        return Started(arguments, connection)
