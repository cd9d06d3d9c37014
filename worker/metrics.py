"""What a worker tells Prometheus of its work. Its processes count in files that outlive them, the parent adds them up.

Without a port all of this is silent, and costs nothing. Knows no storage and no queue.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

    from prometheus_client import CollectorRegistry

    from contract.format.part import Footer
    from contract.settings import Settings
    from worker.reader.model import ModelInfo
    from worker.reader.reader import Spent

#: By this the library knows that several processes count; it has to be there before the library is imported.
_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
_OURS = "bulkqa-metrics-"
#: Bounds of what a chunk takes, in seconds.
_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 180.0, 600.0)


class Meter:
    """Counts nothing: what a worker without a port has."""

    def spent(self, spent: Spent) -> None:
        """Rows were answered, by one of the scoring threads."""

    def stored(self, stage: str, seconds: float) -> None:
        """Storage was waited for: `stage` is read or write."""

    def attempt(self, *, after_death: bool) -> None:
        """A chunk is attempted; whether the attempt before ended with its process."""

    def part(self, footer: Footer) -> None:
        """All rows of a chunk have their outcome."""

    def ended(self, end: str) -> None:
        """How an attempt ended: done, late (another had been) or given_back."""


class Counted(Meter):
    """Counts, in one of a worker's processes."""

    def __init__(self, info: ModelInfo, provider: str) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        own = CollectorRegistry()
        self._rows = Counter(
            "bulkqa_worker_rows", "Rows that have their outcome, by outcome", ("outcome",), registry=own
        )
        self._errors = Counter("bulkqa_worker_row_errors", "Rows that failed, by code", ("code",), registry=own)
        self._windows = Counter("bulkqa_worker_windows", "Windows that the model was run on", registry=own)
        self._tokens = Counter("bulkqa_worker_tokens", "Tokens in those windows", registry=own)
        self._seconds = Counter(
            "bulkqa_worker_stage_seconds", "Seconds of all threads, by stage", ("stage",), registry=own
        )
        self._chunk = Histogram(
            "bulkqa_worker_chunk_seconds", "Chunks, and how long one took", buckets=_SECONDS, registry=own
        )
        self._attempts = Counter(
            "bulkqa_worker_attempts", "Attempts at chunks, by how they ended", ("end",), registry=own
        )
        self._deaths = Counter("bulkqa_worker_deaths", "Attempts found to have ended with their process", registry=own)
        labels = ("model", "digest", "precision", "provider")
        about = Gauge(
            "bulkqa_worker_model_info", "Processes that hold a model", labels, multiprocess_mode="livesum", registry=own
        )
        about.labels(info.name, info.pinned, info.precision, provider).set(1)
        for stage in ("read", "encode", "score", "decode", "write"):
            self._seconds.labels(stage)
        for outcome in ("answered", "no_answer", "failed", "cancelled"):
            self._rows.labels(outcome)

    def spent(self, spent: Spent) -> None:
        self._windows.inc(spent.windows)
        self._tokens.inc(spent.tokens)
        for stage, seconds in (("encode", spent.encode), ("score", spent.score), ("decode", spent.decode)):
            self._seconds.labels(stage).inc(seconds)

    def stored(self, stage: str, seconds: float) -> None:
        self._seconds.labels(stage).inc(seconds)

    def attempt(self, *, after_death: bool) -> None:
        if after_death:
            self._deaths.inc()

    def part(self, footer: Footer) -> None:
        for outcome in ("answered", "no_answer", "failed", "cancelled"):
            self._rows.labels(outcome).inc(getattr(footer, outcome))
        for code, count in footer.codes.items():
            self._errors.labels(code).inc(count)
        self._chunk.observe(footer.finished_at - footer.started_at)

    def ended(self, end: str) -> None:
        self._attempts.labels(end).inc()


@contextmanager
def counting(settings: Settings) -> Iterator[None]:
    """In the parent, around its children: a folder for what they count. A worker that restarts goes on counting."""
    if not settings.metrics_port:
        yield
        return
    folder = os.environ.setdefault(_FOLDER, os.environ.get(_FOLDER) or tempfile.mkdtemp(prefix=_OURS))
    import contract.metrics  # noqa: F401 - now, and not once work has begun: the package may be missing

    yield
    if Path(folder).name.startswith(_OURS):
        shutil.rmtree(folder, ignore_errors=True)


def serve(settings: Settings) -> socket.socket | None:
    """In the parent, once its children are there: what all of them count, dead ones too."""
    if not settings.metrics_port:
        return None
    from contract.metrics import serve as serve_metrics

    return serve_metrics(_of_all(), settings.metrics_host, settings.metrics_port)


def _of_all() -> CollectorRegistry:
    from prometheus_client import CollectorRegistry
    from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

    class OfAll(MultiProcessCollector):
        """Of those that died without a word, what only the living have is forgotten."""

        def collect(self) -> object:
            for file in Path(os.environ[_FOLDER]).glob("gauge_live*_*.db"):
                pid = int(file.stem.rpartition("_")[2])
                if not _lives(pid):
                    mark_process_dead(pid)  # type: ignore[no-untyped-call,unused-ignore]
            return super().collect()  # type: ignore[no-untyped-call,unused-ignore]

    registry = CollectorRegistry()
    OfAll(registry)  # type: ignore[no-untyped-call,unused-ignore]
    return registry


def _lives(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False
