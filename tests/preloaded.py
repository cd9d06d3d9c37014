"""Commands without the second or two that each takes to import its modules: every command is a process of its own,
forked from one that has imported them. How a command starts is tested where it is started anew."""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

#: What each program imports while it starts.
PRODUCER = ("producer.backend.direct", "producer.backend.http", "producer.cli.view")
WORKER = ("worker.cli", "worker.tasks")

#: Waits for commands, one a line, and forks for each a process that starts it, says its number, waits for it, and says
#: how it ended. The command leaves the loop.
_SERVER = """
import gc, json, os, signal, sys
from importlib import import_module

from contract.command import block_pandas
from contract.machine import end_with_parent

def await_command():
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how those ended that wait
    for line in sys.stdin:
        if os.fork() == 0:
            return json.loads(line)
    sys.exit()

def leave_waiting(command):
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    end_with_parent()
    with open(command["status"], "w") as status:
        if (child := os.fork()) == 0:
            return
        print(child, file=status, flush=True)
        _, ended, used = os.wait4(child, 0)
        print(os.waitstatus_to_exitcode(ended), used.ru_maxrss << 10, file=status, flush=True)
    os._exit(0)

program, *modules = sys.argv[1:]
block_pandas()
for module in modules:
    import_module(module)
main = import_module(program + ".__main__").main
gc.freeze()  # what is shared with the children stays so: else each copies it as it looks for garbage
command = await_command()
leave_waiting(command)
end_with_parent()
if command["session"]:
    os.setsid()
os.chdir(command["cwd"])
os.environ.clear()
os.environ.update(command["env"])
files = (os.devnull, os.O_RDONLY), (command["stdout"], os.O_WRONLY), (command["stderr"], os.O_WRONLY)
for number, (file, flags) in enumerate(files):
    opened = os.open(file, flags | os.O_APPEND * (number > 0))
    os.dup2(opened, number)
    os.close(opened)
sys.argv = [program, *command["arguments"]]
main()
"""


class Ended(subprocess.CompletedProcess[str]):
    """A command that has ended. `peak` is the most memory that it held, in bytes."""

    peak: int


class Started:
    """A command that runs, with what tests use of `subprocess.Popen`."""

    def __init__(self, arguments: tuple[str, ...], status: Path) -> None:
        self.args = arguments
        self.returncode: int | None = None
        self.peak = 0
        self._status = os.open(status, os.O_RDWR)  # so that there is no end of it before there is a writer
        self._unread = b""

    def __enter__(self) -> Started:
        return self

    def __exit__(self, *_: object) -> None:
        self.wait()

    def begin(self) -> None:
        """Wait for the number of the process."""
        self.pid = int(self._line(None) or b"")

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
            os.close(self._status)
        return self.returncode

    def _line(self, timeout: float | None) -> bytes | None:
        """The next line of what is said of it."""
        while b"\n" not in self._unread:
            if not select.select([self._status], [], [], timeout)[0]:
                return None
            self._unread += os.read(self._status, 4096)
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
        self._env = env
        self._limits = (address_space, address_space)
        self._command = [sys.executable, "-c", _SERVER, program, *modules]
        self._server: subprocess.Popen[str] | None = None

    def run(self, *arguments: str, cwd: Path, env: Mapping[str, str]) -> Ended:
        """Run a command to its end."""
        with tempfile.NamedTemporaryFile() as stdout, tempfile.NamedTemporaryFile() as stderr:
            names = stdout.name, stderr.name
            started = self._begin(arguments, cwd, env, *names, session=False)
            try:
                status = started.wait()
            except BaseException:  # the test gave up on what hangs
                started.kill()
                raise
            said = [Path(name).read_text() for name in names]
        ended = Ended(["producer", *arguments], status, *said)
        ended.peak = started.peak
        return ended

    def start(self, *arguments: str, cwd: Path, env: Mapping[str, str], log: Path) -> Started:
        """Start a command in a session of its own. `log` gets what it prints."""
        log.touch()
        return self._begin(arguments, cwd, env, str(log), str(log), session=True)

    def close(self) -> None:
        """End the process from which commands are forked, and with it all that it has forked."""
        if self._server:
            os.killpg(self._server.pid, signal.SIGKILL)
            self._server.communicate()

    def _begin(
        self, arguments: tuple[str, ...], cwd: Path, env: Mapping[str, str], stdout: str, stderr: str, *, session: bool
    ) -> Started:
        with tempfile.TemporaryDirectory() as folder:
            os.mkfifo(status := Path(folder) / "status")
            started = Started(arguments, status)
            files = {"stdout": stdout, "stderr": stderr, "status": str(status)}
            self._ask({"arguments": arguments, "cwd": str(cwd), "env": dict(env), "session": session} | files)
            started.begin()
        return started

    def _ask(self, command: Mapping[str, object]) -> None:
        if self._server is None:
            self._server = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, env=self._env, text=True, start_new_session=True,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, self._limits),
            )  # fmt: skip
        assert self._server.stdin
        self._server.stdin.write(f"{json.dumps(command)}\n")
        self._server.stdin.flush()
