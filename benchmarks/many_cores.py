"""Many cores, simulated on few: the speed of a worker with 1 to 64 threads.

The model is replaced by a sleep that releases the interpreter: 18 ms for a window of 192 tokens, others in proportion,
as long as one core takes with the model that ships. Everything else is real: the processes of `worker start`, Redis,
chunks read, rows tokenized and decoded, parts written. A sleeping thread stands for a core that is busy with the model.

Ideal: the sum of all rows' sleeps, divided by the threads. Measured: the rows of all parts but the first and the last
for each process, so that neither the start nor the wait for the last chunk counts.

All but the model shares the real cores of this machine, which are fewer than those of the simulated one. The kernel
counts how long scoring threads were ready and waited for a core (schedstat(5)). Beyond a twentieth of the time the
simulation says that it has not enough real cores, and no share: the notes have the speed, with and without that wait.
"""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks import common

#: The model's time for a window of TOKENS.
SECONDS, TOKENS = 0.018, 192
#: The share of the time in which threads may wait for real cores.
_WAITED = 0.05


class Asleep:
    """A stand-in for onnxruntime's session: random logits, after a sleep."""

    def __init__(self) -> None:
        self._logits: dict[int, Any] = {}

    def run(self, _names: list[str], feed: dict[str, Any]) -> Any:
        tokens = feed["input_ids"].shape[1]
        time.sleep(SECONDS * tokens / TOKENS)
        if tokens not in self._logits:
            chance = np.random.default_rng(tokens)
            self._logits[tokens] = tuple(chance.normal(-6, 1.5, (1, tokens)).astype(np.float32) for _ in range(2))
        return self._logits[tokens]


def work() -> None:
    """`worker`, with sleeping sessions once the model was checked."""
    from contract import command
    from worker.reader import open as opening

    open_reader = opening.open_reader

    def asleep(*args: Any) -> Any:
        reader = open_reader(*args)
        reader._session._session = Asleep()
        return reader

    opening.open_reader = asleep
    command.main("worker")


@dataclass(frozen=True, slots=True)
class Rate:
    """The speed of a worker."""

    processes: int
    threads: int  #: of each process
    rows: float  #: a second
    ideal: float
    waited: float  #: the share of all threads' time in which they were ready and no core was free

    @property
    def share(self) -> float:
        """The share of the ideal."""
        return self.rows / self.ideal

    @property
    def without_wait(self) -> float:
        """The same without the wait for a core."""
        return self.share / (1 - self.waited)


def rate(threads: int, seconds: float, processes: int = 0) -> Rate:
    """The speed of a worker with this many CPUs and processes; 0: it chooses the processes."""
    from contract.ledger import counting
    from contract.ledger.reconcile import reconcile
    from contract.namespace import open_queue
    from contract.settings import Settings
    from contract.storage import open_storage
    from producer.jobs.submit import Request, submit
    from producer.local import redis_server
    from worker.tasks import processes_and_threads

    processes, each = processes_and_threads(threads, Settings(provider="cpu", processes=processes, threads=0))
    sleep, rows = _rows(int(seconds * threads / SECONDS))
    with tempfile.TemporaryDirectory(prefix="bench-") as name, redis_server(Path(name)) as url:
        folder = Path(name)
        settings = Settings(redis_url=url, storage_url=str(folder / "storage"))
        storage = open_storage(settings.storage_url, create=True)
        chunk = 64 * min(each, 8)  # as many seconds as 512 rows take eight threads, a chunk of the default
        settings = settings.model_copy(update={"chunk_rows": chunk})
        file = common.write_csv(folder / "rows.csv", rows)
        job = submit(str(file), storage, settings, Request(model="minilm-l6-qa")).manifest.id
        queue = open_queue(settings, storage)
        flags = ["--redis", url, "--storage", settings.storage_url, "--health-file", str(folder / "health")]
        flags += ["--processes", str(processes), "--threads", str(each), "--provider", "cpu"]
        command = [sys.executable, "-m", "benchmarks.many_cores", "work", "start", *flags]
        waits: list[tuple[float, float]] = []
        with subprocess.Popen(command, cwd=common.REPO, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as worker:
            while len(queue.workers()) < processes:
                time.sleep(0.05)
            while not reconcile(job, storage, queue, settings).finished:
                waits.append((time.monotonic(), _waited(worker.pid)))
                time.sleep(1.0)
            worker.terminate()
        queue.close()
        parts = sorted(counting.footers(storage, job, {}).values(), key=lambda footer: footer.finished_at)
    first, last = processes, len(parts) - processes
    done = sum(part.rows for part in parts[first:last])
    took = parts[last - 1].finished_at - parts[first - 1].finished_at
    (began, before), (ended, after) = waits[len(waits) // 4], waits[-2]
    return Rate(processes, each, done / took, threads / sleep, (after - before) / (ended - began) / threads)


def _waited(worker: int) -> float:
    """Seconds in which threads of a worker's children were ready and waited for a core; 0 if nothing counts them."""
    total = 0
    for child in psutil.Process(worker).children():
        for task in Path(f"/proc/{child.pid}/task").glob("*/schedstat"):
            with suppress(OSError):
                total += int(task.read_text().split()[1])
    return total / 1e9


def _rows(count: int) -> tuple[float, list[tuple[str, str]]]:
    """Different rows, and the seconds that the model sleeps for one."""
    from contract.format.job import Options
    from worker.reader.encode import Encoder
    from worker.reader.model import TOKENIZER, describe

    some, _ = common.squad_pairs(min(count, 2000), shuffled=False)
    rows = [(f"{question} {n}", context) for n in range(math.ceil(count / len(some))) for question, context in some]
    encoder = Encoder(common.SHIPPED / TOKENIZER, describe(common.SHIPPED))
    first = rows[: len(some)]
    tokens = [len(window.input_ids) for row in first for window in encoder.encode(*row, Options()).windows]
    return SECONDS * sum(tokens) / TOKENS / len(first), rows[:count]


def main() -> None:
    args = common.arguments(__doc__ or "")
    seconds = 5 if args.quick else 10
    lines = []
    for threads in (8, 64) if args.quick else (1, 8, 32, 64):
        # With more processes, start and end take a larger part of a run.
        measured = rate(threads, seconds * max(1.0, threads / 16))
        lines.append(_line(f"{threads} threads", measured))
    if not args.quick:
        lines.append(_line("64 threads in one process", rate(64, seconds, processes=1)))
    common.report("Many cores, simulated: the model sleeps", lines, args)


def _line(name: str, measured: Rate) -> common.Line:
    """The share of the ideal; where threads waited for real cores, that says nothing of more cores."""
    if measured.waited > _WAITED:
        name = f"{name}: not enough real cores to simulate this; waited for them"
        return common.Line(name, 100 * measured.waited, "% of the time", note=_note(measured))
    return common.at_least(f"{name}, of the ideal", measured.share, 0.90, note=_note(measured))


def _note(measured: Rate) -> str:
    return (
        f"{measured.rows:,.0f} of {measured.ideal:,.0f} rows/s; {measured.processes} x {measured.threads}; "
        f"{measured.without_wait:.2f} without the wait for real cores"
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["work"]:
        del sys.argv[1]
        work()
    else:
        main()
