"""How soon a single question is answered: on an idle worker, and while a bulk job runs on it; and what either costs the
other.

Real Redis, a real worker, the real server, all on this machine. Questions come at a rate (open loop: a late answer does
not hold back the next question), with contexts of about 90 words. The lane is compared with what there is without it:
each question as a job of its own (`key`), which waits for the chunk under way.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from benchmarks import common
from benchmarks.http_load import serving
from contract import settings as environment
from producer.backend import open_direct
from producer.backend.direct import DirectBackend
from producer.local import stack
from producer.request import Request


@dataclass
class Asked:
    """The questions of one rate."""

    seconds: list[float] = field(default_factory=list)  #: of those that were answered
    codes: Counter[int] = field(default_factory=Counter)

    def percentile(self, share: float) -> float:
        return sorted(self.seconds)[int(share * (len(self.seconds) - 1))]


async def ask(url: str, rate: float, seconds: float, *, as_jobs: bool = False, seed: int = 1) -> Asked:
    """Ask at a rate, at random moments (Poisson)."""
    chance, asked, tasks = random.Random(seed), Asked(), []
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits) as client:

        async def one(number: int) -> None:
            body = {"question": f"Who founded school {number}?", "context": common.text(90, chance), "timeout": 30}
            began = time.perf_counter()
            answer = await client.post("/v1/answer", json=body | ({"key": f"{seed}-{number}"} if as_jobs else {}))
            asked.codes[answer.status_code] += 1
            if answer.status_code == httpx.codes.OK:
                asked.seconds.append(time.perf_counter() - began)

        await one(-1)
        asked.seconds.clear()
        ends, due = time.perf_counter() + seconds, time.perf_counter()
        while (due := due + chance.expovariate(rate)) < ends:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.append(asyncio.create_task(one(len(tasks))))
        await asyncio.gather(*tasks)
    return asked


def rows_done(backend: DirectBackend, job: str) -> int:
    """The rows of a job that have their outcome, those of the chunks under way too."""
    (worker,), status = backend.workers(), backend.status(job)
    under_way = worker.answered + worker.no_answer + worker.failed if worker.job == job else 0
    return status.request_counts.total - status.request_counts.pending + under_way


@dataclass(frozen=True)
class Beside:
    """Questions beside a bulk job, and the rows of the job a second meanwhile."""

    asked: Asked
    rows: float


def beside(
    backend: DirectBackend, url: str, file: Path, rate: float, seconds: float, *, as_jobs: bool = False
) -> Beside:
    """Ask while a bulk job runs, which is cancelled afterwards."""
    job = backend.submit(file, Request()).manifest.id
    while rows_done(backend, job) < 30:
        time.sleep(0.1)
    before, began = rows_done(backend, job), time.perf_counter()
    if rate:
        asked = asyncio.run(ask(url, rate, seconds, as_jobs=as_jobs, seed=int(rate)))
    else:
        asked = Asked()
        time.sleep(seconds)
    time.sleep(1.1)  # until the worker has announced its rows
    rate_of_rows = (rows_done(backend, job) - before) / (time.perf_counter() - began)
    assert not backend.status(job).finished, "the bulk job was to be under way: give it more rows"
    backend.cancel(job)
    while not backend.status(job).finished or backend.workers()[0].job:
        time.sleep(0.1)
    return Beside(asked, rate_of_rows)


def lines_of(name: str, asked: Asked, goal: float | None, note: str = "") -> list[common.Line]:
    refused = sum(count for code, count in asked.codes.items() if code != httpx.codes.OK)
    about = f"{asked.codes[200]:,} answered, {refused} refused{note}"
    name_95, p95 = f"{name}: 95 % within", asked.percentile(0.95)
    return [
        common.at_most(name_95, p95, goal, "s", about) if goal else common.Line(name_95, p95, "s", note=about),
        common.Line(f"{name}: median", asked.percentile(0.5), "s", note=f"99 % within {asked.percentile(0.99):.3f} s"),
    ]


def main() -> None:
    args = common.arguments(__doc__ or "", seconds=20.0, rows=20_000, threads=2)
    seconds = 4.0 if args.quick else args.seconds
    lines = []
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        storage = folder / "storage"
        file = common.write_csv(folder / "bulk.csv", common.pairs(args.rows))
        with (
            stack({"storage": storage, "threads": args.threads}, None) as here,
            serving(storage, here.redis_url) as (url, _),
        ):
            backend = open_direct(environment.load(redis_url=here.redis_url, storage_url=str(storage)), create=True)
            lines += lines_of("idle worker, 10 a second", asyncio.run(ask(url, 10, seconds)), 0.3)
            alone = beside(backend, url, file, 0, seconds).rows
            for rate in (2, 10, 25, 50):
                there = beside(backend, url, file, rate, seconds)
                share = f"; the job makes {there.rows:.1f} rows a second of {alone:.1f}"
                lines += lines_of(f"beside a job, {rate} a second", there.asked, 0.3, share)
            before = beside(backend, url, file, 1, min(seconds, 10), as_jobs=True)
            lines += lines_of("the same as jobs, 1 a second", before.asked, None)
    common.report("A single question", lines, args, threads=args.threads, seconds=f"{seconds:g} each")


if __name__ == "__main__":
    main()
