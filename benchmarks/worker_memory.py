"""A worker's peak memory does not grow with the job: many rows against few, with a tiny model. And the memory of each
additional process of a worker, with the model that ships: memory that several share is divided among them (PSS).
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks import common
from contract.format import layout
from contract.ledger import counting
from contract.namespace import open_queue
from contract.settings import Settings
from contract.storage import open_storage
from contract.storage.local import LocalStorage
from producer.local import redis_server


def peak(folder: Path, rows: int) -> float:
    """Peak MiB of a worker that scores this many rows, from the footers of its parts."""
    chance = random.Random(7)
    file = common.write_csv(folder / "rows.csv", [(f"Which {n}?", common.text(20, chance)) for n in range(rows)])
    storage = folder / f"storage-{rows}"
    command = ("producer", "run", str(file), "-o", str(folder / "out.json"), "--storage", str(storage))
    common.python("-m", *command, "--model", str(folder / "tiny-fp32"))
    stored = LocalStorage(storage)
    footers = counting.footers(stored, stored.list(layout.JOBS)[0], {}).values()
    return max(footer.peak_rss for footer in footers) / 2**20


def warm(folder: Path, processes: int) -> float:
    """MiB of an idle worker with this many processes and their parent."""
    with redis_server(folder) as url:
        settings = Settings(redis_url=url, storage_url=str(folder / "storage"))
        queue = open_queue(settings, open_storage(settings.storage_url, create=True))
        command = [sys.executable, "-m", "worker", "start", "--redis", url, "--storage", settings.storage_url]
        command += ["--processes", str(processes), "--threads", "1", "--health-file", str(folder / "health")]
        with subprocess.Popen(command, cwd=common.REPO, stderr=subprocess.DEVNULL) as worker:
            while len(queue.workers()) < processes:
                time.sleep(0.05)
            tree = [psutil.Process(worker.pid), *psutil.Process(worker.pid).children()]
            mebibytes = sum(process.memory_full_info().pss for process in tree) / 2**20
            worker.terminate()
        queue.close()
    return float(mebibytes)


def main() -> None:
    args = common.arguments(__doc__ or "", rows=50_000)
    rows = 2000 if args.quick else args.rows
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        common.python("-m", "benchmarks.models", "tiny", name, "fp32")
        few, many = peak(Path(name), 1000), peak(Path(name), rows)
        one, four = warm(Path(name), 1), warm(Path(name), 4)
    lines = [
        common.Line("worker, 1,000 rows", few, "MiB"),
        common.Line(f"worker, {rows:,} rows", many, "MiB"),
        common.at_most("growth", 100 * (many / few - 1), 5, "%"),
        common.Line("worker of one process, idle", one, "MiB", note="the model that ships"),
        common.Line("each additional process", (four - one) / 3, "MiB", note="weights are not shared"),
    ]
    common.report("Worker memory", lines, args, model="1 layer of 32, random")


if __name__ == "__main__":
    main()
