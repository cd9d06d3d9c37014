"""What people see of workers and sizes."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from contract.queue import WorkerInfo
from producer.cli import tables, view
from producer.cli.text import size

WORKER = WorkerInfo(
    "w1", "tiny", "d1", "int8", 2, "0.1.0", host="h1", job="20260101-000000-00000000", chunk=7, held_seconds=60.0,
    rows_per_second=12.5, rss=200 << 20, age_seconds=3.0,
)  # fmt: skip


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
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
def test_a_worker_has_a_line_with_what_it_does(shown: io.StringIO, worker: WorkerInfo, state: str):
    tables.show_workers([worker])
    cells = [cell.strip() for cell in shown.getvalue().splitlines()[-1].split("│")]
    held = ["20260101-000000-00000000 7", "1 min 3 s"] if worker.job else ["", ""]
    assert cells == ["w1", "h1", "tiny int8 d1", "2", *held, "12.5", "200 MiB", "3 s ago", state]


def test_what_a_worker_says_cannot_play_tricks_on_a_terminal(shown: io.StringIO):
    tables.show_workers([replace(WORKER, name="\x1b[2Jw", host="[red]h")])
    assert "\x1b" not in shown.getvalue()
    assert "[red]h" in shown.getvalue()


def test_a_worker_of_another_version_that_says_less_has_a_line_too(shown: io.StringIO):
    tables.show_workers([WorkerInfo("w1", "tiny", "d1", "int8", 2, "0.0.1")])
    assert "idle" in shown.getvalue()
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
def test_sizes_are_told_in_units(count: int, text: str):
    assert size(count) == text
