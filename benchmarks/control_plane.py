"""The cost of a chunk without scoring it: many chunks of one row, a worker whose reader does nothing, a real Redis.

Also the time of `status` at 100 and at 5,000 chunks, the memory of Redis, and how soon a small job behind a large one
is done.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis as client

from benchmarks import common
from contract.format import layout
from contract.ledger import records
from contract.ledger.reconcile import reconcile
from contract.namespace import open_queue
from contract.settings import Settings, load
from contract.storage.local import LocalStorage
from producer.jobs.submit import Request, submit
from producer.local import redis_server


@contextmanager
def worker(folder: Path, settings: Settings, pause: float = 0.0) -> Iterator[None]:
    """A worker whose reader answers after `pause` seconds."""
    command = [sys.executable, "-m", "worker", "start", "--threads", "1", "--storage", settings.storage_url]
    command += ["--redis", settings.redis_url, "--health-file", str(folder / "health")]
    env = os.environ | {
        "INSTANT": str(pause),
        "PYTHONPATH": f"{common.REPO / 'benchmarks' / 'instant'}:{common.REPO}",
        "BULKQA_LOG_LEVEL": "WARNING",
    }
    with subprocess.Popen(command, env=env, cwd=folder) as process:
        try:
            yield
        finally:
            process.terminate()


class Bench:
    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.storage = LocalStorage(folder / "storage", create=True)
        self.settings = load(redis_url=url, storage_url=str(folder / "storage"), chunk_rows=1)
        self.queue = open_queue(self.settings, self.storage)

    def submit(self, rows: int, chunk_rows: int = 1) -> str:
        file = common.write_csv(
            self.folder / "rows.csv", [("Where is it?", f"It is in place {n}.") for n in range(rows)]
        )
        settings = self.settings.model_copy(update={"chunk_rows": chunk_rows})
        job = submit(file, self.storage, settings, Request(model=settings.model)).manifest.id
        reconcile(job, self.storage, self.queue, settings)
        return job

    def wait(self, job: str) -> None:
        while not self.storage.exists(layout.report(job)):
            time.sleep(0.002)

    def parts(self, job: str) -> int:
        return len(self.storage.list(layout.parts(job)))

    def status_ms(self, job: str) -> float:
        """The time of one call, with nothing cached from an earlier one."""
        seconds: list[float] = []
        for _ in range(15):
            with common.timed(seconds):
                records.status(self.storage, self.queue, job)
        return 1000 * common.median(seconds)


def many_chunks(bench: Bench, chunks: int) -> tuple[float, float, float, float]:
    """ms a chunk; ms of status at 100 chunks and at `chunks`, all but one of them done; peak MB in Redis."""
    with worker(bench.folder, bench.settings):
        while not bench.queue.workers():
            time.sleep(0.05)
        job = bench.submit(100)
        bench.wait(job)
        small = _unpublished(bench, job)
        job = bench.submit(chunks)
        started = time.perf_counter()
        bench.wait(job)
        seconds = time.perf_counter() - started
        large = _unpublished(bench, job)
    redis = client.Redis.from_url(bench.settings.redis_url.replace("redis+socket", "unix").partition("?")[0])
    return 1000 * seconds / chunks, small, large, redis.info("memory")["used_memory_peak"] / 1e6


def _unpublished(bench: Bench, job: str) -> float:
    """The time of status just before the last part of a job is written."""
    last = layout.part(job, len(bench.storage.list(layout.parts(job))) - 1)
    for key in (layout.report(job), layout.predictions(job), last):
        bench.storage.delete(key)
    return bench.status_ms(job)


def small_behind_large(bench: Bench, pause: float) -> float:
    """Seconds from submitting a job of ten rows behind a large one to its report, in chunks of the large one."""
    with worker(bench.folder, bench.settings, pause):
        while not bench.queue.workers():
            time.sleep(0.05)
        bench.submit(2000, chunk_rows=10)
        time.sleep(25 * pause)
        started = time.perf_counter()
        bench.wait(bench.submit(10, chunk_rows=10))
        return (time.perf_counter() - started) / (10 * pause)


def main() -> None:
    args = common.arguments(__doc__ or "", chunks=5000)
    chunks = 200 if args.quick else args.chunks
    figures = []
    for measure in (lambda bench: many_chunks(bench, chunks), lambda bench: small_behind_large(bench, 0.05)):
        with tempfile.TemporaryDirectory(prefix="bench-") as name, redis_server(Path(name)) as url:
            figures.append(measure(Bench(Path(name), url)))
    (each, small, large, memory), behind = figures
    lines = [
        common.at_most(f"one of {chunks:,} chunks, end to end", each, 6, "ms"),
        common.at_most(f"status at {chunks:,} chunks", large, 12, "ms"),
        common.at_most(
            f"status at {chunks:,} chunks against 100", large / small, 1.1, "times", f"{small:.1f} ms at 100"
        ),
        common.at_most("Redis, peak memory", memory, 5, "MB"),
        common.at_most("a 10-row job behind a large one: time, in chunks of 0.5 s", behind, 3),
    ]
    common.report("Control plane", lines, args, reader="does nothing", storage="local disk")


if __name__ == "__main__":
    main()
