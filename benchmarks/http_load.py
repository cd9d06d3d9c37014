"""`producer serve` under load: response times for many clients at once, and the server's memory, all on this machine.

Real Redis, a real worker and the real server. At the end slow clients read a job of many rows, and others hang up while
they send files. Not part of `make bench`: `make bench-http`.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks import common
from contract.format import layout
from contract.ledger import records
from contract.storage import open_storage
from producer.jobs.verify import verify_job
from producer.local import stack
from producer.server.routes.answers import SECONDS

#: Clients at once.
AT_ONCE = 200
#: Slow clients, the bytes that each reads at a time, and the seconds between.
SLOW, BITE, PAUSE = 50, 1 << 16, 0.2


class Memory:
    """The peak memory of a process, and of any that it started, in bytes, by frequent sampling."""

    def __init__(self, pid: int) -> None:
        self.peak = self.children = 0
        self._process = psutil.Process(pid)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def _sample(self) -> None:
        while not self._done.wait(0.05):
            with suppress(psutil.Error):  # a child has just ended
                self.peak = max(self.peak, self._process.memory_info().rss)
                for child in self._process.children(recursive=True):
                    self.children = max(self.children, child.memory_info().rss)

    def close(self) -> None:
        self._done.set()
        self._thread.join()


@contextmanager
def serving(storage: Path, redis: str) -> Iterator[tuple[str, int]]:
    """The address and the process id of a server without a limit on requests."""
    command = [sys.executable, "-m", "producer", "serve", "--port", "0", f"--storage={storage}", f"--redis={redis}"]
    env = os.environ | {"BULKQA_API_REQUESTS": "10000000", "BULKQA_API_JOBS": "1000000", "BULKQA_API_EXPORTS": "64"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=common.REPO, env=env) as process:
        assert process.stderr
        address = re.search(r"http://\S+", process.stderr.readline())
        assert address
        threading.Thread(target=process.stderr.read, daemon=True).start()
        try:
            yield address[0], process.pid
        finally:
            process.terminate()


async def at_once(
    url: str, count: int, one: Callable[[httpx.AsyncClient, int], Coroutine[Any, Any, httpx.Response]]
) -> tuple[float, list[httpx.Response]]:
    """Seconds for requests that are made together, and their responses."""
    limits = httpx.Limits(max_connections=count)
    async with httpx.AsyncClient(base_url=url, timeout=600, limits=limits) as client:
        began = time.perf_counter()
        answers = await asyncio.gather(*(one(client, number) for number in range(count)))
        return time.perf_counter() - began, list(answers)


def file_of(rows: int, number: int = 0) -> bytes:
    lines = [f"What is {number}-{n}?|It is the {n}th of {rows} rows.\n" for n in range(rows)]
    return ("question|context\n" + "".join(lines)).encode()


async def upload(client: httpx.AsyncClient, number: int) -> httpx.Response:
    return await client.post("/v1/jobs", files={"file": ("rows.csv", file_of(50, number))})


async def ask(client: httpx.AsyncClient, number: int) -> httpx.Response:
    request = {"question": f"When was mill {number} built?", "context": "It was built in 1874.", "timeout": SECONDS}
    return await client.post("/v1/answer", json=request)


async def follow(client: httpx.AsyncClient, job: str) -> httpx.Response:
    async with client.stream("GET", f"/v1/jobs/{job}/events") as answer:
        assert "event: end" in (await answer.aread()).decode()
        return answer


async def read_slowly(client: httpx.AsyncClient, job: str, bites: int) -> int:
    """The bytes received, a bite at a time, until the client hangs up."""
    received = 0
    async with client.stream("GET", f"/v1/jobs/{job}/results", params={"format": "jsonl"}) as answer:
        async for block in answer.aiter_raw(BITE):
            received += len(block)
            await asyncio.sleep(PAUSE)
            if received >= bites * BITE:
                break
    return received


def hang_up(url: str, size: int) -> None:
    """Start to send a file of this size, and hang up in the middle."""
    host, port = url.removeprefix("http://").split(":")
    kind = "multipart/form-data; boundary=b"
    head = f"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {size}"
    part = '--b\r\nContent-Disposition: form-data; name="file"; filename="r.csv"\r\n\r\nquestion|context\n'
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(f"{head}\r\n\r\n{part}".encode() + b"a?|b\n" * 200_000)


def main() -> None:
    args = common.arguments(__doc__ or "", megabytes=2048, rows=200_000)
    count, megabytes, rows = (20, 64, 20_000) if args.quick else (AT_ONCE, args.megabytes, args.rows)
    lines: list[common.Line] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        storage = Path(name) / "storage"
        with stack({"storage": storage}, None) as here, serving(storage, here.redis_url) as (url, pid):
            memory = Memory(pid)
            measure(url, storage, count, megabytes, rows, lines)
            memory.close()
            jobs = open_storage(str(storage))
            wrong = [job for job in records.jobs(jobs) if verify_job(jobs, job).problems]
            strays = [job for job in jobs.list(layout.JOBS) if not jobs.exists(layout.manifest(job))]
    lines += [
        common.at_most("the server, peak memory", memory.peak / 2**20, 400, "MiB"),
        common.at_most("a child that reads a file, peak memory", memory.children / 2**20, 400, "MiB"),
        common.at_most("jobs with problems, or incomplete", len(wrong) + len(strays), 0),
    ]
    common.report("The server under load", lines, args)


def measure(url: str, storage: Path, count: int, megabytes: int, rows: int, lines: list[common.Line]) -> None:
    """Each kind of load after the other, on one server."""
    seconds, answers = asyncio.run(at_once(url, count, upload))
    assert {one.status_code for one in answers} == {202}
    jobs = [one.json()["id"] for one in answers]
    lines.append(common.Line(f"{count} uploads of 50 rows at once", seconds, "s"))
    seconds, _ = asyncio.run(at_once(url, count, lambda client, number: follow(client, jobs[number])))
    lines.append(common.Line(f"{count} clients that follow them, until the last job ends", seconds, "s"))
    seconds, answers = asyncio.run(at_once(url, count, lambda client, _: client.get("/v1/jobs")))
    assert {len(one.json()["jobs"]) for one in answers} == {min(100, count)}
    lines.append(common.Line(f"{count} job lists at once", seconds, "s"))
    seconds, answers = asyncio.run(at_once(url, count, ask))
    assert {one.status_code for one in answers} == {200}, {one.text for one in answers}
    lines.append(common.Line(f"{count} questions at once", seconds, "s"))
    for _ in range(20):
        hang_up(url, 50 << 20)
    big = storage.with_name("big.csv")
    row = b"q?|" + b"A long context. " * 4000 + b"\n"
    with big.open("wb") as file:
        file.write(b"question|context\n")
        for _ in range((megabytes << 20) // len(row)):
            file.write(row)
    with httpx.Client(base_url=url, timeout=600) as client, big.open("rb") as file:
        began = time.perf_counter()
        job = client.post("/v1/jobs", files={"file": ("big.csv", file)}).raise_for_status().json()["id"]
        lines.append(common.Line(f"a file of {megabytes:,} MiB", time.perf_counter() - began, "s"))
        client.post(f"/v1/jobs/{job}/cancel")
    read_all(url, rows, lines)


def read_all(url: str, rows: int, lines: list[common.Line]) -> None:
    """A job of many rows, read by slow clients."""
    with httpx.Client(base_url=url, timeout=600) as client:
        file = ("question|context\n" + "".join(f"What is {n % 9}?|It is {n % 9}.\n" for n in range(rows))).encode()
        job = client.post("/v1/jobs", files={"file": ("many.csv", file)}).raise_for_status().json()["id"]

    async def slowly(bites: int) -> list[int]:
        async with httpx.AsyncClient(base_url=url, timeout=600, limits=httpx.Limits(max_connections=SLOW)) as client:
            await follow(client, job)
            return list(await asyncio.gather(*(read_slowly(client, job, bites) for _ in range(SLOW))))

    began = time.perf_counter()
    received = asyncio.run(slowly(40))
    lines.append(common.Line(f"{SLOW} clients that read slowly and hang up", time.perf_counter() - began, "s",
                             note=f"{sum(received) / 2**20:,.0f} MiB"))  # fmt: skip


if __name__ == "__main__":
    main()
