"""A Redis, workers and the two commands, all real processes."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from copy import copy
from pathlib import Path
from typing import Any

import psutil
import pytest

from bulkqa import Client
from contract.errors import TimedOut
from contract.format import layout
from contract.ledger import counting, records
from contract.machine import end_with_parent
from contract.namespace import storage_id
from contract.queue import prefix
from contract.queue.redis import RedisQueue
from contract.storage import open_storage
from producer.jobs.verify import verify_job
from producer.local import redis_server
from tests import s3
from tests.preloaded import Commands, Started

#: A process that is signalled as a group, and that does not outlive the tests.
OURS: dict[str, Any] = {"start_new_session": True, "preexec_fn": end_with_parent}
#: What the output of commands and workers looks like.
SHOWN = {"PYTHONUNBUFFERED": "1", "COLUMNS": "160"}
REPO = Path(__file__).resolve().parents[2]
_PLACES = ("mill", "ferry", "bridge", "school", "forge", "museum", "harbour", "orchard", "archive", "chapel")


def year(number: int) -> int:
    """When the place of a row was founded: the small reader knows years up to our time best."""
    return 1000 + number % 1000


def sentences(number: int, padding: int = 2) -> str:
    """A context that says when the place of a row was founded, among other places."""
    place = _PLACES[number % len(_PLACES)]
    others = " ".join(f"The {p} on the hill is older than anybody remembers." for p in _PLACES[:padding])
    return f"{others} The {place} number {number} was founded by the town in {year(number)}. {others}"


def write_rows(path: Path, count: int, padding: int = 2, poison: tuple[int, ...] = ()) -> Path:
    """A pipe-delimited file of `count` rows, whose answers are known."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter="|")
        writer.writerow(["id", "question", "context", "year"])
        for number in range(count):
            place = _PLACES[number % len(_PLACES)]
            question = f"In which year was the {place} number {number} founded?"
            if number in poison:
                question = f"POISON {question}"
            writer.writerow([f"r{number}", question, sentences(number, padding), year(number)])
    return path


def write_groups(path: Path, count: int, passages: int = 3) -> Path:
    """A pipe-delimited file of `count` groups whose rows are scattered: one passage of each, then the next of each. The
    answer is in one of them; the others tell of other places."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter="|")
        writer.writerow(["topic", "question", "context"])
        for passage in range(passages):
            for number in range(count):
                place = _PLACES[number % len(_PLACES)]
                told = number + (0 if passage == number % passages else (passage + 1) * 7)
                question = f"In which year was the {place} number {number} founded?"
                writer.writerow([f"t{number}", question, sentences(told, 1)])
    return path


def check_groups(running: Cluster, job: str, count: int, passages: int = 3) -> None:
    """Every group exactly once, in the order of the first rows, of all its passages, and computed anew the same."""
    status = json.loads(running.storage.read(layout.report(job)))
    groups = json.loads(running.storage.read(layout.groups(job)))["groups"]
    assert [group["group"] for group in groups] == [f"t{number}" for number in range(count)]
    assert {group["passages"] for group in groups} == {passages}
    right = [n for n, group in enumerate(groups) if group["row"] == n + (n % passages) * count]
    assert len(right) >= count * 0.9  # it is a small reader
    assert status["groups"]["total"] == count == status["groups"]["answered"] + status["groups"]["no_answer"]
    verified = verify_job(running.storage, job)
    assert (verified.problems, verified.checked) == ((), count * passages)


def until(look: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    """The first true value of `look`."""
    deadline = time.monotonic() + seconds
    while not (value := look()):
        assert time.monotonic() < deadline, f"gave up waiting for {what}"
        time.sleep(0.02)
    return value


class Cluster:
    """Everything under one temporary folder. `submit` and `finish` use the Python API in this process. Worker logs are
    shown when a test fails."""

    def __init__(
        self,
        folder: Path,
        redis_url: str,
        resources: ExitStack,
        storage_url: str = "",
        commands: Commands | None = None,
        starts: Commands | None = None,
    ) -> None:
        """`commands` runs the `producer` commands, and `starts` the workers; without them each is started anew."""
        self.folder = self.home = folder
        self.commands = commands
        self._starts = starts
        self.redis_url = redis_url
        self.env = os.environ | {
            "BULKQA_REDIS_URL": redis_url,
            "BULKQA_STORAGE_URL": storage_url or str(folder / "storage"),
            "BULKQA_LEASE": "8",
        }
        self.env |= SHOWN
        self.resources = resources
        self.workers: list[subprocess.Popen[bytes] | Started] = []
        self.storage = open_storage(self.env["BULKQA_STORAGE_URL"], create=True)
        self.namespace = storage_id(self.storage)
        self.prefix = prefix(self.namespace)
        self.queue = RedisQueue(redis_url, self.namespace)

    def worker(self, *arguments: str, threads: int = 1, **env: str) -> subprocess.Popen[bytes] | Started:
        number = len(self.workers)
        log = self.home / f"worker-{number}.log"
        health = [] if env.pop("no_health_file", "") else ["--health-file", str(self.home / f"health-{number}")]
        command = ["start", "--threads", str(threads), *health, *arguments]
        # Hooks and counters are there before the modules are.
        if self._starts and "PYTHONPATH" not in env and "--metrics-port" not in arguments:
            process = self._starts.start(*command, cwd=self.home, env=self.env | env, log=log)
        else:
            process = self._started_anew("worker", *command, env=env, log=log)
        self.resources.callback(kill, process)
        self.workers.append(process)
        return process

    def serve(self, *arguments: str, log: Path, **env: str) -> subprocess.Popen[bytes] | Started:
        if self.commands:
            return self.commands.start("serve", *arguments, cwd=self.folder, env=self.env | env, log=log)
        return self._started_anew("producer", "serve", *arguments, env=env, log=log)

    def _started_anew(self, program: str, *arguments: str, env: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
        output = self.resources.enter_context(log.open("wb"))
        command = [sys.executable, "-m", program, *arguments]
        return subprocess.Popen(command, env=self.env | env, stdout=output, stderr=output, cwd=self.home, **OURS)

    def log(self, number: int = 0) -> str:
        return (self.home / f"worker-{number}.log").read_text()

    def ready(self, count: int = 1) -> None:
        until(lambda: len(self.queue.workers()) >= count, f"{count} workers")

    def producer(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        given = {"env": self.env, "cwd": self.folder} | options
        if self.commands and given.keys() == {"env", "cwd"}:
            return self.commands.run(*arguments, **given)
        given = {"capture_output": True, "text": True, "timeout": 100} | given
        return subprocess.run([sys.executable, "-m", "producer", *arguments], check=False, **given)

    @contextmanager
    def client(self, **env: str) -> Iterator[Client]:
        """The Python API in this process, in the environment of the commands."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in (self.env | env).items():
                patch.setenv(name, value)
            client = Client(self.storage.url, self.redis_url)
        with client:
            yield client

    def submit(self, file: Path | str, *, chunk_rows: int = 0, **keywords: Any) -> str:
        with self.client(BULKQA_CHUNK_ROWS=str(chunk_rows)) as client:
            return client.submit(self.folder / file, **keywords).id

    def parts(self, job: str) -> int:
        return len(counting.done(self.storage, job))

    def await_parts(self, job: str, count: int) -> None:
        until(lambda: self.parts(job) >= count, f"{count} parts of {job}")

    def finish(self, job: str, seconds: float = 90.0) -> dict[str, Any]:
        """Wait for the end of a job, and give its final status as `producer status --json` has it."""
        with self.client() as client:
            try:
                final = client.job(job).wait(seconds, patience=None)
            except TimedOut as late:
                raise AssertionError(f"{late}\n{self.logs()}") from late
        return dict(json.loads(json.dumps(final.to_json())))

    def logs(self) -> str:
        return "\n".join(f"--- worker {n}\n{self.log(n)}" for n in range(len(self.workers)))

    def within(self, folder: Path) -> Cluster:
        """The same, whose commands and files are in another folder."""
        other = copy(self)
        other.folder = folder
        return other

    def attempts(self, job: str) -> dict[int, int]:
        """Tries by chunk: of those that are done as their parts say, of the others as is on record."""
        footers = counting.footers(self.storage, job, {})
        tries = records.attempts(self.storage, job)
        return {n: len(t.started) for n, t in tries.items()} | {n: footer.attempts for n, footer in footers.items()}


@contextmanager
def cluster(folder: Path, commands: Commands | None = None, starts: Commands | None = None) -> Iterator[Cluster]:
    with ExitStack() as resources:
        socket_folder = resources.enter_context(_short_folder())
        url = resources.enter_context(redis_server(socket_folder))
        running = Cluster(folder, url, resources, _storage(folder), commands, starts)
        resources.callback(running.queue.close)
        with logs_shown(running):
            yield running


def _storage(folder: Path) -> str:
    """Where the jobs of a cluster lie: in its folder, or with BULKQA_TEST_STORAGE=s3 in the S3 of the environment."""
    if os.environ.get("BULKQA_TEST_STORAGE") != "s3":
        return str(folder / "storage")
    return f"s3://{s3.BUCKET}/{os.urandom(6).hex()}"


@contextmanager
def logs_shown(running: Cluster) -> Iterator[None]:
    """Print what the workers said when a test fails."""
    try:
        yield
    except BaseException:
        print(running.logs())
        raise


@contextmanager
def _short_folder() -> Iterator[Path]:
    """A path to a Unix socket may have 107 characters, which pytest's folders can exceed."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="bulkqa-test-") as name:
        yield Path(name)


def end(process: subprocess.Popen[bytes] | Started, number: int = signal.SIGTERM, seconds: float = 20.0) -> int:
    """Stop a worker and all that it started."""
    family = _family(process.pid)
    if process.poll() is None:
        process.send_signal(number)
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return kill(process)
    finally:
        for child in family:
            if child.is_running():
                child.kill()


def kill(process: subprocess.Popen[bytes] | Started) -> int:
    """kill -9 of a worker with its child, as when its machine goes away."""
    for one in _family(process.pid):
        one.kill()
    return process.wait(10)


def child_of(process: subprocess.Popen[bytes] | Started) -> psutil.Process:
    """The child of a worker that holds the model, and has its command line: it was forked. On an object store there is
    another, of multiprocessing."""

    def forked() -> list[psutil.Process]:
        worker = psutil.Process(process.pid)
        return [child for child in worker.children() if child.cmdline() == worker.cmdline()]

    return until(forked, "the worker's child")[0]


def _family(pid: int) -> list[psutil.Process]:
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def check(running: Cluster, job: str, rows: int, errors: dict[int, str] | None = None) -> list[dict[str, Any]]:
    """Every row exactly once, in order, with the right outcome; the counts add up; nothing stray is left.

    `errors` are the rows that must have an error, with its code; all others must have their year as answer.
    """
    errors = errors or {}
    status = json.loads(running.storage.read(layout.report(job)))
    predictions = json.loads(running.storage.read(layout.predictions(job)))["predictions"]
    assert [p["row"] for p in predictions] == list(range(rows))
    assert [p["id"] for p in predictions] == [f"r{n}" for n in range(rows)]
    assert {p["row"]: p["error"]["code"] for p in predictions if p["status"] == "error"} == errors
    wrong = [p for p in predictions if p["status"] != "error" and str(year(p["row"])) not in p["answer"]]
    assert len(wrong) <= rows // 50, wrong[:3]  # it is a small reader
    counts = status["request_counts"]
    assert counts.pop("total") == rows == sum(counts.values())
    assert counts["failed"] + counts["cancelled"] == len(errors)
    verified = verify_job(running.storage, job)
    assert verified.problems == ()
    assert verified.checked == rows
    # A file under way is renamed within a moment, maybe that of another job; what stays is stray.
    until(lambda: not list((running.home / "storage").rglob(".tmp-*")), "the last temporary file to go")
    return list(predictions)
