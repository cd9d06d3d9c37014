"""Rows that were scored before, in another job or an earlier chunk: a worker in this process, with the model that
ships, and jobs over edited files."""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contract.format import layout
from contract.health import health_files
from contract.ledger import records
from contract.ledger.progress import Progress
from contract.ledger.reconcile import reconcile
from contract.settings import Settings
from contract.storage.local import LocalStorage
from tests.making import NAMESPACE, job_of, pop
from tests.making import predictions as checked_predictions
from worker.heartbeat import Parent
from worker.worker import Worker

MODEL = "minilm-l6-qa"


@pytest.fixture
def worker(settings: Settings, redis_url: str, redis_client: Any) -> Iterator[Worker]:
    LocalStorage(Path(settings.storage_url), create=True)
    settings = settings.model_copy(
        update={"redis_url": redis_url, "threads": 1, "model": MODEL, "namespace": NAMESPACE}
    )
    worker_ = Worker(settings, "w1", health_files(settings.health_file, "worker")[0], Parent())
    yield worker_
    worker_.close()


def table(rows: list[dict[str, Any]], kind: str = "csv") -> bytes:
    """A file of rows, all of which have the same columns."""
    if kind == "jsonl":
        return "".join(json.dumps(row) + "\n" for row in rows).encode()
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter=";" if kind == "semicolons" else "|")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def mill(number: int, town: str = "Delft") -> dict[str, Any]:
    question = "Where does the mill stand?" if number % 3 else "Who lives on the moon?"
    return {"id": f"m{number}", "question": question, "context": f"Mill {number} stands in {town}.", "note": "old"}


def run(worker: Worker, data: bytes, **request: Any) -> Progress:
    """Submit a file and work until its job has ended."""
    return finished(worker, job_of(worker.storage, worker.settings, data, **request).id)


def finished(worker: Worker, job: str) -> Progress:
    reconcile(job, worker.storage, worker.queue, worker.settings)
    while message := pop(worker.queue, MODEL):
        assert worker.work(*message, None)
    report = records.report(worker.storage, job)
    assert report is not None
    checked_predictions(worker.storage, job)
    return report


def document(worker: Worker, report: Progress) -> bytes:
    return worker.storage.read(layout.predictions(report.id))


def texts(rows: list[dict[str, Any]]) -> set[tuple[str, str]]:
    return {(row["question"], row["context"]) for row in rows if row["question"]}


def edited(rows: list[dict[str, Any]], dice: random.Random) -> list[dict[str, Any]]:
    """The rows after some edits: of texts, of ids and other columns, and of order."""
    rows = [dict(row) for row in rows]
    for _ in range(dice.randrange(6)):
        place = dice.randrange(len(rows))
        edit = dice.choice(["change", "insert", "delete", "double", "shuffle", "ids", "note", "empty", "column"])
        if edit == "change":
            rows[place]["context"] += f" It burned {dice.randrange(100)} times."
        elif edit == "insert":
            rows.insert(place, rows[0] | mill(dice.randrange(1000, 2000), "Gouda"))
        elif edit == "delete" and len(rows) > 1:
            del rows[place]
        elif edit == "double":
            rows.insert(dice.randrange(len(rows)), dict(rows[place]))
        elif edit == "shuffle":
            dice.shuffle(rows)
        elif edit == "note":
            rows[place]["note"] = f"new {dice.random()}"
        elif edit == "empty":
            rows[place]["question"] = ""
        elif edit == "column":
            rows = [row | {"more": dice.randrange(9)} for row in rows]
    return [row | {"id": f"{number}-{dice.random()}"} for number, row in enumerate(rows)]


@pytest.mark.parametrize("seed", range(12))
def test_a_job_that_reuses_has_the_same_predictions_and_scores_only_new_rows(worker: Worker, seed: int):
    """Whatever was edited, and in whatever format the file comes."""
    dice = random.Random(seed)
    before = [mill(number) for number in range(dice.randrange(1, 14))]
    options = {"read": dice_read("csv")}
    old = run(worker, table(before), **options)
    after, kind = edited(before, dice), dice.choice(["csv", "semicolons", "jsonl"])

    without = run(worker, table(after, kind), read=dice_read(kind))
    reusing = run(worker, table(after, kind), read=dice_read(kind), reuse=(old.id,))

    assert document(worker, reusing) == document(worker, without)
    assert reusing.scored == len(texts(after) - texts(before))
    scorable = sum(bool(row["question"]) for row in after)
    assert reusing.scored + reusing.repeated + reusing.reused == scorable
    assert reusing.reused == sum((row["question"], row["context"]) in texts(before) for row in after)


def dice_read(kind: str) -> Any:
    from producer.input.options import ReadOptions

    return ReadOptions(delimiter=";") if kind == "semicolons" else ReadOptions()
