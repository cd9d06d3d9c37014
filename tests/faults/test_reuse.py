"""Outcomes of an earlier job, taken over while that is damaged or removed, and workers die or hold another model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from contract import SHIPPED_MODEL
from contract.format import layout
from contract.ledger.stored import Damage, StoredJob
from tests.acceptance.cluster import REPO, check, end, kill, until, write_rows
from tests.faults.broker import ROWS, FaultyCluster

pytestmark = pytest.mark.timeout(170)

HOOK = str(Path(__file__).parents[1] / "acceptance" / "poison")


def edited(running: FaultyCluster, every: int) -> str:
    """The rows with each so many edited."""
    lines = (running.folder / "in.csv").read_text().splitlines()
    lines[1::every] = [line.replace("founded?", "founded then?") for line in lines[1::every]]
    path = running.folder / "edited.csv"
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def document(running: FaultyCluster, job: str) -> bytes:
    return running.storage.read(layout.predictions(job))


def test_the_old_job_is_damaged_then_removed_and_the_worker_killed_in_the_middle(running: FaultyCluster) -> None:
    running.worker()
    old = running.submit_rows()
    running.ends_well(old)
    whole = running.submit(edited(running, 2))
    running.ends_well(whole)
    key = layout.part(old, 1)
    running.storage.replace(key, running.storage.read(key).replace(b"founded", b"flooded", 1))
    assert isinstance(StoredJob.open(running.storage, old).part(1), Damage)
    end(running.workers[-1])

    job = running.submit(edited(running, 2), "--reuse", old)
    assert running.producer("delete", old).returncode == 0
    running.worker()
    running.await_parts(job, 1)
    kill(running.workers[-1])
    running.worker()
    running.ends_well(job)

    assert document(running, job) == document(running, whole)
    status = json.loads(running.producer("status", job, "--json").stdout)
    reused = [row for row in range(1, ROWS, 2) if not 15 <= row < 30]  # all that were not edited, but of that part
    assert (status["reused"], status["scored"]) == (len(reused), ROWS - len(reused))


def test_rows_that_killed_their_worker_are_tried_again_and_the_others_keep_their_outcome(
    running: FaultyCluster,
) -> None:
    poisoned = running.worker(PYTHONPATH=HOOK, POISON="exit")
    file = write_rows(running.folder / "in.csv", ROWS, poison=(20, 50))
    job = running.submit(str(file))
    assert running.finish(job)["request_counts"]["failed"] == 2
    kill(poisoned)

    again = running.producer("retry", job)
    assert again.returncode == 0, again.stderr
    assert f"{ROWS - 2} of {ROWS} rows take their outcome from job {job}" in again.stderr
    assert running.producer("delete", job).returncode == 0
    running.worker()
    other = again.stdout.strip()
    status = running.finish(other)
    assert (status["status"], status["reused"], status["scored"]) == ("completed", ROWS - 2, 2)
    check(running, other, ROWS)


def test_a_job_waits_for_the_model_whose_outcomes_it_takes(running: FaultyCluster) -> None:
    """A worker with another digest under the same name does not score the rest of it."""
    running.worker()
    old = running.submit_rows()
    running.ends_well(old)
    end(running.workers[-1])
    model = Path(shutil.copytree(REPO / "models" / SHIPPED_MODEL, running.folder / "other"))
    about = json.loads((model / "reader.json").read_text())
    (model / "reader.json").write_text(json.dumps(about | {"no_answer_threshold": 3.25}))
    running.worker("--model-dir", str(model))
    running.ready()

    job = running.submit(edited(running, 3), "--reuse", "latest")

    def waits() -> bool:
        reason = json.loads(running.producer("status", job, "--json").stdout)["reason"]
        return bool(reason) and reason["code"] == "other_model"

    until(waits, "the reason")
    running.worker()
    running.ends_well(job)
    assert json.loads(running.storage.read(layout.report(job)))["reused"] == ROWS - ROWS // 3
