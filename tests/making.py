"""Made for tests: inputs, jobs, a clock to move by hand, and a worker whose every step a test can stop after."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from contract import evaluation
from contract.format import layout, part
from contract.format.job import Answer, Manifest, Options, Row, RowError, Span, answered, failed
from contract.ledger import records
from contract.ledger.order import fill
from contract.ledger.reconcile import drop, reconcile
from contract.ledger.stored import StoredJob, load_manifest
from contract.queue import Queue, WorkerInfo, prefix, queue_name
from contract.queue.redis import RedisQueue
from contract.settings import Settings
from contract.storage import Storage
from producer.jobs.submit import submit
from producer.request import Request
from tests.twins.queue import MemoryQueue

#: Of the queue on Redis that tests within one process use, and what its keys begin with.
NAMESPACE = "test"
PREFIX = prefix(NAMESPACE)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def csv(rows: int, bad: tuple[int, ...] = (), silent: tuple[int, ...] = (), odd: tuple[int, ...] = ()) -> bytes:
    """An input of so many rows: those in `bad` are rejected by the producer, those in `odd` fail when they are scored,
    those in `silent` have no answer."""
    lines = ["id|question|context|topic"]
    for row in range(rows):
        question = "" if row in bad else "odd?" if row in odd else "nothing?" if row in silent else f"what is {row}?"
        lines.append(f'id-{row}|{question}|"word{row} | of a ""context"""|topic {row}')
    return ("\n".join(lines) + "\n").encode()


def job_of(
    storage: Storage, settings: Settings, data: bytes | None = None, *, rows: int = 8, **request: Any
) -> Manifest:
    """A submitted job, nothing of which was sent."""
    return submit(io.BytesIO(csv(rows) if data is None else data), storage, settings, Request(**request)).manifest


def answer(row: Row) -> Answer | RowError:
    """What the worker of these tests says of a row: its context's first word, with the score of its column `score`."""
    if row.question == "odd?":
        return RowError("inference_error", "odd")
    if row.question == "nothing?":
        return Answer((), null_score=2.0, score=0.9)
    word = (row.context or "").split()[0]
    given = row.passthrough.get("score", 0.5)
    score = float(given) if str(given)[:2] in ("0.", "1.") else 0.5
    return Answer((Span(word, 0, len(word), score, 3.25),), null_score=1.5, score=score)


def outcome(row: Row, options: Options) -> dict[str, Any]:
    found = row.error or answer(row)
    return failed(row, found, options) if isinstance(found, RowError) else answered(row, found, options)


def submitted_rows(storage: Storage, job: str) -> list[Row]:
    """All rows of a job, as they were submitted."""
    stored = StoredJob.open(storage, job)
    chunks = [stored.chunk(number) for number in range(stored.manifest.chunks)]
    assert all(isinstance(data, bytes) for data in chunks)
    return [row for number, data in enumerate(chunks) for row in stored.rows_of(number, data)]


def part_of(storage: Storage, manifest: Manifest, number: int, **given: Any) -> bytes:
    """The part that a worker would write."""
    rows = StoredJob.open(storage, manifest.id).rows(number)
    about = {"started_at": 100.0, "finished_at": 101.0, "worker": "hand", "model": "d1"}
    about |= {"job": manifest.id, "chunk": number} | given
    outcomes = (outcome(row, manifest.options) for row in rows)
    judged, sums = evaluation.judge(outcomes, rows, manifest.answers_column, manifest.answers_form)
    return part.encode(judged, **{"evaluation": sums} | about)[0]


def finish_parts(storage: Storage, manifest: Manifest, but: tuple[int, ...] = ()) -> None:
    for number in set(range(manifest.chunks)) - set(but):
        storage.create(layout.part(manifest.id, number), part_of(storage, manifest, number))


def pop(queue: Queue, model: str) -> tuple[str, int] | None:
    """Take the next message off a queue, and lose it unless it is worked on."""
    if isinstance(queue, MemoryQueue):
        waiting = queue.messages.get(queue_name(model))
        return waiting.popleft() if waiting else None
    assert isinstance(queue, RedisQueue)
    raw = queue._redis.rpop(PREFIX + queue_name(model))
    if raw is None:
        return None
    job, chunk = json.loads(base64.b64decode(json.loads(raw)["body"]))[0]
    return job, chunk


def all_messages(queue: Queue, model: str) -> list[tuple[str, int]]:
    return list(iter(lambda: pop(queue, model), None))


def clock_back(queue: Queue, job: str, clock: Clock, request: pytest.FixtureRequest) -> None:
    """Have ten minutes pass backwards. Redis's clock cannot be moved; what was noted by it can."""
    clock.now -= 600.0
    if isinstance(queue, RedisQueue):
        client = request.getfixturevalue("redis_client")
        for kind in ("sent", "lease", "since"):
            for name in client.zrange(f"{PREFIX}{kind}:{job}", 0, -1):
                client.zincrby(f"{PREFIX}{kind}:{job}", 600.0, name)


@dataclass
class Hand:
    """A worker by hand, in the order of the real one: part there? lease, attempt, score, part, next."""

    storage: Storage
    queue: Queue
    settings: Settings
    name: str = "hand"
    model: str = "tiny"

    def announce(self) -> None:
        self.queue.announce(WorkerInfo(self.name, self.model, "d1", "int8", 1, "0"))

    def begin(self, job: str, chunk: int) -> int | None:
        """Take the lease and count the attempt; its number, None where there is nothing to do."""
        if self.storage.exists(layout.part(job, chunk)) or self.storage.exists(layout.report(job)):
            self.advance(job, chunk)
            return None
        if records.is_paused(self.storage, job):
            drop(StoredJob.open(self.storage, job), chunk, self.queue, self.settings)
            return None
        if not self.queue.lease(job, chunk, self.name, self.settings.lease):
            return None
        fill(self.model, self.queue, self.settings)
        number = 1
        while not self.storage.create(layout.attempt(job, chunk, number), b"{}"):
            number += 1
        return number

    def end(self, job: str, chunk: int) -> None:
        stored = StoredJob.open(self.storage, job)
        if records.cancel_requested(self.storage, job):
            stored.fail(chunk, RowError("job_cancelled", "the job was cancelled"), 1)
        else:
            self.storage.create(
                layout.part(job, chunk), part_of(self.storage, stored.manifest, chunk, worker=self.name)
            )
        self.advance(job, chunk)

    def advance(self, job: str, chunk: int) -> None:
        """Fill the queue, and bring the job forward where this was its last message."""
        manifest = load_manifest(self.storage, job)
        last = self.queue.finish(job, chunk, self.name)
        fill(manifest.model, self.queue, self.settings)
        if last:
            reconcile(job, self.storage, self.queue, self.settings, owner=self.name)

    def give_back(self, job: str, chunk: int, attempt: int) -> None:
        self.queue.release(job, chunk, self.name)
        self.storage.create(layout.released(job, chunk, attempt), b"")

    def step(self) -> tuple[str, int] | None:
        """Do what one message asks for; the message, None if there is none."""
        message = pop(self.queue, self.model)
        if message and self.begin(*message) is not None:
            self.end(*message)
        return message

    def run(self) -> list[tuple[str, int]]:
        return list(iter(self.step, None))


def finish(
    job: str, storage: Storage, queue: Queue, settings: Settings, between: Callable[[], None] = lambda: None
) -> None:
    """Reconcile and work until the job has ended."""
    hand = Hand(storage, queue, settings)
    for _ in range(100):
        if reconcile(job, storage, queue, settings).finished:
            return
        hand.run()
        between()
    raise AssertionError("the job does not end")


def predictions(storage: Storage, job: str) -> list[dict[str, Any]]:
    """The published predictions, having checked what holds for every job that ended."""
    manifest = load_manifest(storage, job)
    report = records.report(storage, job)
    assert report is not None
    counts = report.request_counts
    found = json.loads(storage.read(layout.predictions(job)))["predictions"]
    assert [prediction["row"] for prediction in found] == list(range(manifest.rows))
    assert counts.total == manifest.rows == len(found)
    assert counts.pending == 0
    statuses = [prediction["status"] for prediction in found]
    cancelled = sum(p["status"] == "error" and p["error"]["code"] == "job_cancelled" for p in found)
    assert (counts.answered, counts.no_answer) == (statuses.count("answered"), statuses.count("no_answer"))
    assert (counts.failed, counts.cancelled) == (statuses.count("error") - cancelled, cancelled)
    return found
