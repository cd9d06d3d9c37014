"""How fast the commands start and end: `producer --help`; a worker with the model that ships, from start to ready and
from the signal to exit; `producer run` on the sample, from the command to its answers and to the prompt."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import common
from contract.namespace import storage_id
from contract.queue.redis import RedisQueue
from contract.storage.local import LocalStorage
from producer.local import redis_server


def worker_warm(folder: Path, url: str) -> tuple[float, float]:
    """Seconds until it has announced itself, and from SIGTERM to exit while it is idle."""
    storage = LocalStorage(folder / "storage", create=True)
    queue = RedisQueue(url, storage_id(storage))
    command = [sys.executable, "-m", "worker", "start", "--redis", url, "--storage", str(folder / "storage")]
    command += ["--health-file", str(folder / "health")]
    started = time.perf_counter()
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        while not queue.workers():
            time.sleep(0.01)
        warm = time.perf_counter() - started
        time.sleep(1.0)  # until it waits for messages
        signalled = time.perf_counter()
        process.terminate()
        process.wait()
    queue.close()
    return warm, time.perf_counter() - signalled


def sample(folder: Path) -> tuple[float, float]:
    """Seconds until `producer run` prints its answers, and until it has ended."""
    command = [sys.executable, "-m", "producer", "run", str(common.REPO / "samples" / "questions.csv")]
    started = time.perf_counter()
    with subprocess.Popen(
        [*command, "--storage", str(folder / "storage")],
        cwd=common.REPO,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout
        process.stdout.readline()
        answers = time.perf_counter() - started
        process.stdout.read()
        process.wait()
    assert process.returncode == 0
    return answers, time.perf_counter() - started


def main() -> None:
    args = common.arguments(__doc__ or "")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # later starts are measured, with compiled modules
    producer = str(Path(sys.executable).with_name("producer"))
    help_ = common.median([common.run(producer, "--help").seconds for _ in range(9)])
    warm, ran = [], []
    for _ in range(1 if args.quick else 5):
        with tempfile.TemporaryDirectory(prefix="bench-") as name, redis_server(Path(name)) as url:
            warm.append(worker_warm(Path(name), url))
        with tempfile.TemporaryDirectory(prefix="bench-") as name:
            ran.append(sample(Path(name)))
    (ready, gone), (answers, prompt) = (map(common.median, zip(*seconds, strict=True)) for seconds in (warm, ran))
    lines = [
        common.at_most("producer --help", 1000 * help_, 100, "ms"),
        common.at_most("a worker, from start to ready", ready, 1, "s"),
        common.at_most("an idle worker, from SIGTERM to exit", gone, 0.25, "s"),
        common.at_most("producer run on 12 rows, to the answers", answers, 1.2, "s"),
        common.at_most("producer run on 12 rows, to the prompt", prompt, 1.7, "s"),
    ]
    common.report("Start-up", lines, args)


if __name__ == "__main__":
    main()
