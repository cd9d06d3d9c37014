"""The Celery edge: a parent that takes messages, and children that work on them, each a worker of its own
(`worker.worker`).

Nothing but a recorded outcome leaves the body of a task.
"""

from __future__ import annotations

import ctypes
import faulthandler
import logging
import math
import mmap
import os
import signal
import socket
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, distribution
from types import FrameType
from typing import Any

from billiard import current_process
from celery import signals
from celery.concurrency.prefork import TaskPool
from celery.exceptions import Reject
from kombu.asynchronous import get_event_loop, set_event_loop

from contract import machine
from contract.command import program
from contract.errors import BulkqaError, ModelError
from contract.health import health_files
from contract.logs import set_process_context
from contract.queue import TASK, queue_name
from contract.queue.app import make_app
from contract.settings import Settings
from worker import metrics, transport
from worker.reader import model
from worker.transport import PatientConsumer, UnlimitedRequest
from worker.worker import Worker

log = logging.getLogger("bulkqa.worker")
#: Processes that may end while they load the model, before no further one is begun.
_LOADS = 3
#: Threads that are chosen for a process, at most: a row takes the interpreter, of which a process has one, for a
#: fortieth of its time (benchmarks/many_cores.py).
_MOST_THREADS = 8
#: Beside a GPU: while it is at work one thread makes windows and another answers, and a second process does the same
#: where there are CPUs for it. Four do more still (benchmarks/gpu.py), but each holds the model in the card's memory.
_GPU_PROCESSES = _GPU_THREADS = 2


def serve(settings: Settings, namespace: str) -> None:
    """Run a worker until it is told to stop. Raises ModelError if the model directory cannot be used, and BulkqaError
    if the worker ends without having been told to."""
    info = model.describe(settings.model_dir)
    processes, threads = shared_out(machine.available_cpus(), settings)
    child = _Child(settings.model_copy(update={"processes": processes, "threads": threads}), info)
    app = make_app(settings.redis_url, namespace)

    @app.task(name=TASK, bind=True, Request=UnlimitedRequest)  # type: ignore[untyped-decorator]
    def score(task: Any, job: object = None, chunk: object = None, *_: object, **__: object) -> None:
        child.score(job, chunk, (task.request.properties or {}).get("delivery_tag"))

    transport.install(child.heard)
    signals.setup_logging.connect(_leave_logging_alone, weak=False)
    signals.worker_process_init.connect(child.start, weak=False)
    signals.worker_process_shutdown.connect(child.stop, weak=False)
    signals.worker_shutting_down.connect(child.drain, weak=False)
    signals.worker_ready.connect(_heed_signals_at_once, weak=False)
    signals.worker_ready.connect(child.serve_metrics, weak=False)
    log.info("worker %s: model %s (%s, %s), storage %s, namespace %s", child.name, info.name, info.precision,
             info.pinned, settings.storage_url, namespace)  # fmt: skip
    # Celery warns root because of pickle, which is refused here; containers run as another user anyway.
    warnings.filterwarnings("ignore", message="You're running the worker with superuser privileges")
    worker = app.Worker(
        hostname=f"{child.name}@bulkqa",
        pool=PromptPool,
        concurrency=processes,  # a session each, which its threads share
        queues=[queue_name(info.name), queue_name(info.name, info.pinned)],
        loglevel=settings.log_level,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,  # events every two seconds, to which nobody listens
        consumer_cls=PatientConsumer,
        quiet=True,
    )
    worker.start()
    if refusal := child.refusal():
        raise ModelError(refusal)
    if child.restarts():
        os.execv(sys.executable, [*program("worker"), *sys.argv[1:]])  # noqa: S606 - itself
    if not child.draining():  # nobody told it to stop: who looks after it must see that it failed
        raise BulkqaError(f"worker {child.name} ended without being told to", "Its log says why.")


def shared_out(cpus: int, settings: Settings) -> tuple[int, int]:
    """How many processes a worker has, and how many threads each. What is 0 is chosen: about a thread for each of the
    CPUs in all, but one process where the threads are named; beside a GPU few of both."""
    if settings.provider == "cuda" or (settings.provider == "auto" and _has_gpu_runtime()):
        chosen = min(_GPU_PROCESSES, max(1, cpus // _GPU_THREADS))
        return settings.processes or chosen, settings.threads or _GPU_THREADS
    processes = settings.processes or (1 if settings.threads else math.ceil(cpus / _MOST_THREADS))
    return processes, settings.threads or math.ceil(cpus / processes)


def _has_gpu_runtime() -> bool:
    """Whether onnxruntime can use a GPU; not imported here, since a parent that forks must not load it."""
    try:
        return bool(distribution("onnxruntime-gpu"))
    except PackageNotFoundError:
        return False


class _Shared(ctypes.Structure):
    """What parent and children tell each other, in memory that all see. Each is written in one step."""

    _fields_ = (
        ("draining", ctypes.c_bool),  # the children stop after the rows in flight
        ("restart", ctypes.c_bool),  # the parent starts again once its loop has ended
        ("heard", ctypes.c_double),  # when Redis last said what is on the queue, by time.monotonic
        ("refusal", ctypes.c_char * 4000),  # why the child refuses to work
    )


class _Child:
    """What the parent hands to its child processes, and what each makes of it.

    The session is made in the child: one made before the fork would run single-threaded there. A child is a worker of
    its own, with a name, a lease and a health file; one that takes a dead one's place takes its name.
    """

    def __init__(self, settings: Settings, info: model.ModelInfo) -> None:
        self.settings = settings
        self.info = info
        self.name = f"{socket.gethostname()}-{os.getpid()}-{os.urandom(2).hex()}"
        self._shared = _Shared.from_buffer(mmap.mmap(-1, ctypes.sizeof(_Shared)))
        #: For each place: processes that began to load the model since one was ready.
        self._loads = (ctypes.c_int * settings.processes).from_buffer(mmap.mmap(-1, 4 * settings.processes))
        self._health = health_files(settings.health_file, "worker", settings.processes)
        self._worker: Worker | None = None
        self._metrics: socket.socket | None = None

    def serve_metrics(self, **_: Any) -> None:
        """In the parent, once it has children: a thread is no thing to have while one forks."""
        self._metrics = metrics.serve_all(self.settings)

    def start(self, **_: Any) -> None:
        """In the child: load the model, or tell the parent why not. Celery swallows exceptions raised here."""
        signal.set_wakeup_fd(-1)  # the parent's
        if self._metrics:  # likewise: a child that takes another's place
            self._metrics.close()
        place = current_process().index
        if self.settings.processes > 1:
            self.name += f"-{place}"
        set_process_context(worker=self.name)
        try:
            with self._loading(place):
                self._worker = Worker(
                    self.settings, self.name, self._health[place], self.draining, self._on_restart, self._last_heard
                )
            signal.signal(signal.SIGTERM, self._on_term)
        except Exception as error:  # whatever it is, a child without a model must not take work
            if not isinstance(error, BulkqaError):
                log.exception("worker %s cannot start", self.name)
            self._shared.refusal = str(error).encode()[:3999]
            os.kill(os.getppid(), signal.SIGTERM)

    @contextmanager
    def _loading(self, place: int) -> Iterator[None]:
        """A model, or its tokenizer, may end the process that loads it, or hang: then this process ends, and Celery
        begins another. Raises ModelError when enough have ended so."""
        self._loads[place] += 1
        if self._loads[place] > _LOADS:
            raise ModelError(
                f"{_LOADS} processes ended while they loaded {self.settings.model_dir}",
                "Make the model directory again: worker build. Or give the worker more memory.",
            )
        faulthandler.dump_traceback_later(self.settings.stall, exit=True, file=sys.__stderr__ or sys.stderr)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
        self._loads[place] = 0

    def stop(self, exitcode: int = 0, **_: Any) -> None:
        """In the child, as the last thing it does: the pool would have it sleep for a second before it ends."""
        if self._worker is not None:
            self._worker.close()
        os._exit(exitcode)

    def drain(self, **_: Any) -> None:
        """In the parent, from its signal handler: let the children stop after the rows under way. Just one step."""
        self._shared.draining = True

    def heard(self) -> None:
        """In the parent: Redis said what is on the queue, be it no message."""
        self._shared.heard = time.monotonic()

    def _last_heard(self) -> float:
        """In the child: when that was, by the clock that both share."""
        return float(self._shared.heard)

    def refusal(self) -> str | None:
        return bytes(self._shared.refusal).decode(errors="replace") or None

    def restarts(self) -> bool:
        return bool(self._shared.restart)

    def _on_restart(self) -> None:
        """In the child: have the parent restart. Its own signal handler ends its loop."""
        self._shared.restart = True
        os.kill(os.getppid(), signal.SIGTERM)

    def score(self, job: object, chunk: object, tag: str | None) -> None:
        """The body of the task. Raises only Reject, which puts the message back on the queue."""
        if self._worker is None:
            time.sleep(1.0)  # the parent is about to stop
            raise Reject("no model", requeue=True)
        if not self._worker.work(job, chunk, tag):
            raise Reject("given back", requeue=True)

    def draining(self) -> bool:
        return bool(self._shared.draining)

    def _on_term(self, _signal: int, _frame: FrameType | None) -> None:
        """A SIGTERM to the whole process group reaches the child too: it stops as soon as it may, at once if idle."""
        self._shared.draining = True
        if self._worker is None or not self._worker.busy:
            sys.exit(0)


class PromptPool(TaskPool):  # type: ignore[misc]
    """Celery's prefork pool, the only one whose children may die without the worker. It ends when they have.

    While they end Celery fires timers from a thread that looks twice a second, and waits for it. None of ours
    matters then, and what is left to acknowledge the loop does when it is closed.
    """

    def on_stop(self) -> None:
        """Wait for the children, with no loop at hand."""
        loop = get_event_loop()
        set_event_loop(None)
        try:
            super().on_stop()
        finally:
            set_event_loop(loop)

    def did_start_ok(self) -> bool:
        """Celery looks once, just after the start, and gives up if a child has died by then. Here a child that dies
        while it loads the model is replaced like any other, up to a limit."""
        return True


def _heed_signals_at_once(**_: Any) -> None:
    """Ctrl-C is the same graceful shutdown as SIGTERM: Celery's own handler invites to a second, which loses time. And
    a signal wakes Celery's loop, which else looks but once a second whether there was one."""
    signal.signal(signal.SIGINT, signal.getsignal(signal.SIGTERM))
    if loop := get_event_loop():
        ear, mouth = os.pipe()
        os.set_blocking(mouth, False)
        signal.set_wakeup_fd(mouth, warn_on_full_buffer=False)
        loop.add_reader(ear, lambda: os.read(ear, 4096))  # type: ignore[no-untyped-call]


def _leave_logging_alone(**_: Any) -> None:
    """Connected to Celery's setup_logging, which then sets up none: `worker.cli` did."""
