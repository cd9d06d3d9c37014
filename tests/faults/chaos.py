"""`make chaos`: a seeded nemesis over several jobs of different size, and the checker. SEED= and MINUTES= replay."""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from contract import layout
from contract.settings import SHIPPED_MODEL
from tests.acceptance.cluster import check, child_of, end, kill, write_rows
from tests.faults.broker import FaultyCluster, faulty_cluster

SIZES = (20, 150, 400)


class Nemesis:
    def __init__(self, running: FaultyCluster, dice: random.Random) -> None:
        self.running, self.dice = running, dice
        self.jobs: list[tuple[str, int]] = []
        self.alive = [running.worker(), running.worker()]
        self.done: Counter[str] = Counter()

    def strike(self) -> None:
        faults = (
            self.kill_child, self.kill_worker, self.stop_worker, self.freeze_worker, self.restart_redis,
            self.restart_redis_empty, self.flush, self.duplicate, self.cut, self.freeze_redis, self.damage_part,
        )  # fmt: skip
        fault = self.dice.choice(faults)
        fault()
        self.done[fault.__name__] += 1

    def _one(self):  # type: ignore[no-untyped-def]
        return self.dice.choice(self.alive)

    def _replace(self, worker) -> None:  # type: ignore[no-untyped-def]
        self.alive.remove(worker)
        self.alive.append(self.running.worker())

    def kill_child(self) -> None:
        child_of(self._one()).kill()

    def kill_worker(self) -> None:
        worker = self._one()
        kill(worker)
        self._replace(worker)

    def stop_worker(self) -> None:
        worker = self._one()
        end(worker)
        self._replace(worker)

    def freeze_worker(self) -> None:
        worker = self._one()
        os.killpg(worker.pid, signal.SIGSTOP)
        time.sleep(self.dice.uniform(1, 7))
        os.killpg(worker.pid, signal.SIGCONT)

    def restart_redis(self) -> None:
        self.running.broker.restart(pause=self.dice.uniform(0, 2))

    def restart_redis_empty(self) -> None:
        self.running.broker.kill()
        (self.running.broker.folder / "appendonly.aof").unlink(missing_ok=True)
        self.running.broker.start()

    def flush(self) -> None:
        with self.running.broker.client() as client:
            client.flushall()

    def duplicate(self) -> None:
        for job, rows in self.jobs:
            self.running.queue.send(SHIPPED_MODEL, job, list(range(-(-rows // 15))))

    def cut(self) -> None:
        self.running.proxy.cut()

    def freeze_redis(self) -> None:
        self.running.broker.freeze()
        time.sleep(self.dice.uniform(0.5, 3))
        self.running.broker.thaw()

    def damage_part(self) -> None:
        parts = [
            path
            for job, _ in self.jobs
            if not self.running.storage.exists(layout.report(job))
            for path in sorted((self.running.folder / "storage" / layout.parts(job)).glob("0*.jsonl"))
        ]
        if parts:
            path = self.dice.choice(parts)
            path.write_bytes(path.read_bytes()[:-50])


def main(seed: int, minutes: float) -> None:
    print(f"chaos: SEED={seed} MINUTES={minutes:g}", flush=True)
    dice = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="bulkqa-chaos-") as name, faulty_cluster(Path(name)) as running:
        running.env["BULKQA_MAX_ATTEMPTS"] = "50"  # innocent deaths by the dozen are this nemesis's, not a chunk's
        nemesis = Nemesis(running, dice)
        until = time.monotonic() + minutes * 60
        finished = 0
        tries: Counter[int] = Counter()
        while time.monotonic() < until:
            nemesis.jobs = []
            for rows in SIZES:
                file = write_rows(running.folder / f"in-{rows}.csv", rows)
                nemesis.jobs.append((running.submit(str(file)), rows))
            while time.monotonic() < until:
                time.sleep(dice.uniform(1, 6))
                nemesis.strike()
                running.producer("repair")
                if all(running.storage.exists(layout.report(job)) for job, _ in nemesis.jobs):
                    break
            for job, rows in nemesis.jobs:
                status = running.finish(job, seconds=95)
                assert status["status"] == "completed", (seed, job, status)
                check(running, job, rows)
                tries.update(running.attempts(job).values())
                finished += 1
        print(f"{finished} jobs, every row once, in order, with its answer")
        print("\n".join(f"  {count:4}  {fault}" for fault, count in sorted(nemesis.done.items())))
        print("attempts per chunk: " + ", ".join(f"{n}: {count} chunks" for n, count in sorted(tries.items())))


if __name__ == "__main__":
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(10**6))
    main(seed, float(os.environ.get("MINUTES") or 3))
    sys.exit(0)
