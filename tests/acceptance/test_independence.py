"""The answer to a row depends on that row, the model and the options only: not on its neighbours, the size of its
chunk, the order of the file, the number of workers, or how often they died."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

import pytest

from contract.format import layout
from tests.acceptance.cluster import REPO, Cluster, kill, sentences, write_rows

pytestmark = pytest.mark.timeout(150)

SAMPLES = REPO / "samples" / "questions.csv"
OPTIONS = {"top_k": 3, "no_answer_threshold": 2.0}


def write_mixed(path: Path) -> Path:
    """120 rows: short and long, in one window and in several, with the same context and the same row again, and some
    that fail."""
    made = path.with_suffix(".made.csv")
    write_rows(made, 80, padding=1)
    with made.open(newline="") as file:
        rows = [row[:3] for row in csv.reader(file, delimiter="|")][1:]
    with SAMPLES.open(newline="") as file:
        rows += [[f"s{n}", *row[1:3]] for n, row in enumerate(list(csv.reader(file, delimiter="|"))[1:])]
    rows += [[f"l{n}", "Which year saw the forge founded?", " ".join(map(sentences, range(n, n + 8)))] for n in (4, 14)]
    rows += [["e1", "", "no question"], ["e2", "no context?", ""]]
    rows += [[f"again-{row[0]}", *row[1:]] for row in rows[: 120 - len(rows)]]
    with path.open("w", newline="") as file:
        csv.writer(file, delimiter="|").writerows([["id", "question", "context"], *rows])
    return path


def shuffled(path: Path, to: Path) -> Path:
    with path.open(newline="") as file:
        header, *rows = csv.reader(file, delimiter="|")
    random.Random(7).shuffle(rows)
    with to.open("w", newline="") as file:
        csv.writer(file, delimiter="|").writerows([header, *rows])
    return to


def by_id(document: bytes) -> dict[str, str]:
    """The JSON of each prediction, without what says where in the file it was."""
    found = json.loads(document)["predictions"]
    return {p["id"]: json.dumps({**p, "row": None, "line": None}, ensure_ascii=False) for p in found}


def test_neither_chunks_nor_order_nor_workers_nor_deaths_change_a_byte(running: Cluster) -> None:
    file = write_mixed(running.folder / "in.csv")
    other = shuffled(file, running.folder / "other.csv")

    def submit(path: Path, chunk_rows: int) -> str:
        return running.submit(path, chunk_rows=chunk_rows, **OPTIONS)

    def document(job: str) -> bytes:
        assert running.finish(job)["status"] == "completed_with_errors"
        return running.storage.read(layout.predictions(job))

    first = running.worker(threads=2, BULKQA_LEASE="2")
    whole = document(submit(file, 512))
    killed = submit(file, 7)
    running.await_parts(killed, 1)
    kill(first)
    assert running.parts(killed) < 18
    for _ in range(3):
        running.worker()
    running.ready(3)
    resumed = document(killed)
    single, mixed = document(submit(file, 1)), document(submit(other, 7))
    assert whole == resumed == single
    assert list(by_id(mixed)) != list(by_id(whole)), "it is shuffled"
    assert by_id(mixed) == by_id(whole)
    assert len(by_id(whole)) == 120
