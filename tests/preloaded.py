"""`producer` commands without the second that each takes to import its modules: every command is a process of its own,
forked from one that has imported them. How a command starts is tested where it is started anew."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

#: Waits for commands, one a line, and forks for each. The child leaves the loop, and from then on it is the command.
_SERVER = """
import gc, json, os, sys
import producer.backend.direct, producer.backend.http, producer.cli.view
from producer.__main__ import main

def await_command():
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            return json.loads(line)
        _, status, used = os.wait4(child, 0)
        print(os.waitstatus_to_exitcode(status), used.ru_maxrss << 10, flush=True)
    sys.exit()

gc.freeze()  # what is shared with the children stays so: else each copies it as it looks for garbage
command = await_command()
os.chdir(command["cwd"])
os.environ.clear()
os.environ.update(command["env"])
files = (os.devnull, os.O_RDONLY), (command["stdout"], os.O_WRONLY), (command["stderr"], os.O_WRONLY)
for number, (file, flags) in enumerate(files):
    os.dup2(os.open(file, flags), number)
sys.argv = ["producer", *command["arguments"]]
main()
"""


class Ended(subprocess.CompletedProcess[str]):
    """A command that has ended. `peak` is the most memory that it held, in bytes."""

    peak: int


class Commands:
    """Runs commands, one after the other. To be closed."""

    def __init__(self, env: Mapping[str, str], address_space: int = resource.RLIM_INFINITY) -> None:
        """`env`: what the modules find when they are imported. Each command has an environment of its own.
        `address_space`: the bytes that a command may have."""
        self._env = env
        self._limits = (address_space, address_space)
        self._server = self._started()

    def run(self, *arguments: str, cwd: Path, env: Mapping[str, str]) -> Ended:
        """Run a command to its end."""
        with tempfile.NamedTemporaryFile() as stdout, tempfile.NamedTemporaryFile() as stderr:
            files = {"stdout": stdout.name, "stderr": stderr.name}
            command = {"arguments": arguments, "cwd": str(cwd), "env": dict(env)} | files
            try:
                status, peak = self._answer_to(command)
            except BaseException:  # the test gave up: what hangs must not answer the next
                self.close()
                self._server = self._started()
                raise
            said = [Path(name).read_text() for name in files.values()]
        ended = Ended(["producer", *arguments], status, *said)
        ended.peak = peak
        return ended

    def close(self) -> None:
        """End the process from which commands are forked, and a command that hangs."""
        os.killpg(self._server.pid, signal.SIGKILL)
        self._server.communicate()

    def _started(self) -> subprocess.Popen[str]:
        command, pipe = [sys.executable, "-c", _SERVER], subprocess.PIPE
        return subprocess.Popen(
            command, stdin=pipe, stdout=pipe, env=self._env, text=True, start_new_session=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, self._limits),
        )  # fmt: skip

    def _answer_to(self, command: Mapping[str, object]) -> tuple[int, int]:
        assert self._server.stdin
        assert self._server.stdout
        self._server.stdin.write(f"{json.dumps(command)}\n")
        self._server.stdin.flush()
        status, peak = self._server.stdout.readline().split()
        return int(status), int(peak)
