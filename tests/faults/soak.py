"""`make soak`: clients that do all that may be a burden to others (`attacks`), beside honest ones that submit, follow
and read, for an hour, in front of a real server, worker, sweeper and Redis. SEED= and MINUTES= replay; the log says who
did what when.
"""

from __future__ import annotations

import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from contextlib import ExitStack, closing
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import httpx
import psutil

from tests.acceptance.cluster import OURS, Cluster, cluster, end, kill, until, write_rows
from tests.faults.attacks import Attacker, decoded

#: Rows of an honest job; how often its client looks at it, at least.
ROWS, LOOKS = 40, 20
ATTACKERS, HONEST = 4, 2
TOKENS = [f"the-token-of-client-{number}" for number in range(ATTACKERS + HONEST + 1)]
#: Seconds that 95 of 100 requests of the honest ones take at most; how much the server may grow, in the second half.
PROMISED, GROWTH, SLACK = 1.0, 1.25, 32 << 20


class Soak:
    """What all clients share: until when they go on, what they saw, and the log."""

    def __init__(self, minutes: float, log: Path) -> None:
        self._minutes = minutes
        self._until = float("inf")
        self.problems: list[str] = []
        self.seconds: dict[str, list[float]] = {"status": [], "page": []}
        self.memory: list[int] = []
        self.done: Counter[str] = Counter()
        self._log = log.open("a")
        self._lock = threading.Lock()

    @property
    def ends(self) -> bool:
        return time.monotonic() > self._until

    def begin(self) -> None:
        self._until = time.monotonic() + self._minutes * 60

    def say(self, who: str, what: str) -> None:
        with self._lock:
            print(f"{time.strftime('%H:%M:%S')} {who}: {what}", file=self._log, flush=True)

    def problem(self, who: str, what: str) -> None:
        self.problems.append(f"{who}: {what}")
        self.say(who, f"PROBLEM: {what}")

    def attack(self, who: str, attacker: Attacker) -> None:
        while not self.ends:
            attack = attacker.next()
            self.say(who, attack.__name__)
            try:
                attack()
            except Exception:
                self.problem(who, f"{attack.__name__}: {traceback.format_exc()}")
            self.done[attack.__name__] += 1

    def be_honest(self, who: str, client: httpx.Client, file: bytes, expected: list[Any]) -> None:
        while not self.ends:
            try:
                job = self._submit(client, file)
                looks = 0
                while (status := self._look(client, job))["finished_at"] is None or looks < LOOKS:
                    looks += 1
                    time.sleep(0.1)
                rows = self._timed(client, "page", f"/v1/jobs/{job}/rows").json()["predictions"]
                text = client.get(f"/v1/jobs/{job}/results", params={"format": "jsonl"}).raise_for_status().text
                if [decoded(line) for line in text.splitlines()] != expected or len(rows) != ROWS:
                    self.problem(who, f"job {job} ({status['status']}) has other answers: {text[:2000]}")
                client.delete(f"/v1/jobs/{job}").raise_for_status()
                self.done["honest jobs"] += 1
            except httpx.HTTPStatusError as error:
                self.problem(who, f"{error}: {error.response.text[:500]}")
            except Exception:
                self.problem(who, traceback.format_exc())

    def _submit(self, client: httpx.Client, file: bytes) -> str:
        answer = client.post("/v1/jobs", files={"file": ("rows.csv", file)}).raise_for_status()
        job: str = answer.json()["id"]
        return job

    def _look(self, client: httpx.Client, job: str) -> dict[str, Any]:
        """The status of a job, and a page."""
        self._timed(client, "page", random.choice(("/", "/page/main.js", "/v1/jobs?limit=20", "/healthz")))
        status: dict[str, Any] = self._timed(client, "status", f"/v1/jobs/{job}").json()
        return status

    def _timed(self, client: httpx.Client, kind: str, path: str) -> httpx.Response:
        began = time.monotonic()
        answer = client.get(path).raise_for_status()
        self.seconds[kind].append(time.monotonic() - began)
        return answer

    def watch(self, server: psutil.Process) -> None:
        while not self.ends:
            self.memory.append(server.memory_info().rss)
            time.sleep(0.5)

    def verdict(self) -> list[str]:
        """What was not as promised."""
        wrong = [*self.problems]
        for kind, seconds in self.seconds.items():
            slow = quantiles(seconds, n=20)[-1] if len(seconds) > 1 else float("inf")
            longest = max(seconds, default=0.0)
            print(f"{kind}: {len(seconds):,} requests, 95 of 100 within {slow:.2f} s, at most {longest:.2f}")
            if slow > PROMISED:
                wrong.append(f"{kind}: the 95th percentile is {slow:.2f} s")
        quarter = len(self.memory) // 4
        second, last = median(self.memory[quarter : 2 * quarter]), median(self.memory[3 * quarter :])
        print(f"server: {second / 2**20:.0f} MiB in the second quarter, {last / 2**20:.0f} in the last, "
              f"at most {max(self.memory) / 2**20:.0f}")  # fmt: skip
        if last > second * GROWTH + SLACK:
            wrong.append("the server's memory grows")
        print(f"load {os.getloadavg()[0]:.1f}; {dict(self.done)}")
        return wrong


def silent_host(resources: ExitStack) -> str:
    """The URL of one that takes connections, and says nothing."""
    listener = resources.enter_context(socket.create_server(("127.0.0.1", 0), backlog=1024))
    return f"http://127.0.0.1:{listener.getsockname()[1]}/hook"


def start(running: Cluster, name: str, *arguments: str, **env: str) -> subprocess.Popen[bytes]:
    """A process whose log is in a file."""
    log = running.resources.enter_context((running.folder / f"{name}.log").open("wb"))
    env = running.env | {"BULKQA_NOTIFY_PRIVATE": "true"} | env
    command = [sys.executable, "-m", *arguments]
    process = subprocess.Popen(command, env=env, stdout=log, stderr=log, cwd=running.folder, **OURS)
    running.resources.callback(kill, process)
    return process


def url_of(running: Cluster) -> str:
    """Where the server is, once it says so."""
    log = running.folder / "server.log"
    return until(lambda: re.search(r"http://\S+", log.read_text()), "the server")[0]


def errors_of(log: str) -> list[str]:
    """What each traceback ends in."""
    return re.findall(r"^Traceback [^\n]*\n(?: [^\n]*\n)+([^\n]{1,200})", log, re.M)


def answered(client: httpx.Client, data: bytes, seconds: float = 600) -> str:
    """The id of a job that has ended."""
    job: str = client.post("/v1/jobs", files={"file": ("rows.csv", data)}).raise_for_status().json()["id"]
    until(lambda: client.get(f"/v1/jobs/{job}").json()["finished_at"], "the end of a job", seconds)
    return job


def run(running: Cluster, server: psutil.Process, state: Soak, seed: int) -> None:
    url = url_of(running)
    bearers = [{"Authorization": f"Bearer {token}"} for token in TOKENS]
    with ExitStack() as resources:
        honest = [
            resources.enter_context(httpx.Client(base_url=url, headers=bearer, timeout=60))
            for bearer in bearers[ATTACKERS:]
        ]
        file = write_rows(running.folder / "rows.csv", ROWS, padding=1).read_bytes()
        first = answered(honest[-1], file)
        text = honest[-1].get(f"/v1/jobs/{first}/results", params={"format": "jsonl"}).text
        expected = [decoded(line) for line in text.splitlines()]
        assert len(expected) == ROWS
        # Rows without a context are errors, which no model is asked about.
        large = answered(honest[-1], b"question|context\n" + b"who is it, and why does nobody know it?|\n" * 100_000)
        silent = silent_host(resources)
        attackers = [
            resources.enter_context(closing(Attacker(url, TOKENS[n], large, silent, random.Random(f"{seed}-{n}"))))
            for n in range(ATTACKERS)
        ]
        threads = [threading.Thread(target=state.watch, args=(server,))]
        threads += [
            threading.Thread(target=state.attack, args=(f"attacker {n}", each)) for n, each in enumerate(attackers)
        ]
        threads += [
            threading.Thread(target=state.be_honest, args=(f"honest {n}", honest[n], file, expected))
            for n in range(HONEST)
        ]
        state.begin()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def main() -> int:
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(1 << 32))
    minutes = float(os.environ.get("MINUTES") or 60)
    log = Path(tempfile.gettempdir()) / f"soak-{seed}.log"
    print(f"soak: SEED={seed} MINUTES={minutes:g}, log {log}")
    with tempfile.TemporaryDirectory(prefix="soak-") as folder, cluster(Path(folder)) as running:
        running.worker()
        running.ready()
        start(running, "sweeper", "worker", "sweep", "--health-file", str(running.folder / "sweeper-health"))
        env = {"BULKQA_API_TOKEN": ",".join(TOKENS), "BULKQA_API_REQUESTS": "1000000"}
        server = start(running, "server", "producer", "serve", "--port", "0", **env)
        state = Soak(minutes, log)
        run(running, psutil.Process(server.pid), state, seed)
        wrong = state.verdict()
        if status := end(server):
            wrong.append(f"the server ended with {status}")
        wrong += [f"the server's log: {line}" for line in errors_of((running.folder / "server.log").read_text())]
    for line in wrong:
        print(line)
    print(f"soak: {'FAILED' if wrong else 'as promised'}, SEED={seed} MINUTES={minutes:g} replays it")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
