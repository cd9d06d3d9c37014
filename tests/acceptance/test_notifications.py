"""Somebody is told that a job has ended, by the sweeper alone, whatever dies. Real processes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from bulkqa import Client
from contract.notifications import record
from tests.acceptance.cluster import OURS, Cluster, kill, until, write_rows
from tests.receiver import SECRET, receiving

pytestmark = pytest.mark.timeout(240)


@contextmanager
def sweeping(running: Cluster) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "worker", "sweep", "--interval", "0.3", "--health-file", str(running.folder / "h")]
    env = running.env | {"BULKQA_WEBHOOK_SECRET": SECRET, "BULKQA_NOTIFY_PRIVATE": "true"}
    with (
        (running.folder / "sweeper.log").open("ab") as log,
        subprocess.Popen(command, env=env, cwd=running.folder, stderr=log, **OURS) as process,
    ):
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
                assert process.wait(30) == 0


def test_a_job_is_told_of_with_no_client_there_and_again_where_it_was_not_heard(running: Cluster) -> None:
    write_rows(running.folder / "in.csv", 5)
    with receiving(503) as receiver:
        job = running.submit("in.csv", notify=receiver.url)
        assert "when the job has ended" in running.producer("notifications", job).stdout
        with sweeping(running):
            running.worker()
            until(lambda: record.of(running.storage, job).state == "delivered", "the job to be told of")
        events = receiver.events()
    assert [event["type"] for event in events] == ["job.completed"] * 2
    assert {event["data"]["id"] for event in events} == {job}
    told = json.loads(running.producer("notifications", job, "--json").stdout)
    assert [one["status"] for one in told["attempts"]] == [503, 204]
    assert told["state"] == "delivered"
    shown = running.producer("notifications", job).stdout
    assert "attempt 1: answered 503" in shown
    assert "was called" in shown
    log = (running.folder / "sweeper.log").read_text()
    assert "notification attempt 1" in log
    assert "team=a" not in log, "a URL may be a secret"
    assert SECRET not in log


def test_a_sweeper_that_dies_while_it_tells_is_made_good_by_the_next(running: Cluster) -> None:
    write_rows(running.folder / "in.csv", 5)
    with receiving("hang") as receiver:
        job = running.submit("in.csv", notify=receiver.url)
        running.worker()
        with sweeping(running) as first:
            until(lambda: receiver.heard, "the first attempt")
            kill(first)
        with sweeping(running):
            until(lambda: record.of(running.storage, job).state == "delivered", "the job to be told of")
        assert len(receiver.events()) == 2
        assert len({headers["webhook-id"] for headers, _ in receiver.heard}) == 1


def test_a_server_and_python_take_the_url_and_say_how_it_stands(shared: Cluster, server: httpx.Client) -> None:
    with Client(server=str(server.base_url)) as client:
        job = client.submit(b"question|context\na?|b\n", model="nobody-serves-this", notify="https://example.org/hook")
        assert server.get(f"/v1/jobs/{job.id}/notifications").json()["state"] == "waiting"
        env = {"BULKQA_SERVER": str(server.base_url)}
        done = shared.producer("notifications", job.id, env=shared.env | env)
        assert "https://example.org/hook is called" in done.stdout
        form = {"notify": "https://user:secret@example.org/"}
        refused = server.post("/v1/jobs", files={"file": ("a.csv", b"question|context\na?|b\n")}, data=form)
        assert (refused.status_code, refused.json()["code"]) == (422, "usage")
        assert "user:secret" not in refused.text
    write_rows(shared.folder / "in.csv", 5)
    refused_ = shared.producer("submit", "in.csv", "--notify", "localhost")
    assert (refused_.returncode, "--notify https://" in refused_.stderr) == (2, True)
