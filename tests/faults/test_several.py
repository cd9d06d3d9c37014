"""A worker of several processes: each is a worker of its own, in what it holds, in how it dies and in how it stops."""

from __future__ import annotations

import itertools
import json
import signal

import psutil
import pytest

from contract import SHIPPED_MODEL
from contract.ledger import counting
from contract.ledger.reconcile import live_leases
from tests.acceptance.cluster import until
from tests.faults.broker import FaultyCluster

pytestmark = pytest.mark.timeout(170)

PROCESSES = 3
#: Enough for all of them to hold a chunk at once, and for one to be killed before the job ends.
ROWS = 450


def start(running: FaultyCluster) -> list[psutil.Process]:
    """A worker of some processes, and those."""
    worker = running.worker("--processes", str(PROCESSES))
    running.ready(PROCESSES)
    return psutil.Process(worker.pid).children()


def await_all_busy(running: FaultyCluster, job: str) -> None:
    until(lambda: len(live_leases(running.queue.hints(SHIPPED_MODEL, job))) == PROCESSES, "all to hold a chunk")


def test_each_is_a_worker_and_they_work_side_by_side(running: FaultyCluster) -> None:
    start(running)
    names = {worker.name for worker in running.queue.workers()}
    assert len(names) == PROCESSES
    job = running.submit_rows(ROWS)
    running.ends_well(job, ROWS)
    parts = sorted(counting.footers(running.storage, job, {}).values(), key=lambda part: part.started_at)
    assert {part.worker for part in parts} == names
    assert any(one.finished_at > other.started_at for one, other in itertools.pairwise(parts))


def test_one_that_is_killed_costs_the_others_nothing_and_is_replaced(running: FaultyCluster) -> None:
    first, *others = start(running)
    names = {worker.name for worker in running.queue.workers()}
    job = running.submit_rows(ROWS)
    await_all_busy(running, job)
    first.kill()
    running.ends_well(job, ROWS)
    worker = psutil.Process(running.workers[0].pid)
    until(lambda: len(worker.children()) == PROCESSES, "the one that was killed to be replaced")
    assert set(others) < set(worker.children())
    until(lambda: {each.name for each in running.queue.workers()} == names, "it to take the name of the one that went")
    assert sum(running.attempts(job).values()) <= len(running.attempts(job)) + 1, "no other chunk was tried again"


def test_one_that_freezes_is_told_by_its_health_and_costs_the_others_nothing(running: FaultyCluster) -> None:
    frozen = start(running)[1]
    assert len(list(running.folder.glob("health-0*"))) == PROCESSES
    job = running.submit_rows(ROWS)
    await_all_busy(running, job)
    frozen.suspend()
    running.ends_well(job, ROWS)
    frozen.resume()


def test_all_give_their_chunks_back_when_the_worker_is_told_to_stop(running: FaultyCluster) -> None:
    processes = start(running)
    job = running.submit_rows(ROWS)
    await_all_busy(running, job)
    running.workers[0].send_signal(signal.SIGTERM)
    assert running.workers[0].wait(20) == 0
    assert not any(process.is_running() for process in processes)
    assert running.queue.workers() == []
    assert live_leases(running.queue.hints(SHIPPED_MODEL, job)) == set()
    assert list(running.folder.glob("health-0*")) == []
    start(running)
    running.ends_well(job, ROWS)
    told = json.loads(running.producer("logs", job, "--json").stdout)
    ends = {event["end"] for event in told if event["event"] == "attempt"}
    assert ends <= {"given_back", "done"}, "what was given back did not fail"
