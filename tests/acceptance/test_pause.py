"""A job is paused and resumed under real workers, through every interface; Redis is emptied and the server restarted
meanwhile. And a job of which too many rows fail ends early."""

from __future__ import annotations

import csv
import json

import pytest
import redis

from bulkqa import Client
from contract.queue.url import read_url
from tests.acceptance.cluster import Cluster, check, until, write_rows
from tests.acceptance.serving import serving

pytestmark = pytest.mark.timeout(240)

ROWS = 240


def test_a_paused_job_stands_still_and_goes_on_where_it_was(running: Cluster) -> None:
    job = running.submit(write_rows(running.folder / "in.csv", ROWS), chunk_rows=10)
    running.worker()
    running.await_parts(job, 2)
    done = running.producer("pause", job)
    assert done.stdout == f"job {job} is paused\n", done.stderr
    assert f"to continue: producer resume {job}" in done.stderr

    def is_idle() -> bool:
        return all(worker.job is None for worker in running.queue.workers())

    until(is_idle, "the chunk under way")
    paused_at = running.parts(job)
    assert 2 <= paused_at < ROWS // 10
    with redis.Redis.from_url(read_url(running.redis_url).client) as client:
        client.flushall()
    other = running.submit(write_rows(running.folder / "other.csv", 20), chunk_rows=10)
    running.finish(other)
    with serving(running) as server:
        status = server.get(f"/v1/jobs/{job}").json()
        assert (status["status"], status["reason"]["code"]) == ("paused", "paused")
        assert 'bulkqa_jobs{state="paused"} 1.0' in server.get("/metrics").text
        assert 'bulkqa_chunks_unfinished{model="minilm-l6-qa"} 0.0' in server.get("/metrics").text
    with serving(running) as server, Client(server=str(server.base_url)) as client:  # another one
        assert running.parts(job) == paused_at
        client.job(job).resume()
        until(lambda: running.parts(job) > paused_at, "the next chunk")
        client.job(job).pause()
        assert client.job(job).status().status == "paused"
        assert server.post(f"/v1/jobs/{job}/resume").json()["status"] == "running"
    assert running.finish(job)["status"] == "completed"
    check(running, job, ROWS)
    assert set(running.attempts(job).values()) == {1}, "no chunk was scored twice"


def test_a_job_of_which_too_many_rows_fail_ends_early(running: Cluster) -> None:
    with (running.folder / "in.csv").open("w", newline="") as file:
        writer = csv.writer(file, delimiter="|")
        writer.writerow(["question", "context"])
        writer.writerows(["When was it built?", "It was built in 1731." if row < 300 else ""] for row in range(600))
        writer.writerows(["When was it built?", "It was built in 1732."] for _ in range(600))
    running.worker()
    with serving(running, BULKQA_CHUNK_ROWS="50") as server:
        with (running.folder / "in.csv").open("rb") as opened:
            answer = server.post("/v1/jobs", files={"file": opened}, data={"max_errors": "5%"})
        assert answer.status_code == 202, answer.text
        job = answer.json()["id"]
        final = running.finish(job)
        assert (final["status"], final["reason"]["code"]) == ("cancelled", "too_many_errors")
        assert "empty_context 50, such as row 300: the context (column" in final["reason"]["message"]
        assert final["request_counts"]["cancelled"] > 0
        assert server.get(f"/v1/jobs/{job}").json()["reason"]["message"] == final["reason"]["message"]
    said = running.producer("status", job)
    assert "more than 5%: empty_context 50" in said.stdout
    rows = json.loads(running.producer("results", job).stdout)["predictions"]
    assert [row["status"] for row in rows[:300]] == ["answered"] * 300


def test_run_resume_goes_on_with_a_paused_job(running: Cluster) -> None:
    job = running.submit(write_rows(running.folder / "in.csv", 20), chunk_rows=10)
    assert running.producer("pause", job).stdout == f"job {job} is paused\n"
    done = running.producer("run", "--resume", job, "--storage", running.storage.url, "--threads", "1")
    assert done.returncode == 0, done.stderr
    check(running, job, 20)
