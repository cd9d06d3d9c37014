"""Whoever can write to Redis gains nothing: every tenth of `forgery`'s kinds and each that once did harm."""

from __future__ import annotations

import os

import pytest

from tests.faults.broker import FaultyCluster
from tests.faults.forgery import forgeries
from tests.faults.gate import Gate

pytestmark = pytest.mark.timeout(280)

#: What jammed or ended workers, or took their memory, before there was a gate.
HARMFUL = (
    "element: nothing", "element: deep", "element: 100 MB", "element: 3,000", "body: deep", "body: empty",
    "body: 4 GiB",
    "unacked: nothing", "unacked: a word", "unacked: 100 MB", "unacked: 5,000", "is a hash", "workers", "properties",
    "leases until 2283",
)  # fmt: skip


def test_after_whatever_was_forged_a_job_ends_and_no_worker_was_restarted(running: FaultyCluster) -> None:
    gate = Gate(running)
    kinds = forgeries(int(os.environ.get("SEED") or 1))
    assert len(kinds) > 300
    for number, forgery in enumerate(kinds):
        if number % 10 == 0 or any(word in forgery.name for word in HARMFUL):
            gate.try_one(forgery)
    assert "Traceback" not in running.log()
    assert "Unrecoverable" not in running.log()
    assert max(map(len, running.log().splitlines())) < 1000
