"""Many cores, simulated on the few that there are: what a worker makes of 1 to 64 threads.

The model is replaced by a sleep that lets go of the interpreter: 18 ms for a window of 192 tokens, others in
proportion, as one core takes for the reader that ships. All else is the product's own: real worker processes of
`worker start`, Redis, chunks read, rows tokenized and decoded, parts written. A sleeping thread stands for a core that
is busy with the model; what is not the model shares the real cores of this machine, so that with fewer of those than
the simulated machine would have the figures are lower bounds.

Ideal: all sleeps of the rows, divided by the threads. Measured: the rows of parts between the first and the last few,
one for each process, so that neither start-up nor the wait for the last chunk counts.
"""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import common

#: Of the model, for a window of TOKENS.
SECONDS, TOKENS = 0.018, 192


class Asleep:
    """In the place of onnxruntime's session: logits of no meaning, after a while."""

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
    """`worker`, with every session asleep once its model was checked."""
    from contract import command
    from worker.reader.reader import Reader

    opened = Reader.open

    def asleep(*given: Any) -> Reader:
        reader = opened(*given)
        reader._session._session = Asleep()
        return reader

    Reader.open = staticmethod(asleep)
    command.main("worker")


def rate(threads: int, seconds: float) -> tuple[float, float, tuple[int, int]]:
    """Rows/s of a worker that chooses its processes for so many CPUs, the ideal, and its processes and threads."""
    from contract.ledger import records
    from contract.namespace import open_queue
    from contract.settings import Settings
    from contract.storage import open_storage
    from producer.jobs.submit import Request, submit
    from producer.local import redis_server
    from worker.tasks import shared_out

    processes, each = shared_out(threads, Settings(provider="cpu", processes=0, threads=0))
    sleep, rows = _rows(int(seconds * threads / SECONDS))
    with tempfile.TemporaryDirectory(prefix="bench-") as name, redis_server(Path(name)) as url:
        folder = Path(name)
        settings = Settings(redis_url=url, storage_url=str(folder / "storage"))
        storage = open_storage(settings.storage_url, create=True)
        # A chunk is about as many seconds as on such a machine.
        chunk = max(16, min(512, len(rows) // (12 * processes)))
        settings = settings.model_copy(update={"chunk_rows": chunk})
        file = common.write_csv(folder / "rows.csv", rows)
        job = submit(str(file), storage, settings, Request(model="minilm-l6-qa")).manifest.id
        queue = open_queue(settings, storage)
        flags = ["--redis", url, "--storage", settings.storage_url, "--health-file", str(folder / "health")]
        flags += ["--processes", str(processes), "--threads", str(each), "--provider", "cpu"]
        command = [sys.executable, "-m", "benchmarks.many_cores", "work", "start", *flags]
        with subprocess.Popen(command, cwd=common.REPO, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as worker:
            from contract.ledger.reconcile import reconcile

            while len(queue.workers()) < processes:
                time.sleep(0.05)
            while not reconcile(job, storage, queue, settings).finished:
                time.sleep(1.0)
            worker.terminate()
        queue.close()
        parts = sorted(records.footers(storage, job, {}).values(), key=lambda footer: footer.finished_at)
    first, last = processes, len(parts) - processes
    done = sum(part.rows for part in parts[first:last])
    took = parts[last - 1].finished_at - parts[first - 1].finished_at
    return done / took, threads / sleep, (processes, each)


def _rows(count: int) -> tuple[float, list[tuple[str, str]]]:
    """So many different rows, and the seconds that the model sleeps for one."""
    from contract.format.job import Options
    from worker.reader.encode import Encoder
    from worker.reader.model import TOKENIZER, describe

    rows, _ = common.squad_pairs(min(count, 2000), shuffled=False)
    encoder = Encoder(common.SHIPPED / TOKENIZER, describe(common.SHIPPED))
    tokens = [len(window.input_ids) for row in rows for window in encoder.encode(*row, Options()).windows]
    many = [(f"{question} {n}", context) for n in range(math.ceil(count / len(rows))) for question, context in rows]
    return SECONDS * sum(tokens) / TOKENS / len(rows), many[:count]


def main() -> None:
    given = common.arguments(__doc__ or "")
    lines, share = [], 0.0
    sizes = (1, 8, 64) if given.quick else (1, 2, 4, 8, 16, 32, 64)
    for threads in sizes:
        got, ideal, (processes, each) = rate(threads, 6 if given.quick else 15)
        share = got / ideal
        note = f"{got:,.0f} of {ideal:,.0f} rows/s; {processes} x {each}"
        line = common.at_least(f"{threads} threads, of the ideal", share, 0.90, note=note)
        lines.append(line)
    common.report("Many cores, simulated: the model sleeps", lines, given)
    print(f"{sizes[-1]} threads: {share:.2f} of the ideal")


if __name__ == "__main__":
    if sys.argv[1:2] == ["work"]:
        del sys.argv[1]
        work()
    else:
        main()
