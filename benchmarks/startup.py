"""How soon the commands are there: `producer --help`, and a worker of the shipped reader from its start to warm."""

from __future__ import annotations

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


def worker_warm(folder: Path, url: str) -> float:
    """Seconds until it has announced itself."""
    storage = LocalStorage(folder / "storage", create=True)
    queue = RedisQueue(url, storage_id(storage))
    command = [sys.executable, "-m", "worker", "start", "--redis", url, "--storage", str(folder / "storage")]
    command += ["--health-file", str(folder / "health")]
    started = time.perf_counter()
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        while not queue.workers():
            time.sleep(0.01)
        seconds = time.perf_counter() - started
        process.terminate()
    queue.close()
    return seconds


def main() -> None:
    given = common.arguments(__doc__ or "")
    producer = str(Path(sys.executable).with_name("producer"))
    help_ = common.middle([common.run(producer, "--help").seconds for _ in range(9)])
    warm = []
    for _ in range(1 if given.quick else 3):
        with tempfile.TemporaryDirectory(prefix="bench-") as name, redis_server(Path(name)) as url:
            warm.append(worker_warm(Path(name), url))
    lines = [
        common.at_most("producer --help", 1000 * help_, 150, "ms"),
        common.at_most("a worker, from its start to warm", common.middle(warm), 3, "s"),
    ]
    common.report("Start-up", lines, given)


if __name__ == "__main__":
    main()
