"""`make chaos`: all that can be forged in Redis, then a seeded nemesis over several jobs of different size and a client
that asks single questions beside them, and the checker. SEED= and MINUTES= replay."""

from __future__ import annotations

import csv
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import redis

from bulkqa import Client, errors
from contract.format import layout
from contract.ledger import records
from contract.settings import SHIPPED_MODEL
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


class Round:
    """Jobs that run at once. Two of them do not score all of their rows: one takes outcomes from a job that is deleted
    meanwhile, one tries a job again that was cancelled in the middle, and is deleted too."""

    def __init__(self, running: FaultyCluster, dice: random.Random, before: Round | None) -> None:
        self.running = running
        files = {rows: str(write_rows(running.folder / f"in-{rows}.csv", rows)) for rows in SIZES}
        self.plain = {rows: running.submit(file) for rows, file in files.items()}
        self.grouped = running.submit(str(write_groups(running.folder / "groups.csv", GROUPS)), "--group-by", "topic")
        self.jobs = [(job, rows) for rows, job in self.plain.items()] + [(self.grouped, 3 * GROUPS)]
        self.saving: list[str] = []  # jobs of the most rows, whose answers are those of the plain one
        self.doomed = running.submit(files[SIZES[-1]])
        if before:
            self._save(self._reusing(files[SIZES[-1]], before.plain[SIZES[-1]], dice))
            for job, _ in before.jobs:
                running.producer("delete", job)

    def _reusing(self, file: str, old: str, dice: random.Random) -> str:
        """A job that was submitted while the one that it names was deleted."""
        command = [sys.executable, "-m", "producer", "submit", file, "--reuse", old]
        with Popen(command, env=self.running.env, stdout=PIPE, stderr=PIPE, text=True) as submitting:
            time.sleep(dice.uniform(0, 1.5))
            self.running.producer("delete", old)
            job, message = submitting.communicate(timeout=100)
        if submitting.returncode:  # it was gone already
            assert "there is no job" in message, message
            job = self.running.submit(file, "--reuse", "latest")
        return job.strip()

    def _save(self, job: str) -> None:
        self.jobs.append((job, SIZES[-1]))
        self.saving.append(job)

    def step(self) -> None:
        """Cancel the doomed job once some of it is done; when it has ended, try it again, and delete it."""
        if not self.doomed:
            return
        if not self.running.storage.exists(layout.report(self.doomed)):
            if self.running.parts(self.doomed):
                self.running.producer("cancel", self.doomed)
            return
        again = self.running.producer("retry", self.doomed)
        if again.returncode:  # it was done before it was cancelled
            assert "no row with a processing error" in again.stderr, again.stderr
        else:
            self._save(again.stdout.strip())
        self.running.producer("delete", self.doomed)
        self.doomed = ""

    @property
    def ended(self) -> bool:
        return not self.doomed and all(self.running.storage.exists(layout.report(job)) for job, _ in self.jobs)

    def check(self, seed: int) -> Counter[str]:
        """Every job is complete, every row once and right. Returns what the jobs that save work did."""
        for job, rows in self.jobs:
            status = self.running.finish(job, seconds=95)
            assert status["status"] == "completed", (seed, job, status)
            check_groups(self.running, job, GROUPS) if job == self.grouped else check(self.running, job, rows)
        saved: Counter[str] = Counter()
        for job in self.saving:
            documents = [self.running.storage.read(layout.predictions(each)) for each in (job, self.plain[SIZES[-1]])]
            assert documents[0] == documents[1], (seed, job, "differs from a job that scored all")
            status = json.loads(self.running.storage.read(layout.report(job)))
            saved.update({name: status[name] for name in ("reused", "scored", "repeated")})
        return saved


class Asker:
    """A client that asks the questions of a file, one after another, until it is stopped: whatever strikes, each gets
    its answer, or an error that says what is away."""

    def __init__(self, client: Client, file: Path, seed: int) -> None:
        with file.open(newline="") as opened:
            self._rows = list(csv.DictReader(opened, delimiter="|"))
        self._client, self._dice = client, random.Random(seed)
        self.answers: list[tuple[int, dict[str, Any]]] = []
        self.errors: Counter[str] = Counter()
        self._failure: BaseException | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._stopped.is_set():
                self._ask(self._dice.randrange(len(self._rows)))
        except BaseException as failure:  # raised by `stop`
            self._failure = failure

    def _ask(self, number: int) -> None:
        row = self._rows[number]
        try:
            self.answers.append((number, self._client.answer(row["question"], row["context"], timeout=20)))
        except (errors.Busy, errors.TimedOut, errors.Unreachable) as error:
            self.errors[type(error).__name__] += 1

    def stop(self) -> None:
        """Raises what was neither an answer nor such an error."""
        self._stopped.set()
        self._thread.join(60)
        assert not self._thread.is_alive(), "a question has neither an answer nor an error"
        if self._failure:
            raise self._failure

    def check(self, predictions: list[dict[str, Any]]) -> None:
        """Every answer is that of a job of the same file."""
        assert self.answers
        for number, found in self.answers:
            own = {name: predictions[number][name] for name in ("row", "line", "id", "passthrough")}
            assert found | own == predictions[number], (number, found)


def main(seed: int, minutes: float) -> None:
    print(f"chaos: SEED={seed} MINUTES={minutes:g}", flush=True)
    dice = random.Random(seed)
    with (
        tempfile.TemporaryDirectory(prefix="bulkqa-chaos-") as name,
        faulty_cluster(Path(name)) as running,
        ExitStack() as resources,
    ):
        running.env["BULKQA_MAX_ATTEMPTS"] = "50"  # innocent deaths by the dozen are this nemesis's, not a chunk's
        nemesis = Nemesis(running, dice)
        until = time.monotonic() + minutes * 60
        rounds: list[Round] = []
        saved: Counter[str] = Counter()
        tries: Counter[int] = Counter()
        asking = write_rows(running.folder / "asked.csv", SIZES[1])
        asker = Asker(resources.enter_context(running.client()), asking, seed)
        while time.monotonic() < until:
            now = Round(running, dice, rounds[-1] if rounds else None)
            rounds.append(now)
            nemesis.jobs = now.jobs
            while not now.ended and (time.monotonic() < until or now.doomed):
                time.sleep(dice.uniform(0.2, 3))
                nemesis.strike()
                nemesis.look()
                running.producer("repair")
                now.step()
            saved += now.check(seed)
            for job, _ in now.jobs:
                tries.update(running.attempts(job).values())
        asker.stop()
        asker.check(json.loads(running.storage.read(layout.predictions(rounds[-1].plain[SIZES[1]])))["predictions"])
        finished = sum(len(each.jobs) for each in rounds)
        print(f"{finished} jobs, {len(running.workers)} workers, every row once, in order, with its answer")
        print(f"rows of jobs that reuse or try again, whose answers are those of a job that scored all: {dict(saved)}")
        print("\n".join(f"  {count:4}  {fault}" for fault, count in sorted(nemesis.done.items())))
        print(f"{len(asker.answers)} questions with the answer of a job; errors: {dict(asker.errors)}")
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
