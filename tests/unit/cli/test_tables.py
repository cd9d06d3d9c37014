"""How workers and sizes are shown."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from contract.queue import WorkerInfo
from producer.cli import tables, view
from producer.cli.messages import size

WORKER = WorkerInfo(
    "w1", "tiny", "d1", "int8", 2, "0.1.0", host="h1", job="20260101-000000-00000000", chunk=7, held_seconds=60.0,
    rows_per_second=12.5, rss=200 << 20, age_seconds=3.0,
)  # fmt: skip


@pytest.fixture
def output(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    file = io.StringIO()
    monkeypatch.setattr(view, "_stdout", Console(width=200, file=file))
    return file


@pytest.mark.parametrize(
    ("worker", "state"),
    [
        (WORKER, "busy"),
        (replace(WORKER, draining=True), "draining"),
        (replace(WORKER, trouble="it is full"), "cannot use the storage: it is full"),
        (replace(WORKER, job=None, chunk=None, held_seconds=None), "idle"),
    ],
)
def test_a_worker_is_one_row(output: io.StringIO, worker: WorkerInfo, state: str):
    tables.show_workers([worker])
    cells = [cell.strip() for cell in output.getvalue().splitlines()[-1].split("│")]
    held = ["20260101-000000-00000000 7", "1 min 3 s"] if worker.job else ["", ""]
    assert cells == ["w1", "h1", "tiny int8 d1", "2", *held, "12.5", "200 MiB", "3 s ago", state]


def test_a_worker_cannot_control_the_terminal(output: io.StringIO):
    tables.show_workers([replace(WORKER, name="\x1b[2Jw", host="[red]h")])
    assert "\x1b" not in output.getvalue()
    assert "[red]h" in output.getvalue()


def test_a_worker_of_an_older_version_is_shown_too(output: io.StringIO):
    tables.show_workers([WorkerInfo("w1", "tiny", "d1", "int8", 2, "0.0.1")])
    assert "idle" in output.getvalue()
    assert json.dumps(tables.worker_json(WorkerInfo("w1", "tiny", "d1", "int8", 2, "0.0.1")))


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1,023 B"),
        (1024, "1.0 KiB"),
        (150 << 20, "150 MiB"),
        (3 << 40, "3.0 TiB"),
        (5 << 50, "5,120 TiB"),
    ],
)
def test_sizes_have_units(count: int, text: str):
    assert size(count) == text
