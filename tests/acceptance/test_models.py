"""Several models at once: each job scored by the model that it names, and by one digest of it from first to last."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from contract import SHIPPED_MODEL
from contract.ledger import counting
from tests.acceptance.cluster import REPO, Cluster, check, end, kill, until, write_rows
from worker.reader import model
from worker.reader.model import DESCRIPTION, TOKENIZER

pytestmark = pytest.mark.timeout(120)

SHIPPED = REPO / "models" / SHIPPED_MODEL
ROWS = 80


def copy_of_the_model(folder: Path, name: str) -> tuple[Path, str]:
    """The shipped model under another name and with another digest: its tokenizer is spelled differently."""
    shutil.copytree(SHIPPED, folder)
    tokenizer = folder / TOKENIZER
    tokenizer.write_text(json.dumps(json.loads(tokenizer.read_text("utf-8")), indent=3), "utf-8")
    info = replace(model.describe(folder), name=name, digest=model.digest(folder, "model.onnx"))
    (folder / DESCRIPTION).write_text(json.dumps(info.to_json()), "utf-8")
    return folder, info.digest


def digests(running: Cluster, job: str) -> set[str]:
    """What the footers say: which model scored each part."""
    return {footer.model for footer in counting.footers(running.storage, job, {}).values()}


def submit(running: Cluster, model: str | None = None, rows: int = ROWS, padding: int = 2) -> str:
    file = write_rows(running.folder / "in.csv", rows, padding)
    return running.submit(file, chunk_rows=10, model=model)


def test_jobs_of_two_models_at_once_are_each_scored_by_their_own(running: Cluster) -> None:
    directory, digest = copy_of_the_model(running.folder / "second", "second-qa")
    first, second = submit(running), submit(running, "second-qa")
    unserved = submit(running, "third-qa")
    status = json.loads(running.producer("status", second, "--json").stdout)
    assert (status["model"]["name"], status["reason"]["message"]) == (
        "second-qa",
        "no worker serves the model second-qa",
    )
    running.worker()
    running.worker("--model-dir", str(directory))
    for job, name, held in ((first, SHIPPED_MODEL, model.describe(SHIPPED).digest), (second, "second-qa", digest)):
        status = running.finish(job)
        assert status["status"] == "completed"
        assert (status["model"]["name"], status["model"]["digest"]) == (name, held)
        assert digests(running, job) == {held}
        assert len(status["workers"]) == 1
        check(running, job, ROWS)
    assert json.loads(running.producer("status", unserved, "--json").stdout)["status"] == "queued"
    shown = running.producer("list").stdout
    assert all(name in shown for name in (SHIPPED_MODEL, "second-qa", "third-qa"))


def test_of_two_digests_of_one_name_the_pinned_one_scores_the_whole_job(running: Cluster) -> None:
    directory, other = copy_of_the_model(running.folder / "other", SHIPPED_MODEL)
    running.worker()
    running.ready()
    job = submit(running)
    running.await_parts(job, 1)
    running.worker("--model-dir", str(directory))
    running.ready(2)
    status = running.finish(job)
    assert digests(running, job) == {model.describe(SHIPPED).digest} != {other}
    check(running, job, ROWS)
    assert status["attempts"] == ROWS // 10, "declining is no attempt"
    # Alone, the other takes what is not pinned yet.
    kill(running.workers[0])
    later = submit(running)
    running.finish(later)
    assert digests(running, later) == {other}


def test_a_pinned_job_waits_for_its_model_says_so_and_goes_on_with_it(running: Cluster) -> None:
    """The declining worker hands each message on once, and neither spins nor swallows them."""
    directory, _ = copy_of_the_model(running.folder / "other", SHIPPED_MODEL)
    pinned = model.describe(SHIPPED).digest
    first = running.worker()
    job = submit(running, rows=120, padding=8)  # seconds of work: the worker is ended long before the job is
    running.await_parts(job, 1)
    end(first)
    done = running.parts(job)
    assert done < 11
    running.worker("--model-dir", str(directory))
    until(lambda: "declines" in running.log(1), "the other worker to decline")
    status = json.loads(running.producer("status", job, "--json").stdout)
    assert status["reason"]["message"] == f"no worker holds the pinned model {SHIPPED_MODEL} ({pinned}), 1 hold another"
    assert running.parts(job) == done
    small = write_rows(running.folder / "small.csv", 20)
    running.finish(running.submit(small))  # others are served meanwhile
    # A message that met the lease of the worker that just ended is dropped: as the sweeper does, repair sends it again.
    until(
        lambda: running.producer("repair").returncode == 0 and running.log(1).count("declines") >= 2,
        "both messages to be declined",
        seconds=100,
    )
    assert running.log(1).count("declines") <= 3
    hints = running.queue.hints(SHIPPED_MODEL, job, pinned)
    assert hints.waiting == 2, "they wait where a worker of the pinned model takes them at once"
    running.worker()
    assert running.finish(job)["status"] == "completed"
    assert digests(running, job) == {pinned}
    check(running, job, 120)


def test_a_model_that_ends_whoever_loads_it_ends_the_worker_with_a_word(running: Cluster) -> None:
    hooks = str(REPO / "tests" / "faults" / "hooks")
    worker = running.worker(PYTHONPATH=hooks, FAULT="abort", FAULT_FILE=str(running.folder / "mark"))
    assert worker.wait(timeout=60) == 2
    assert "3 processes died while they loaded" in running.log()
