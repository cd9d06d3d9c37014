"""`make chaos`: all that can be forged in Redis, then a seeded nemesis over several jobs of different size, and the
checker. SEED= and MINUTES= replay."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from subprocess import Popen

import redis

from contract import SHIPPED_MODEL
from contract.format import layout
from contract.ledger import records
from tests.acceptance.cluster import REPO, check, check_groups, child_of, end, kill, write_groups, write_rows
from tests.faults.broker import FaultyCluster, faulty_cluster
from tests.faults.forgery import Target, forgeries
from tests.faults.gate import try_all

SIZES = (20, 300, 1500)
#: Groups of one more job, of three passages each.
GROUPS = 100
#: What a traceback ends in: the first line after its indented ones.
_RAISED = re.compile(r"^Traceback [^\n]*\n(?: [^\n]*\n)+([^\n]{1,120})", re.M)
#: The hooks, and these programs: not those that are installed.
HOOKS = os.pathsep.join([str(Path(__file__).with_name("hooks")), str(REPO)])


class Nemesis:
    def __init__(self, running: FaultyCluster, dice: random.Random) -> None:
        self.running, self.dice = running, dice
        self.jobs: list[tuple[str, int]] = []
        self.mark = running.folder / "disk-fails"
        self.alive = [self._worker(), self._worker()]
        self.faults = (
            self.kill_child, self.kill_worker, self.stop_worker, self.freeze_worker, self.restart_redis,
            self.restart_redis_empty, self.flush, self.duplicate, self.cut, self.freeze_redis, self.damage_part,
            self.fail_disk, self.garbage, self.pause,
        )  # fmt: skip
        self.bag: list[Callable[[], None]] = []
        self.done: Counter[str] = Counter()

    def strike(self) -> None:
        """Every fault once, in any order, before one comes again."""
        if not self.bag:
            self.bag = self.dice.sample(self.faults, len(self.faults))
        fault = self.bag.pop()
        fault()
        self.done[fault.__name__] += 1

    def look(self) -> None:
        """What a client sees adds up at every moment."""
        for job, rows in self.jobs:
            counts = records.status(self.running.storage, None, job).request_counts
            parts = counts.answered + counts.no_answer + counts.failed + counts.cancelled + counts.pending
            assert counts.total == parts == rows, (job, counts)

    def _worker(self) -> Popen[bytes]:
        return self.running.worker(PYTHONPATH=HOOKS, FAULT="eio", FAULT_FILE=str(self.mark))

    def _one(self) -> Popen[bytes]:
        return self.dice.choice(self.alive)

    def _replace(self, worker: Popen[bytes]) -> None:
        self.alive.remove(worker)
        self.alive.append(self._worker())

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
        (self.running.broker.folder / "appendonly.aof").unlink(missing_ok=True)  # of Redis 6
        shutil.rmtree(self.running.broker.folder / "appendonlydir", ignore_errors=True)  # of later ones
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

    def fail_disk(self) -> None:
        self.mark.touch()
        time.sleep(self.dice.uniform(0.5, 3))
        self.mark.unlink()

    def garbage(self) -> None:
        kinds = forgeries(self.dice.randrange(10**6))[:3]
        job, _ = self.dice.choice(self.jobs)
        with redis.Redis(port=self.running.broker.port) as client, suppress(redis.ResponseError):
            for kind in kinds:
                kind.apply(Target(client, self.running.prefix, SHIPPED_MODEL, "", job))

    def pause(self) -> None:
        """And resume, each perhaps while Redis or the storage fails; the pause must not outlast it."""
        job, _ = self.dice.choice(self.jobs)
        self.running.producer("pause", job)
        time.sleep(self.dice.uniform(0, 3))
        resumed = self.running.producer("resume", job)
        assert resumed.returncode == 0, resumed.stderr

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
            earlier, nemesis.jobs = nemesis.jobs, []
            for rows in SIZES:
                file = write_rows(running.folder / f"in-{rows}.csv", rows)
                nemesis.jobs.append((running.submit(str(file)), rows))
            file = write_groups(running.folder / "groups.csv", GROUPS)
            grouped = running.submit(str(file), "--group-by", "topic")
            nemesis.jobs.append((grouped, 3 * GROUPS))
            reusing = running.submit(str(running.folder / f"in-{SIZES[-1]}.csv"), "--reuse", "latest")
            nemesis.jobs.append((reusing, SIZES[-1]))
            for job, _ in earlier:  # what it reuses, if this is not the first round
                running.producer("delete", job)
            while time.monotonic() < until:
                time.sleep(dice.uniform(0.2, 3))
                nemesis.strike()
                nemesis.look()
                running.producer("repair")
                if all(running.storage.exists(layout.report(job)) for job, _ in nemesis.jobs):
                    break
            for job, rows in nemesis.jobs:
                status = running.finish(job, seconds=95)
                assert status["status"] == "completed", (seed, job, status)
                check_groups(running, job, GROUPS) if job == grouped else check(running, job, rows)
                tries.update(running.attempts(job).values())
                finished += 1
        print(f"{finished} jobs, {len(running.workers)} workers, every row once, in order, with its answer")
        print("\n".join(f"  {count:4}  {fault}" for fault, count in sorted(nemesis.done.items())))
        said = running.logs()
        for word in ("it restarts", "is scored again"):
            print(f"  {said.count(word):4}  times in the workers' logs: {word}")
        for error, count in Counter(_RAISED.findall(said)).most_common():
            print(f"  {count:4}  tracebacks that end in {error}")
        print("attempts per chunk: " + ", ".join(f"{n}: {count} chunks" for n, count in sorted(tries.items())))


if __name__ == "__main__":
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(10**6))
    try_all(seed)
    main(seed, float(os.environ.get("MINUTES") or 3))
    sys.exit(0)
