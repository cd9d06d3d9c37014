"""Whoever can write to Redis gains nothing: every twentieth of `forgery`'s kinds, and those that once did harm."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from contract.queue.bounded import TooLarge
from contract.queue.message import LIMIT
from tests.acceptance.cluster import end
from tests.faults.broker import FaultyCluster
from tests.faults.forgery import Forgery, forgeries
from tests.faults.gate import Gate

pytestmark = pytest.mark.timeout(170)

SEED = int(os.environ.get("SEED") or 1)
#: What jammed or ended workers, or took their memory, before there was a gate.
HARMFUL = (
    "element: nothing", "element: deep", "element: 100 MB", "element: 3,000", "body: deep", "body: empty",
    "body: 4 GiB", "unacked: nothing", "unacked: a word", "unacked: 100 MB", "unacked: 5,000", "is a hash", "workers",
    "properties", "leases until 2283",
)  # fmt: skip


def harmful() -> list[Forgery]:
    return [kind for kind in forgeries(SEED) if any(word in kind.name for word in HARMFUL)]


def test_after_whatever_was_forged_a_job_ends_and_no_worker_was_restarted(running: FaultyCluster) -> None:
    gate = Gate(running)
    kinds = forgeries(SEED)
    assert len(kinds) > 300
    for forgery in [*kinds[::20], *harmful()]:
        gate.try_one(forgery)
    assert "Traceback" not in running.log()
    assert max(map(len, running.log().splitlines())) < 1000


def test_a_worker_starts_whatever_was_forged_before(running: FaultyCluster) -> None:
    """Once it ended within two seconds, and with exit status 0."""
    gate = Gate(running)
    end(running.workers[0])
    for forgery in sorted(harmful(), key=lambda kind: "is a" not in kind.name):
        gate.forge(forgery, mended=False)
    running.worker()
    job = running.submit_rows(30)
    running.ends_well(job, 30)
    assert running.workers[1].poll() is None
    assert "it restarts" not in running.log(1)
    assert "Traceback" not in running.log(1)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux alone shows the peak of a process")
def test_what_is_long_is_not_read(running: FaultyCluster) -> None:
    gate = Gate(running)
    before = peak(gate.processes[0])
    for forgery in forgeries(SEED):
        if "100 MB" in forgery.name or "4 GiB" in forgery.name:
            gate.try_one(forgery)
    assert peak(gate.processes[0]) - before < 10 << 10
    with running.broker.client() as client:
        client.hset(f"{running.prefix}workers", "long", "x" * (LIMIT + 1))
    with pytest.raises(TooLarge):
        running.queue._redis.hget(f"{running.prefix}workers", "long")


def peak(process: int) -> int:
    """The most memory that a process ever had, in KiB."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1])


def test_what_was_dropped_is_told_in_few_lines(running: FaultyCluster) -> None:
    gate = Gate(running)
    many = next(kind for kind in forgeries(SEED) if kind.name.startswith("element: 3,000"))
    for _ in range(3):
        gate.try_one(many)
    told = [line for line in running.log().splitlines() if "dropped foreign data" in line]
    assert 1 <= len(told) <= 4
    assert "garbage" not in running.log()


def test_a_worker_that_cannot_work_does_not_end_with_0(running: FaultyCluster) -> None:
    broken = running.folder / "broken"
    broken.mkdir()
    (broken / "sitecustomize.py").write_text(
        "import kombu.transport.redis\n"
        "def on_poll_start(self): raise RuntimeError('as a bug in a library')\n"
        "kombu.transport.redis.MultiChannelPoller.on_poll_start = on_poll_start\n"
    )
    path = os.pathsep.join([str(broken), os.environ.get("PYTHONPATH", "")])
    assert running.worker(PYTHONPATH=path).wait(60) == 1
    assert "ended by itself" in running.log()
