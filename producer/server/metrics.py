"""`/metrics` for Prometheus: jobs, workers and queues from storage and Redis, and this server's requests.

Read at each scrape. Several servers report the same jobs: scrape one of them, or take `max`. An ended job is read once.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from contract.errors import BulkqaError, RedisUnreachable, StorageUnreachable
from contract.ledger import records
from contract.ledger.progress import STATES, Progress
from contract.ledger.sweeper import open_jobs
from contract.queue import Queue, WorkerInfo
from contract.storage import Storage

#: Bounds of a request's duration, in seconds.
_SECONDS = (0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0)


class Metrics:
    """All metrics of a server."""

    def __init__(self, storage: Storage, queue: Queue, model: str) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(Fleet(storage, queue, model))
        self.requests = Histogram(
            "bulkqa_http_request_seconds",
            "Requests: seconds until the answer began",
            ("method", "status"),
            buckets=_SECONDS,
            registry=self._registry,
        )

    def text(self) -> bytes:
        """All metrics in the text format of Prometheus."""
        return generate_latest(self._registry)


class Fleet(Collector):
    """Jobs and workers, from storage and Redis."""

    def __init__(self, storage: Storage, queue: Queue, model: str) -> None:
        """`model`: the default one, reported even if it has no jobs: an autoscaler needs the 0 to start from."""
        self._model = model
        self._storage = storage
        self._queue = queue
        self._ended: set[str] = set()
        self._states: dict[str, str] = {}  #: of jobs that have ended

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering the collector reads nothing."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """All metrics. If storage or Redis does not answer, its metrics are missing and its `_up` is 0."""
        workers = self._workers()
        yield _gauge("bulkqa_redis_up", "Whether Redis answers", float(workers is not None))
        queue = None if workers is None else self._queue
        try:
            jobs: list[Progress] | None = [*self._open(queue)]
        except StorageUnreachable:
            jobs = None
        yield _gauge("bulkqa_storage_up", "Whether the storage answers", float(jobs is not None))
        if jobs is not None:
            yield from _of_jobs(jobs, Counter(self._states.values()), {self._model, *(w.model for w in workers or ())})
        if workers is not None:
            yield from _of_workers(workers)
            yield self._waiting(workers, jobs or [])

    def _workers(self) -> list[WorkerInfo] | None:
        try:
            return self._queue.workers()
        except RedisUnreachable:
            return None

    def _open(self, queue: Queue | None) -> Iterator[Progress]:
        """The status of each unfinished job. Records the states of the others."""
        for job in open_jobs(self._storage, self._ended):
            try:
                progress = records.status(self._storage, queue, job)
            except StorageUnreachable:
                raise
            except BulkqaError:
                continue  # damaged, removed meanwhile, or not a job
            if not progress.finished:
                yield progress
        for job in [job for job in self._states if job not in self._ended]:
            del self._states[job]
        for job in self._ended - self._states.keys():
            try:
                report = records.report(self._storage, job)
            except StorageUnreachable:
                raise
            except BulkqaError:
                continue
            if report:
                self._states[job] = report.status

    def _waiting(self, workers: list[WorkerInfo], jobs: list[Progress]) -> Metric:
        family = GaugeMetricFamily("bulkqa_messages_waiting", "Messages on the queues of a model", labels=("model",))
        queues = {(worker.model, worker.digest) for worker in workers} | {
            (job.model.name, job.model.digest) for job in jobs
        }
        for model in sorted({model for model, _ in queues}):
            digests = {""} | {digest for name, digest in queues if name == model}
            try:
                family.add_metric((model,), sum(self._queue.waiting(model, digest) for digest in digests))
            except RedisUnreachable:
                continue
        return family


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(name, about, value=value)


def _of_jobs(jobs: list[Progress], ended: Counter[str], served: set[str]) -> Iterator[Metric]:
    """Sums over the unfinished jobs by model, 0 for a `served` model without any; and all jobs by state."""
    states = ended + Counter(job.status for job in jobs)
    by_state = GaugeMetricFamily("bulkqa_jobs", "Jobs by state", labels=("state",))
    for state in STATES:
        by_state.add_metric((state,), states[state])
    yield by_state
    reasons = GaugeMetricFamily("bulkqa_jobs_waiting", "Jobs that wait, by reason", labels=("reason",))
    for code, count in sorted(Counter(job.reason.code for job in jobs if job.reason).items()):
        reasons.add_metric((code,), count)
    yield reasons
    oldest = max((time.time() - job.created_at for job in jobs), default=0.0)
    yield _gauge("bulkqa_oldest_job_seconds", "Age of the oldest job that has not ended", max(0.0, oldest))
    sums: tuple[tuple[str, str, Callable[[Progress], int]], ...] = (
        ("bulkqa_rows_pending", "Rows without an outcome, of unfinished jobs", lambda job: job.request_counts.pending),
        ("bulkqa_rows_failed", "Rows that failed, of unfinished jobs", lambda job: job.request_counts.failed),
        (
            "bulkqa_chunks_unfinished",
            "Chunks without a part; of paused jobs those under way",
            _to_be_done,
        ),
        ("bulkqa_chunks_running", "Chunks that a worker holds", lambda job: job.chunks.running),
        ("bulkqa_chunks_retrying", "Unfinished chunks attempted more than once", lambda job: job.chunks.retrying),
    )
    for name, about, of in sums:
        by_model: Counter[str] = Counter(dict.fromkeys(served, 0))
        for job in jobs:
            by_model[job.model.name] += of(job)
        family = GaugeMetricFamily(name, about, labels=("model",))
        for model, count in sorted(by_model.items()):
            family.add_metric((model,), count)
        yield family


def _to_be_done(job: Progress) -> int:
    """The chunks that workers are needed for; of a paused job those that they hold."""
    return job.chunks.running if job.status == "paused" else job.chunks.total - job.chunks.done


def _of_workers(workers: list[WorkerInfo]) -> Iterator[Metric]:
    """The number of workers, and what each reports."""
    labels = ("model", "digest", "precision", "version")
    count = GaugeMetricFamily("bulkqa_workers", "Workers, by the model that they serve", labels=labels)
    for each, number in sorted(Counter((w.model, w.digest, w.precision, w.version) for w in workers).items()):
        count.add_metric(each, number)
    yield count
    gauges: tuple[tuple[str, str, Callable[[WorkerInfo], float]], ...] = (
        (
            "bulkqa_worker_rows_per_second",
            "Rows a second over the last minute",
            lambda worker: worker.rows_per_second or 0.0,
        ),
        ("bulkqa_worker_memory_bytes", "Resident memory of the process that scores", lambda worker: worker.rss),
        (
            "bulkqa_worker_held_seconds",
            "Seconds for which it has held its chunk",
            lambda worker: worker.held_seconds or 0.0,
        ),
        ("bulkqa_worker_draining", "Whether it is shutting down", lambda worker: float(worker.draining)),
        ("bulkqa_worker_in_trouble", "Whether it cannot use the storage", lambda worker: float(bool(worker.trouble))),
    )
    for name, about, of in gauges:
        family = GaugeMetricFamily(name, about, labels=("worker", "model"))
        for worker in workers:
            family.add_metric((worker.name, worker.model), of(worker))
        yield family
