"""The Celery edge: a parent that takes messages, and children that handle them, each a worker of its own
(`worker.worker`).

A task returns nothing and raises nothing but Reject: every outcome is in storage.
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

import billiard.pool
import celery.apps.worker
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
from worker.heartbeat import Names, Parent
from worker.reader import model
from worker.transport import PatientConsumer, UnlimitedRequest
from worker.worker import Worker

log = logging.getLogger("bulkqa.worker")
#: Processes that may die in a row while they load the model, before the worker gives up.
_MAX_LOADS = 3
#: The default number of threads of a process, at most: a row needs the process's one interpreter for a fortieth of its
#: time (benchmarks/many_cores.py).
_MAX_THREADS = 8
#: On a GPU: while the card works, one thread makes windows and another decodes, and a second process does the same if
#: there are CPUs for it. Four do still more (benchmarks/gpu.py), but each holds the model in the card's memory.
_GPU_PROCESSES = _GPU_THREADS = 2


def serve(settings: Settings, namespace: str) -> None:
    """Run a worker until it is stopped. Raises ModelError if the model directory cannot be used, and BulkqaError if the
    worker ends by itself."""
    info = model.describe(settings.model_dir)
    processes, threads = processes_and_threads(machine.available_cpus(), settings)
    child = _Child(settings.model_copy(update={"processes": processes, "threads": threads}), info)
    app = make_app(settings.redis_url, namespace)

    @app.task(name=TASK, bind=True, Request=UnlimitedRequest)  # type: ignore[untyped-decorator]
    def score(task: Any, job: object = None, chunk: object = None, *_: object, **__: object) -> None:
        child.score(job, chunk, (task.request.properties or {}).get("delivery_tag"))

    transport.install(child.note_reply)
    signals.setup_logging.connect(_leave_logging_alone, weak=False)
    signals.worker_process_init.connect(child.start, weak=False)
    signals.worker_process_shutdown.connect(child.stop, weak=False)
    signals.worker_shutting_down.connect(child.drain, weak=False)
    signals.worker_ready.connect(_handle_signals_at_once, weak=False)
    signals.worker_ready.connect(child.serve_metrics, weak=False)
    log.info("worker %s: model %s (%s, %s), storage %s, namespace %s", child.name, info.name, info.precision,
             info.pinned, settings.storage_url, namespace)  # fmt: skip
    # Celery warns root because of pickle, which is refused here.
    warnings.filterwarnings("ignore", message="You're running the worker with superuser privileges")
    celery.apps.worker.safe_say = lambda text, *_: log.info(text.strip())  # what it would print on stdout
    worker = app.Worker(
        hostname=f"{child.name}@bulkqa",
        pool=PromptPool,
        concurrency=processes,  # each has a session, which its threads share
        queues=[queue_name(info.name), queue_name(info.name, info.pinned)],
        loglevel=settings.log_level,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,  # events every two seconds that nobody reads
        consumer_cls=PatientConsumer,
        quiet=True,
    )
    worker.start()
    if refusal := child.refusal():
        raise ModelError(refusal)
    if child.restarts():
        os.execv(sys.executable, [*program("worker"), *sys.argv[1:]])  # noqa: S606 - itself
    if not child.draining():  # a failure, for whatever supervises the worker
        raise BulkqaError(f"worker {child.name} ended by itself", "Its log says why.")


def processes_and_threads(cpus: int, settings: Settings) -> tuple[int, int]:
    """How many processes a worker has, and how many threads each. A setting of 0 is chosen here: about one thread for
    each CPU in all, one process if the threads are set, and few of both on a GPU."""
    if settings.provider == "cuda" or (settings.provider == "auto" and _has_gpu_runtime()):
        chosen = min(_GPU_PROCESSES, max(1, cpus // _GPU_THREADS))
        return settings.processes or chosen, settings.threads or _GPU_THREADS
    processes = settings.processes or (1 if settings.threads else math.ceil(cpus / _MAX_THREADS))
    return processes, settings.threads or math.ceil(cpus / processes)


def _has_gpu_runtime() -> bool:
    """Whether onnxruntime has GPU support. Not imported to find out: the parent forks, and must not load it."""
    try:
        return bool(distribution("onnxruntime-gpu"))
    except PackageNotFoundError:
        return False


class _Shared(ctypes.Structure):
    """State that parent and children share in memory. Each field is written in one step."""

    _fields_ = (
        ("draining", ctypes.c_bool),  # the children stop after the rows in flight
        ("restart", ctypes.c_bool),  # the parent restarts once its loop has ended
        ("last_reply", ctypes.c_double),  # when Redis last replied about the queue, by time.monotonic
        ("refusal", ctypes.c_char * 4000),  # why a child cannot work
    )


class _Child:
    """A child process, made in the parent before the fork; and the state that both share.

    The session is made in the child: one made before the fork would run single-threaded there. A child is a worker of
    its own, with a name, a lease and a health file. One that replaces a dead child takes its name.
    """

    def __init__(self, settings: Settings, info: model.ModelInfo) -> None:
        self.settings = settings
        self.info = info
        self.name = f"{socket.gethostname()}-{os.getpid()}-{os.urandom(2).hex()}"
        self._shared = _Shared.from_buffer(mmap.mmap(-1, ctypes.sizeof(_Shared)))
        #: For each place: processes that started to load the model since one was ready.
        self._loads = (ctypes.c_int * settings.processes).from_buffer(mmap.mmap(-1, 4 * settings.processes))
        #: For each place: what its process answers, for the process that replaces it.
        self._answering = [Names.from_buffer(mmap.mmap(-1, ctypes.sizeof(Names))) for _ in range(settings.processes)]
        self._health = health_files(settings.health_file, "worker", settings.processes)
        self._worker: Worker | None = None
        self._metrics: socket.socket | None = None

    def serve_metrics(self, **_: Any) -> None:
        """In the parent, once it has forked: threads and forks do not mix."""
        self._metrics = metrics.serve_all(self.settings)

    def start(self, **_: Any) -> None:
        """In the child: load the model, or stop the parent with the reason. Celery swallows exceptions raised here."""
        signal.set_wakeup_fd(-1)  # the parent's
        if self._metrics:  # the parent's too, in a child that replaces another
            self._metrics.close()
        place = current_process().index
        if self.settings.processes > 1:
            self.name += f"-{place}"
        set_process_context(worker=self.name)
        try:
            parent = Parent(self.draining, self._restart_parent, self._last_reply, self._answering[place])
            with self._loading(place):
                self._worker = Worker(self.settings, self.name, self._health[place], parent)
            signal.signal(signal.SIGTERM, self._on_term)
        except Exception as error:  # whatever it is: a child without a model must not take work
            if not isinstance(error, BulkqaError):
                log.exception("worker %s cannot start", self.name)
            self._shared.refusal = str(error).encode()[:3999]
            os.kill(os.getppid(), signal.SIGTERM)

    @contextmanager
    def _loading(self, place: int) -> Iterator[None]:
        """A model or its tokenizer may kill the process that loads it, or hang, which ends the process too; Celery then
        starts another. Raises ModelError when enough of them have ended."""
        self._loads[place] += 1
        if self._loads[place] > _MAX_LOADS:
            raise ModelError(
                f"{_MAX_LOADS} processes died while they loaded {self.settings.model_dir}",
                f"{model.REBUILD}. Or give the worker more memory.",
            )
        faulthandler.dump_traceback_later(self.settings.stall, exit=True, file=sys.__stderr__ or sys.stderr)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
        self._loads[place] = 0

    def stop(self, exitcode: int = 0, **_: Any) -> None:
        """In the child, as its last step: in Celery's pool it would sleep for a second first."""
        if self._worker is not None:
            self._worker.close()
        os._exit(exitcode)

    def drain(self, **_: Any) -> None:
        """In the parent's signal handler, in one step: have the children stop after the rows in flight."""
        self._shared.draining = True

    def note_reply(self) -> None:
        """In the parent: Redis replied about the queue, with or without a message."""
        self._shared.last_reply = time.monotonic()

    def _last_reply(self) -> float:
        """In the child: when that was, by the clock that both share."""
        return float(self._shared.last_reply)

    def refusal(self) -> str | None:
        """In the parent: why a child could not work."""
        return bytes(self._shared.refusal).decode(errors="replace") or None

    def restarts(self) -> bool:
        """In the parent: whether to start again."""
        return bool(self._shared.restart)

    def _restart_parent(self) -> None:
        """In the child: have the parent restart. The parent's signal handler ends its loop."""
        self._shared.restart = True
        os.kill(os.getppid(), signal.SIGTERM)

    def score(self, job: object, chunk: object, tag: str | None) -> None:
        """The body of the task. Raises only Reject, which puts the message back on the queue."""
        if self._worker is None:
            time.sleep(1.0)  # the parent is about to stop
            raise Reject("no model", requeue=True)
        if not self._worker.work(job, chunk, tag):
            raise Reject("handed back", requeue=True)

    def draining(self) -> bool:
        """Whether the worker was asked to stop."""
        return bool(self._shared.draining)

    def _on_term(self, _signal: int, _frame: FrameType | None) -> None:
        """A SIGTERM to the whole process group reaches the child too: it drains, and an idle child ends at once."""
        self._shared.draining = True
        if self._worker is None or not self._worker.busy:
            sys.exit(0)


class PromptPool(TaskPool):  # type: ignore[misc]
    """Celery's prefork pool, the only one whose children may die without the worker. It ends as soon as they have.

    While they end, Celery would fire timers from a thread that checks twice a second, and wait for that thread. No
    timer matters then, and the loop sends the remaining acknowledgements when it is closed.
    """

    def on_start(self) -> None:
        """Have a child that ends wait for a second at most until the parent has read its last result, not for thirty.
        A parent that stops does not read it if it never heard that the message was begun: it goes back on the queue."""
        billiard.pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = 10  # looks, one in a tenth of a second
        super().on_start()

    def on_stop(self) -> None:
        """Wait for the children without a loop."""
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


def _handle_signals_at_once(**_: Any) -> None:
    """Make Ctrl-C the same graceful shutdown as SIGTERM: Celery's own handler asks for a second one. And let a signal
    wake Celery's loop, which would notice it within a second only."""
    signal.signal(signal.SIGINT, signal.getsignal(signal.SIGTERM))
    if loop := get_event_loop():
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        loop.add_reader(reading, lambda: os.read(reading, 4096))  # type: ignore[no-untyped-call]


def _leave_logging_alone(**_: Any) -> None:
    """Connected to Celery's setup_logging, so that Celery sets up no logging: `worker.cli` has."""
