"""Files of the user that have the names of our packages are never imported, wherever a process of ours is started."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from contract.format.job import Answer, Options, Row
from contract.settings import Settings
from contract.storage import open_storage
from tests.acceptance.cluster import REPO, Cluster, cluster
from worker.attempt import score_apart
from worker.scoring import Watch

SAMPLE = REPO / "samples" / "questions.csv"
NAMES = ("worker.py", "contract.py", "producer/__init__.py", "bulkqa/__init__.py", "celeryconfig.py")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: whatever is imported from it ends the process."""
    for name in NAMES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("raise SystemExit('the file of the user was imported')\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command(name: str, *arguments: str | Path, **given: Any) -> subprocess.CompletedProcess[str]:
    """A console script."""
    program = Path(sys.executable).with_name(name)
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60, check=False, **given)


def test_producer_run_and_its_worker(folder: Path) -> None:
    done = command("producer", "run", SAMPLE, "-o", "answers.json")
    assert done.returncode == 0, done.stderr
    assert len(json.loads((folder / "answers.json").read_text())["predictions"]) == 12


def test_worker_start_and_its_processes(folder: Path) -> None:
    with cluster(folder) as running:
        start(running)
        done = command("producer", "submit", "--wait", SAMPLE, env=running.env)
        assert done.returncode == 0, done.stderr


def start(running: Cluster) -> None:
    """A worker of two processes, by its console script."""
    program = Path(sys.executable).with_name("worker")
    log = running.resources.enter_context((running.folder / "worker.log").open("wb"))
    flags = ["start", "--processes", "2", "--threads", "1", "--health-file", str(running.folder / "health")]
    process = subprocess.Popen([program, *flags], env=running.env, stdout=log, stderr=log)
    running.resources.callback(process.wait, 20)
    running.resources.callback(process.terminate)


def test_the_process_of_a_row_in_quarantine(folder: Path) -> None:
    row = Row(0, "When was the mill built?", "The mill at Vessby was built in 1731 from oak.")
    outcome = score_apart(row, Options(), REPO / "models" / "minilm-l6-qa", Watch())
    assert isinstance(outcome, Answer)


def test_the_process_that_reads_an_upload(folder: Path, settings: Settings) -> None:
    pytest.importorskip("starlette", reason="needs the extra [web]")
    from producer.server.uploads.form import Upload
    from producer.server.uploads.line import Line
    from producer.server.uploads.reader import Reader
    from producer.server.uploads.template import Template

    async def once() -> dict[str, Any]:
        with Template(settings) as template, tempfile.TemporaryFile() as file:
            file.write(b"question|context\na?|b\n")
            reader = Reader(template, open_storage(settings.storage_url, create=True), Line(2))
            return await reader.check(Upload(file, "rows.csv", {}, "somebody", asyncio.Event().wait))

    assert asyncio.run(once())["columns"] == ["question", "context"]


def test_every_process_of_ours_is_started_in_one_way() -> None:
    """`contract.command.program` keeps the current folder off the path."""
    started = [
        path
        for package in ("bulkqa", "contract", "producer", "worker")
        for path in (REPO / package).rglob("*.py")
        if '"-m"' in path.read_text("utf-8")
    ]
    assert [os.path.relpath(path, REPO) for path in started] == ["contract/command.py"]
