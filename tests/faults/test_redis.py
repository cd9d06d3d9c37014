"""Redis and the network between fail in every way that has a name. Every row once, in order, with its answer."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest
from kombu import Connection, Exchange, Producer

from contract import SHIPPED_MODEL
from contract.format import layout
from contract.queue import TASK, queue_name
from contract.queue.app import make_app
from tests.acceptance.cluster import until, write_rows
from tests.faults.broker import ROWS, FaultyCluster, faulty_cluster
from tests.s3 import free_port
from worker import heartbeat

pytestmark = pytest.mark.timeout(170)

QUEUE = queue_name(SHIPPED_MODEL)


def ends_well(running: FaultyCluster, job: str, rows: int = ROWS) -> None:
    running.ends_well(job, rows)
    assert all(worker.poll() is None for worker in running.workers), "a worker must outlive its Redis" + running.logs()


@pytest.mark.parametrize("aof", [True, False], ids=["with AOF", "without"])
def test_redis_is_killed_and_restarted(tmp_path: Path, aof: bool) -> None:
    with faulty_cluster(tmp_path, aof=aof) as running:
        running.worker()
        job = running.submit_rows()
        running.await_parts(job, 1)
        running.broker.restart(pause=1.0)
        ends_well(running, job)


def test_a_long_outage_ends_no_idle_worker(tmp_path: Path) -> None:
    """It is longer than what tells a stalled consumer, and messages wait when it is over."""
    with faulty_cluster(tmp_path) as running:
        worker = running.worker("--metrics-port", str(free_port()))
        until(lambda: "warm in" in running.log(), "the worker")
        running.broker.kill()
        time.sleep(heartbeat._STALLED + 7)
        running.broker.start()
        job = running.submit_rows()
        ends_well(running, job)
        assert worker.poll() is None
        assert "it restarts" not in running.log()


def test_an_acknowledgement_that_fails_leaves_nobody_deaf(tmp_path: Path) -> None:
    """Redis is away just when a chunk is done. Celery forgets such an acknowledgement and takes no message any more."""
    with faulty_cluster(tmp_path) as running:
        running.worker()
        job = running.submit_rows()
        running.await_parts(job, 1)
        running.broker.kill()
        told = ("Couldn't ack", "Connection to broker lost")  # the second where it was waiting for a message instead
        until(lambda: any(word in running.log() for word in told), "the acknowledgement to fail")
        running.broker.start()
        ends_well(running, job)
        assert "it restarts" not in running.log()


def test_redis_freezes_for_a_while(running: FaultyCluster) -> None:
    running.worker()
    job = running.submit_rows()
    running.await_parts(job, 1)
    running.broker.freeze()
    time.sleep(6)
    running.broker.thaw()
    ends_well(running, job)


@pytest.mark.parametrize("how", ["full", "read-only"])
def test_redis_refuses_writes_for_a_while(running: FaultyCluster, how: str) -> None:
    running.worker()
    job = running.submit_rows()
    running.await_parts(job, 1)
    with running.broker.client() as client:
        if how == "full":
            client.config_set("maxmemory", 1)
        else:
            client.replicaof("127.0.0.1", 1)
        time.sleep(5)
        if how == "full":
            client.config_set("maxmemory", 0)
        else:
            client.replicaof("no", "one")
    ends_well(running, job)


def test_clients_are_killed_in_a_loop(running: FaultyCluster) -> None:
    running.worker()
    job = running.submit_rows()
    running.await_parts(job, 1)
    for _ in range(20):
        with running.broker.client() as client:
            client.client_kill_filter(_type="normal", skipme=True)
        time.sleep(0.2)
    ends_well(running, job)


def test_a_wrong_password_is_told_and_not_shown_and_a_worker_waits_for_the_right_one(tmp_path: Path) -> None:
    with faulty_cluster(tmp_path, "--requirepass", "first") as running:
        wrong = running.env | {"BULKQA_REDIS_URL": f"redis://:hunter2@127.0.0.1:{running.broker.port}/0"}
        file = str(write_rows(running.folder / "in.csv", 30))
        refused = running.producer("submit", file, env=wrong)
        assert refused.returncode == 6
        assert "Traceback" not in refused.stderr
        assert "hunter2" not in refused.stderr
        running.worker(BULKQA_REDIS_URL=wrong["BULKQA_REDIS_URL"])
        until(lambda: "Connection" in running.log() or "Auth" in running.log() or "password" in running.log(), "a word")
        with running.broker.client("first") as client:
            client.config_set("requirepass", "hunter2")
        running.env |= {"BULKQA_REDIS_URL": wrong["BULKQA_REDIS_URL"]}
        job = running.submit(file)
        ends_well(running, job, 30)
        assert "hunter2" not in running.log()


def test_redis_comes_after_the_worker(tmp_path: Path) -> None:
    with faulty_cluster(tmp_path, started=False) as running:
        running.worker()
        until(lambda: "warm" in running.log(), "the worker to be warm without Redis")
        running.broker.start()
        ends_well(running, running.submit_rows(30), 30)


@pytest.mark.parametrize("fault", ["blackhole", "delay", "cut", "refuse", "half-open", "deaf"])
def test_the_network_between(running: FaultyCluster, fault: str) -> None:
    running.worker()
    job = running.submit_rows()
    running.await_parts(job, 1)
    proxy = running.proxy
    if fault == "delay":
        proxy.delay = 0.15
    elif fault == "deaf":
        proxy.half_open()  # and nobody ever tells the worker: it notices that messages wait, and starts anew
    elif fault == "half-open":
        proxy.half_open()
        time.sleep(8)
        proxy.told()
    elif fault == "cut":
        for _ in range(5):
            proxy.cut()
            time.sleep(0.5)
    else:
        proxy.mode = fault
        proxy.cut() if fault == "refuse" else None
        time.sleep(5)
        proxy.mode = "pass"
    ends_well(running, job)


def test_every_message_twice(running: FaultyCluster) -> None:
    done = threading.Event()
    job = running.submit_rows()
    with running.broker.client() as client:
        for raw in client.lrange(running.prefix + QUEUE, 0, -1):
            client.lpush(running.prefix + QUEUE, raw)  # the same again, its delivery tag too
    running.worker()
    running.worker()

    def again() -> None:
        while not done.wait(1.0):
            running.queue.send(SHIPPED_MODEL, job, list(range(6)))

    thread = threading.Thread(target=again)
    thread.start()
    try:
        ends_well(running, job)
    finally:
        done.set()
        thread.join()
    assert all(tries <= 2 for tries in running.attempts(job).values()), "who sees a lease leaves the chunk alone"


def test_whoever_can_write_to_the_queue_gains_nothing(running: FaultyCluster) -> None:
    job, cancelled, deleted = running.submit_rows(), running.submit_rows(30), running.submit_rows(30)
    running.producer("cancel", cancelled)
    for name in [*running.storage.list(f"jobs/{deleted}/chunks")]:
        running.storage.delete(f"jobs/{deleted}/chunks/{name}")
    running.storage.delete(layout.manifest(deleted))
    before = sorted(str(path) for path in running.folder.parent.iterdir())
    app = make_app(running.broker.url, running.namespace)
    for arguments in (
        [],
        [job],
        [job, "0"],
        [job, -1],
        [job, 10**9],
        [job, True],
        [job, 0.0],
        [job, [0]],
        ["../../etc", 0],
        ["/etc/passwd", 0],
        [f"{job}/../{job}", 0],
        ["x" * 100_000, 0],
        [None, None],
        [{"a": 1}, 0],
        [deleted, 0],
        [cancelled, 0],
        [job, 0, "more", "and more"],
        ["a\ud800", 0],
    ):
        app.send_task(TASK, args=arguments, queue=QUEUE)
    app.send_task(TASK, kwargs={"job": job, "chunk": 0, "eval": "x"}, queue=QUEUE)
    app.send_task("os.system", args=["touch /tmp/owned"], queue=QUEUE)
    app.close()
    options = {"global_keyprefix": running.prefix}
    with Connection(running.broker.url, transport_options=options) as connection:
        producer = Producer(connection.channel(), Exchange(""), serializer="pickle")
        producer.publish({"task": TASK, "id": "1", "args": [job, 0]}, routing_key=QUEUE)
    with running.broker.client() as client:
        for garbage in ("garbage", "{}", "[]", "null", json.dumps({"body": "x", "properties": {}, "headers": {}})):
            client.lpush(running.prefix + QUEUE, garbage)
    running.worker()
    ends_well(running, job)
    assert sorted(str(path) for path in running.folder.parent.iterdir()) == before
    assert not Path("/tmp/owned").exists()
    with running.broker.client() as client:
        until(lambda: client.llen(running.prefix + QUEUE) == 0, "the queue to be empty", 30)
    assert running.workers[0].poll() is None
