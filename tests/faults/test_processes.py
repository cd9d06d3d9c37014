"""Workers that end at the worst moments, clients that get in each other's way, programs of two versions."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest

from contract import SHIPPED_MODEL
from contract.format import layout
from contract.ledger import counting
from tests.acceptance.cluster import check, check_groups, child_of, end, kill, until, write_groups, write_rows
from tests.faults.broker import ROWS, FaultyCluster
from tests.faults.later import VERSION, later_version

pytestmark = pytest.mark.timeout(170)

HOOKS = str(Path(__file__).with_name("hooks"))


@pytest.mark.parametrize("moment", ["ack", "assembly"])
def test_a_worker_is_killed_at_the_worst_moment(running: FaultyCluster, moment: str) -> None:
    job = running.submit_rows()
    mark = running.folder / "struck"
    worker = running.worker(PYTHONPATH=HOOKS, FAULT=moment, FAULT_FILE=str(mark))
    until(mark.exists, "the fault")
    worker.wait(20)
    running.worker()
    running.ends_well(job)


def test_a_worker_is_killed_while_it_writes_groups(running: FaultyCluster) -> None:
    job = running.submit(str(write_groups(running.folder / "in.csv", 20)), "--group-by", "topic")
    mark = running.folder / "struck"
    worker = running.worker(PYTHONPATH=HOOKS, FAULT="groups", FAULT_FILE=str(mark))
    until(mark.exists, "the fault")
    worker.wait(20)
    assert not running.storage.exists(layout.groups(job))
    assert not running.storage.exists(layout.report(job))
    running.worker()
    assert running.finish(job, seconds=120)["status"] == "completed", running.logs()
    check_groups(running, job, 20)


@pytest.mark.parametrize("kind", ["memory", "exit"])
def test_what_a_task_raises_costs_no_row(running: FaultyCluster, kind: str) -> None:
    job = running.submit_rows()
    mark = running.folder / "struck"
    running.worker(PYTHONPATH=HOOKS, FAULT=kind, FAULT_FILE=str(mark))
    until(mark.exists, "the fault")
    running.ends_well(job)
    assert running.workers[0].poll() is None, running.logs()


def test_a_model_that_loads_slowly_is_waited_for_after_a_child_died(running: FaultyCluster) -> None:
    worker = running.worker(PYTHONPATH=HOOKS, FAULT="slow")
    job = running.submit_rows()
    running.await_parts(job, 1)
    child_of(worker).kill()
    running.ends_well(job)
    assert running.log().count("warm in") == 2, "the new child must not be killed while it loads"


def test_sigterm_and_then_sigkill(running: FaultyCluster) -> None:
    worker = running.worker()
    job = running.submit_rows()
    running.await_parts(job, 1)
    worker.send_signal(signal.SIGTERM)
    time.sleep(0.05)
    kill(worker)
    running.worker()
    running.ends_well(job)


def test_no_worker_for_a_while(running: FaultyCluster) -> None:
    job = running.submit_rows()
    with pytest.raises(AssertionError):
        running.finish(job, seconds=12)  # a client polls and repairs all the while
    assert running.attempts(job) == {}
    running.worker()
    running.ends_well(job)
    assert max(running.attempts(job).values()) == 1


def test_clients_that_poll_and_repair_at_once(running: FaultyCluster) -> None:
    running.worker()
    job = running.submit_rows()
    command = [sys.executable, "-m", "producer", "status", job, "--watch", "--json"]
    watching = [
        subprocess.Popen(command, env=running.env, cwd=running.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    while any(client.poll() is None for client in watching):
        assert running.producer("repair").returncode == 0
    said = [client.communicate()[0] for client in watching]
    assert [client.returncode for client in watching] == [0, 0]
    assert json.loads(said[0]) == json.loads(said[1])
    check(running, job, ROWS)
    assert max(running.attempts(job).values()) == 1, "nobody scored what another was at"


def test_a_job_of_another_format_version_is_left_alone_with_a_word(running: FaultyCluster) -> None:
    job, later = running.submit_rows(), running.submit_rows(15)
    manifest = json.loads(running.storage.read(layout.manifest(later)))
    running.storage.replace(layout.manifest(later), json.dumps(manifest | {"schema_version": 2, "new": 1}).encode())
    running.queue.send(SHIPPED_MODEL, later, [0])
    running.worker()
    running.ends_well(job)
    until(lambda: "format version 2" in running.log(), "the worker's word")
    assert "Traceback" not in running.log()
    assert not running.storage.exists(layout.parts(later))
    listed = running.producer("list", "--json")
    assert listed.returncode == 0, listed.stderr
    assert [found["id"] for found in json.loads(listed.stdout)] == [job]
    assert "format version 2" in listed.stderr
    repaired = running.producer("repair")
    assert repaired.returncode == 0, repaired.stderr
    assert "format version 2" in repaired.stderr
    assert running.producer("status", later).returncode == 1


@pytest.mark.parametrize("way", ["upgrade", "downgrade"])
def test_workers_are_replaced_by_those_of_another_version_in_the_middle_of_a_job(
    running: FaultyCluster, way: str
) -> None:
    """One of each at work, then one version alone. What either wrote and sent the other understands."""
    later = later_version(running.folder / "later")
    running.env["BULKQA_PROCESSES"] = "1"  # its name tells which version a worker is of
    running.worker()
    running.worker(**later)
    running.ready(2)
    assert sorted(worker.version for worker in running.queue.workers()) == [version("bulkqa"), VERSION]
    file = str(write_rows(running.folder / "in.csv", 400))
    submitted = running.producer("submit", file, env=running.env | later)
    assert submitted.returncode == 0, submitted.stderr
    job = submitted.stdout.strip()
    assert "later" in json.loads(running.storage.read(layout.manifest(job)))

    until(lambda: len(workers_of(running, job)) == 2, "parts of both")
    for worker in running.workers:
        end(worker)
    running.worker(**(later if way == "upgrade" else {}))

    running.ends_well(job, 400)
    assert len(workers_of(running, job)) == 3
    assert "Traceback" not in running.logs()
    for command in (("list", "--json"), ("status", job), ("results", job), ("verify", job)):
        assert running.producer(*command).returncode == 0


def workers_of(running: FaultyCluster, job: str) -> set[str]:
    """The workers that wrote the parts that are there."""
    return {footer.worker for footer in counting.footers(running.storage, job, {}).values()}
