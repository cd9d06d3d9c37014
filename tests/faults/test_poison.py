"""Rows that end the process that scores them, in a job of some size: they alone are lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.cluster import check, write_rows
from tests.faults.broker import FaultyCluster

pytestmark = pytest.mark.timeout(500)

HOOK = str(Path(__file__).parents[1] / "acceptance" / "poison")
ROWS = 5000
#: Side by side, at both ends, and alone in their chunks.
POISON = (0, 1, 777, 1500, 1501, 2222, 3003, 3999, 4444, 4999)


def test_ten_poison_rows_in_five_thousand(running: FaultyCluster) -> None:
    for _ in range(2):
        running.worker(PYTHONPATH=HOOK, POISON="abort")
    file = write_rows(running.folder / "in.csv", ROWS, poison=POISON)
    job = running.submit(str(file), "--chunk-rows", "250")
    status = running.finish(job, seconds=400)
    assert status["status"] == "completed_with_errors"
    assert status["request_counts"]["answered"] == ROWS - len(POISON)
    check(running, job, ROWS, errors=dict.fromkeys(POISON, "worker_crash"))
    assert max(running.attempts(job).values()) <= 4, "two tries find the first such row of a chunk, one each more"
