"""Several storages on one Redis, each in a namespace of its own."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from contract.namespace import storage_id
from contract.queue.redis import RedisQueue
from contract.storage.local import LocalStorage
from tests.acceptance.cluster import check, until
from tests.faults.broker import FaultyCluster, faulty_cluster

pytestmark = pytest.mark.timeout(170)


def test_two_storages_on_one_redis_run_jobs_beside_each_other_and_drop_nothing(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    with faulty_cluster(tmp_path / "one") as one:
        other = FaultyCluster(tmp_path / "other", one.broker, one.proxy, one.resources)
        try:
            for cluster in (one, other):
                cluster.worker()
                cluster.ready()
            jobs = [(cluster, cluster.submit_rows(rows)) for cluster, rows in ((one, 300), (other, 45), (other, 60))]
            started = time.monotonic()
            for (cluster, job), rows in zip(jobs, (300, 45, 60), strict=True):
                cluster.ends_well(job, rows)
            assert time.monotonic() - started < 30
            for cluster in (one, other):
                assert "dropped" not in cluster.log()
                assert set(cluster.attempts(jobs[0][1] if cluster is one else jobs[1][1]).values()) == {1}
                assert {worker.storage for worker in cluster.queue.workers()} == {cluster.namespace}
            with one.broker.client() as client:
                strange = [key for key in client.keys("*") if not key.startswith((one.prefix, other.prefix))]
            assert strange == []
        finally:
            other.queue.close()


def test_no_key_outside_the_namespace_is_written_and_a_name_can_be_given(running: FaultyCluster) -> None:
    running.env |= {"BULKQA_NAMESPACE": "a-name"}
    with running.broker.client() as client, client.monitor() as monitor:
        running.worker()
        job = running.submit_rows(45)
        status = json.loads(running.producer("status", job, "--watch", "--json", "--timeout", "60").stdout)
        assert status["status"] == "completed"
        check(running, job, 45)
        assert set(client.keys("*")) == set(client.keys("bulkqa:a-name:*")) != set()
        client.echo("the end")
        written = []
        while "the end" not in (command := monitor.next_command()["command"]):
            if not command.startswith(
                "SCAN "
            ):  # `Queue.workers_elsewhere` looks whether others have workers, by a pattern
                written += [word for word in command.split() if word.startswith("bulkqa:")]
    assert len(written) > 50
    assert [key for key in written if not key.startswith("bulkqa:a-name:")] == []


def test_a_worker_in_a_wrong_folder_sees_no_messages_of_others(running: FaultyCluster, tmp_path: Path) -> None:
    running.worker(BULKQA_STORAGE_URL=str(tmp_path / "wrong"))
    until(lambda: "warm" in running.log(), "the worker to be warm")
    job = running.submit_rows(30)
    assert running.queue.workers() == []
    wrong = RedisQueue(running.broker.url, storage_id(LocalStorage(tmp_path / "wrong")))
    until(wrong.workers, "the worker to announce itself")
    wrong.close()
    running.worker()
    running.ends_well(job, 30)
    assert "dropped" not in running.log()


@pytest.mark.parametrize("name", ["", "UPPER", "a:b", "x" * 33, "a b", "*"])
def test_a_namespace_that_is_none_is_wrong_usage(running: FaultyCluster, name: str) -> None:
    done = running.producer("list", env=running.env | {"BULKQA_NAMESPACE": name})
    assert done.returncode == (2 if name else 0), done.stderr
