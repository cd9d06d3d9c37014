"""The metrics of a worker, for Prometheus.

Its processes count in files that outlive them, in the folder `COUNTERS`, and the parent adds them up. Without that
folder each counts in memory, which nobody reads. Knows no storage and no queue.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from contract.metrics import serve

if TYPE_CHECKING:
    import socket

    from contract.format.part import Footer
    from contract.settings import Settings
    from worker.reader.model import ModelInfo
    from worker.reader.reader import BatchStats

#: The variable that names the folder of those files. prometheus_client reads it once, when it is imported.
COUNTERS = "PROMETHEUS_MULTIPROC_DIR"
#: Buckets of the seconds that a chunk takes.
_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 180.0, 600.0)
#: The same, of a question that is answered at once.
_AT_ONCE = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)


class Meter:
    """The metrics of one of a worker's processes."""

    def __init__(self, info: ModelInfo, provider: str) -> None:
        own = CollectorRegistry()
        self._rows = Counter("bulkqa_worker_rows", "Rows finished, by outcome", ("outcome",), registry=own)
        self._errors = Counter("bulkqa_worker_row_errors", "Rows that failed, by code", ("code",), registry=own)
        self._windows = Counter("bulkqa_worker_windows", "Windows that the model was run on", registry=own)
        self._tokens = Counter("bulkqa_worker_tokens", "Tokens in those windows", registry=own)
        self._seconds = Counter(
            "bulkqa_worker_stage_seconds", "Seconds of all threads, by stage", ("stage",), registry=own
        )
        self._chunk = Histogram(
            "bulkqa_worker_chunk_seconds", "Chunks, and how long each took", buckets=_SECONDS, registry=own
        )
        self._attempts = Counter(
            "bulkqa_worker_attempts", "Attempts at chunks, by how they ended", ("end",), registry=own
        )
        self._question = Histogram(
            "bulkqa_worker_question_seconds", "Questions answered at once, and how long each took",
            buckets=_AT_ONCE, registry=own,
        )  # fmt: skip
        self._deaths = Counter("bulkqa_worker_deaths", "Attempts whose process died", registry=own)
        labels = ("model", "digest", "precision", "provider")
        about = Gauge(
            "bulkqa_worker_model_info", "Processes that hold a model", labels, multiprocess_mode="livesum", registry=own
        )
        about.labels(info.name, info.pinned, info.precision, provider).set(1)
        for stage in ("read", "encode", "score", "decode", "write"):
            self._seconds.labels(stage)
        for outcome in ("answered", "no_answer", "failed", "cancelled"):
            self._rows.labels(outcome)

    def count_batch(self, stats: BatchStats) -> None:
        """A scoring thread has answered some rows."""
        self._windows.inc(stats.windows)
        self._tokens.inc(stats.tokens)
        for stage, seconds in (("encode", stats.encode), ("score", stats.score), ("decode", stats.decode)):
            self._seconds.labels(stage).inc(seconds)

    def count_storage(self, stage: str, seconds: float) -> None:
        """A thread waited for the storage; `stage` is read or write."""
        self._seconds.labels(stage).inc(seconds)

    def count_question(self, seconds: float) -> None:
        """A question was answered at once."""
        self._question.observe(seconds)

    def count_death(self) -> None:
        """The previous attempt at a chunk died with its process."""
        self._deaths.inc()

    def count_part(self, footer: Footer) -> None:
        """All rows of a chunk are finished."""
        for outcome in ("answered", "no_answer", "failed", "cancelled"):
            self._rows.labels(outcome).inc(getattr(footer, outcome))
        for code, count in footer.codes.items():
            self._errors.labels(code).inc(count)
        self._chunk.observe(footer.finished_at - footer.started_at)

    def count_attempt(self, end: str) -> None:
        """An attempt ended: done, late (another was first) or given_back."""
        self._attempts.labels(end).inc()


class _AllProcesses(MultiProcessCollector):
    """Adds up what all processes counted. Gauges of processes that died are dropped."""

    def collect(self) -> object:
        for file in Path(os.environ[COUNTERS]).glob("gauge_live*_*.db"):
            pid = int(file.stem.rpartition("_")[2])
            if not _lives(pid):
                mark_process_dead(pid)  # type: ignore[no-untyped-call,unused-ignore]
        return super().collect()  # type: ignore[no-untyped-call,unused-ignore]


def serve_all(settings: Settings) -> socket.socket | None:
    """Serve the metrics of all processes from the parent, once it has forked them; None without a port."""
    if not settings.metrics_port:
        return None
    registry = CollectorRegistry()
    _AllProcesses(registry)  # type: ignore[no-untyped-call,unused-ignore]
    return serve(registry, settings.metrics_host, settings.metrics_port)


def _lives(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False
