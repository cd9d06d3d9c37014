"""How good forecasts are: mixed jobs on one worker, one after the other and beside others; and the time left while a
job runs, by its work and by its rows.

Each job is a file of made-up rows: few or many, short contexts or long, in random order or with the long ones last. All
are submitted by the product's own `submit`, with the forecast that it writes into the manifest, and judged by what the
report says they took. The worker and Redis are processes of their own.
"""

from __future__ import annotations

import io
import json
import math
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks import common
from contract import settings as environment
from contract.forecast.work import Forecast
from contract.ledger.progress import Progress
from producer.backend import open_direct
from producer.backend.direct import DirectBackend
from producer.local import redis_server
from producer.request import Request

#: Jobs that are submitted at once, where they are beside others.
_TOGETHER = 5


@contextmanager
def cluster(threads: int) -> Iterator[DirectBackend]:
    """Redis, a storage and a worker."""
    with ExitStack() as resources:
        folder = Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="bqa-", dir="/tmp")))
        url = resources.enter_context(redis_server(folder))
        settings = environment.load(redis_url=url, storage_url=str(folder / "storage"))
        backend = open_direct(settings, create=True)
        command = [sys.executable, "-m", "worker", "start", "--redis", url, "--storage", settings.storage_url]
        command += ["--threads", str(threads), "--health-file", str(folder / "health")]
        worker = resources.enter_context(subprocess.Popen(command, cwd=common.REPO, stderr=subprocess.DEVNULL))
        resources.callback(worker.terminate)
        while not backend.workers():
            time.sleep(0.05)
        yield backend


def made_up(pick: random.Random, work: float, order: str = "mixed") -> bytes:
    """A file of about so many seconds of work."""
    typical, rows = pick.choice([20, 60, 150, 400]), []
    while work > 0:
        words = max(3, int(pick.lognormvariate(math.log(typical), 0.8)))
        rows.append(common.text(words, pick))
        work -= 0.0013 + 0.00012 * words
    if order != "mixed":
        rows.sort(key=len, reverse=order == "long first")
    lines = ({"question": f"Who founded the {number}th school?", "context": row} for number, row in enumerate(rows))
    return "\n".join(map(json.dumps, lines)).encode()


def judged(backend: DirectBackend, files: list[bytes], together: int) -> list[Forecast]:
    """The forecasts of files that are submitted so many at once, and what their jobs took."""
    forecasts = []
    for start in range(0, len(files), together):
        batch = [backend.submit(io.BytesIO(file), Request()).manifest.id for file in files[start : start + together]]
        for job in batch:
            *_, last = backend.follow(job)
            assert last.forecast
            forecasts.append(last.forecast)
    return forecasts


def shown(name: str, forecasts: list[Forecast]) -> None:
    """Print each job: what it was expected to take, from low to high, and what it took; in seconds."""
    for number, each in enumerate(forecasts):
        expected = f"{each.seconds_low or 0:6.2f} {each.seconds or 0:6.2f} {each.seconds_high or 0:6.2f}"
        took = each.actual_seconds or 0.0
        error = f"{took / (each.seconds or 1.0) - 1:+7.1%}{'' if each.held else '  outside'}"
        print(f"{name:>12} {number:3} {expected}  {took:6.2f} {error}  before {each.seconds_before:6.2f}", flush=True)


def quality(name: str, forecasts: list[Forecast]) -> list[common.Line]:
    errors = [abs(math.log((each.actual_seconds or 0.0) / (each.seconds or 1.0))) for each in forecasts]
    within = 100 * sum(bool(each.held) for each in forecasts) / len(forecasts)
    median = 100 * math.expm1(statistics.median(errors))
    return [
        common.at_most(f"{name}: median error", median, 10, "%", f"{len(forecasts)} jobs"),
        common.Line(f"{name}: error of nine in ten", 100 * math.expm1(sorted(errors)[len(errors) * 9 // 10]), "%"),
        common.Line(f"{name}: within the interval", within, "%", "75 to 85 %", 75 <= within <= 85),
    ]


def time_left(backend: DirectBackend, file: bytes) -> tuple[float, float]:
    """The mean error of the time left over the life of a job, in percent of the whole: by its work, and by its rows."""
    job = backend.submit(io.BytesIO(file), Request()).manifest.id
    seen: list[tuple[float, Progress]] = []
    while not (progress := backend.status(job)).finished:
        seen.append((time.time(), progress))
        time.sleep(0.25)
    end = progress.finished_at or 0.0
    whole = end - progress.created_at
    by_work = [abs(each.eta_seconds - (end - at)) for at, each in seen if each.eta_seconds]
    pairs = [(at, each.request_counts.pending / each.rows_per_second) for at, each in seen if each.rows_per_second]
    by_rows = [abs(left - (end - at)) for at, left in pairs]
    return 100 * statistics.mean(by_work) / whole, 100 * statistics.mean(by_rows) / whole


def main() -> None:
    args = common.arguments(__doc__ or "", jobs=50, threads=2, seconds=6.0, each=0)
    count = 10 if args.quick else args.jobs
    pick = random.Random(1)
    with cluster(args.threads) as backend:
        files = [made_up(pick, args.threads * pick.uniform(0.2, 2.0) * args.seconds) for _ in range(count)]
        idle = judged(backend, files[: count // 2], 1)
        beside = judged(backend, files[count // 2 :], _TOGETHER)
        for name, forecasts in (("idle", idle), (f"{_TOGETHER} at once", beside)) if args.each else ():
            shown(name, forecasts)
        lines = quality("idle", idle) + quality(f"{_TOGETHER} at once", beside)
        for order in ("mixed", "long last", "long first"):
            by_work, by_rows = time_left(backend, made_up(pick, args.threads * 3 * args.seconds, order))
            note = f"by rows {by_rows:.0f} %"
            lines.append(common.Line(f"time left, {order}: mean error", by_work, "% of the job", note=note))
    common.report("Forecasts", lines, args, threads=args.threads)


if __name__ == "__main__":
    main()
