"""What can be asked while things run: who holds what, what became of a job; and what may be removed.

Real Redis, real worker processes, real signals.
"""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import socket
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bulkqa import Client
from contract.errors import UnknownJob
from contract.ledger.reconcile import reconcile
from contract.settings import Settings
from producer.times import iso
from tests.acceptance.cluster import REPO, Cluster, child_of, kill, until, write_rows
from tests.making import finish, job_of
from tests.twins.queue import MemoryQueue

pytestmark = pytest.mark.timeout(240)


def asked(running: Cluster, *arguments: str) -> Any:
    """What a command tells as JSON."""
    done = running.producer(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def long_rows(running: Cluster, rows: int = 6, sentences: int = 500) -> str:
    """A file with a few rows that take a while: they have tens of windows for every thousand sentences."""
    context = "The mill was built in 1731 from oak. " * sentences
    path = running.folder / "long.csv"
    lines = "".join(f"When was mill {number} built?|{context}\n" for number in range(rows))
    path.write_text(f"question|context\n{lines}")
    return str(path)


# Workers


def test_a_worker_tells_what_it_is_and_that_it_is_idle(running: Cluster) -> None:
    process = running.worker(threads=1)
    running.ready()
    (worker,) = asked(running, "workers")
    assert worker["host"] == socket.gethostname()
    assert worker["name"].startswith(worker["host"])
    assert (worker["model"], worker["precision"], worker["threads"]) == ("minilm-l6-qa", "int8", 1)
    assert (worker["job"], worker["chunk"], worker["held_since"], worker["draining"]) == (None, None, None, False)
    assert 0 <= worker["age_seconds"] < 45
    used = child_of(process).memory_info().rss
    assert used / 4 < worker["rss"] < used * 4
    shown = running.producer("workers").stdout
    assert "idle" in shown
    assert worker["digest"] in shown


def test_a_worker_tells_which_chunk_it_holds_and_when_it_was_told_to_stop(running: Cluster) -> None:
    process = running.worker()
    job = running.submit(long_rows(running, rows=2, sentences=1500))  # in flight both, for seconds
    until(lambda: [one for one in running.queue.workers() if one.job == job], "the worker to say what it holds")
    (held,) = asked(running, "workers")
    assert (held["job"], held["chunk"]) == (job, 0)
    assert held["held_seconds"] >= 0
    assert held["held_since"] <= held["heartbeat"]
    process.send_signal(signal.SIGTERM)
    until(lambda: [one for one in running.queue.workers() if one.draining], "the worker to say that it stops")
    assert process.wait(60) == 0
    assert running.queue.workers() == []


def test_a_worker_tells_how_many_rows_it_does(running: Cluster) -> None:
    running.worker()
    job = running.submit(write_rows(running.folder / "in.csv", 40))
    assert running.finish(job)["status"] == "completed"
    until(lambda: running.queue.workers()[0].rows_per_second, "a rate")
    assert 0 < asked(running, "workers")[0]["rows_per_second"] <= 40 / 0.1


def test_without_a_worker_that_is_told(running: Cluster) -> None:
    done = running.producer("workers")
    assert (done.returncode, done.stdout) == (0, "")
    assert "worker start" in done.stderr
    assert asked(running, "workers") == []


# The log of a job


def ends(log: list[dict[str, Any]]) -> set[tuple[int, str]]:
    return {(event["chunk"], event["end"]) for event in log if event["event"] == "attempt"}


def test_the_log_tells_of_a_death_and_of_a_chunk_given_back(running: Cluster) -> None:
    first = running.worker(BULKQA_LEASE="2")
    job = running.submit(long_rows(running))
    until(lambda: running.attempts(job), "the first attempt")
    kill(first)
    second = running.worker()

    def again() -> bool:
        reconcile(job, running.storage, running.queue, Settings())  # as the sweeper does, once the lease ran out
        return running.attempts(job).get(0) == 2

    until(again, "the second attempt")
    second.send_signal(signal.SIGTERM)
    assert second.wait(60) == 0
    running.worker()
    assert running.finish(job)["status"] == "completed"
    log = asked(running, "logs", job)
    assert (log[0]["event"], log[-1]["event"]) == ("submitted", "published")
    assert ends(log) == {(0, "died"), (0, "given_back"), (0, "done")}
    assert log[0]["time"].endswith("Z")
    shown = running.producer("logs", job).stdout.splitlines()
    assert len(shown) == len(log)
    assert all(re.match(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d\d:\d\d  ", line) for line in shown)


def test_the_log_tells_which_rows_were_poison(running: Cluster) -> None:
    poison = str(REPO / "tests" / "acceptance" / "poison")
    running.worker(PYTHONPATH=f"{poison}:{REPO}", POISON="abort", BULKQA_LEASE="2")
    job = running.submit(write_rows(running.folder / "in.csv", 12, poison=(5,)))
    assert running.finish(job)["status"] == "completed_with_errors"
    log = asked(running, "logs", job)
    assert [event["rows"] for event in log if event["event"] == "poison_rows"] == [[5]]
    assert any(5 in event["rows"] for event in log if event["event"] == "quarantine")
    assert (0, "died") in ends(log)
    assert "poison row 5" in running.producer("logs", job).stdout


def test_the_log_sums_up_what_went_well_unless_all_is_asked_for(shared: Cluster) -> None:
    job = shared.submit(write_rows(shared.folder / "in.csv", 40), chunk_rows=10)
    shared.finish(job)
    assert [event["event"] for event in asked(shared, "logs", job)] == ["submitted", "attempts_done", "published"]
    assert ends(asked(shared, "logs", job, "-v")) == {(chunk, "done") for chunk in range(4)}


def test_the_log_of_a_job_is_told_while_redis_is_away(shared: Cluster) -> None:
    job = shared.submit(write_rows(shared.folder / "in.csv", 5))
    shared.finish(job)
    assert len(asked(shared, "logs", job, "--redis", "redis://127.0.0.1:1/0")) == 3


# Lists and metadata


def test_a_list_is_filtered_by_what_was_kept_with_the_jobs(running: Cluster) -> None:
    file = write_rows(running.folder / "in.csv", 5)
    night = running.submit(file, metadata={"team": "search", "when": "night"})
    day = running.submit(file, metadata={"team": "search"})
    other = running.submit(file)

    def listed(*flags: str) -> list[str]:
        return [one["id"] for one in asked(running, "list", *flags)]

    assert set(listed()) == {night, day, other}
    assert set(listed("--metadata", "team=search")) == {night, day}
    assert listed("--metadata", "team=search", "--metadata", "when=night") == [night]
    assert listed("--limit", "1") == [other]
    assert listed("--status", "completed") == []
    assert set(listed("--status", "queued", "--since", "1h")) == {night, day, other}
    assert listed("--since", "2100-01-01") == []
    status = asked(running, "status", night)
    assert status["metadata"] == {"team": "search", "when": "night"}
    assert status["created"] == iso(status["created_at"])
    for wrong in (("--status", "done"), ("--since", "soon"), ("--sort", "colour"), ("--metadata", "x")):
        done = running.producer("list", *wrong)
        assert done.returncode == 2
        assert wrong[1] in done.stderr


# Space


def test_a_job_is_removed_once_it_has_ended_or_was_cancelled(running: Cluster) -> None:
    job = running.submit(write_rows(running.folder / "in.csv", 20))
    refused = running.producer("delete", job)
    assert refused.returncode == 2
    assert "--cancel" in refused.stderr
    assert running.producer("delete", job, "--cancel").stdout.startswith(f"deleted job {job}, ")
    assert running.storage.list("jobs") == []
    gone = running.producer("delete", job)
    assert gone.returncode == 2
    assert job in gone.stderr
    running.worker()  # finds a message of the job that is gone
    running.ready()
    next_one = running.submit("in.csv")
    assert running.finish(next_one)["status"] == "completed"
    assert asked(running, "delete", next_one)["job"] == next_one
    assert running.storage.list("jobs") == []


def test_old_jobs_are_shown_first_and_removed_after_a_yes(running: Cluster, settings: Settings) -> None:
    job, under_way = job_of(running.storage, settings).id, job_of(running.storage, settings).id
    finish(job, running.storage, MemoryQueue(), settings)
    assert asked(running, "gc", "--older-than", "1d") == {"jobs": [], "deleted": [], "bytes": 0}
    shown = running.producer("gc", "--older-than", "0s")
    assert shown.returncode == 0
    assert job in shown.stdout
    assert under_way not in shown.stdout
    assert "nothing was deleted" in shown.stderr
    assert set(running.storage.list("jobs")) == {job, under_way}
    total = {one["job"]: one["total"] for one in asked(running, "du")["jobs"]}[job]
    found = asked(running, "gc", "--older-than", "0s", "--yes")
    assert (found["deleted"], found["bytes"]) == ([job], total)
    assert running.storage.list("jobs") == [under_way]
    assert asked(running, "gc", "--older-than", "0s", "--yes", "--unfinished")["deleted"] == [under_way]
    assert running.storage.list("jobs") == []


@pytest.mark.parametrize(("answer", "left"), [("n\n", 1), ("y\n", 0)])
def test_a_person_at_a_terminal_is_asked(running: Cluster, settings: Settings, answer: str, left: int) -> None:
    job = job_of(running.storage, settings).id
    finish(job, running.storage, MemoryQueue(), settings)
    ours, theirs = pty.openpty()
    try:
        os.write(ours, answer.encode())
        running.producer("gc", "--older-than", "0s", stdin=theirs, stderr=theirs, capture_output=False)
        assert "Delete them?" in os.read(ours, 10000).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert len(running.storage.list("jobs")) == left


def test_the_space_of_jobs_is_told(running: Cluster, settings: Settings) -> None:
    job = job_of(running.storage, settings).id
    finish(job, running.storage, MemoryQueue(), settings)
    found = asked(running, "du")
    (one,) = found["jobs"]
    assert one["total"] == found["total"] == sum(size for _, size in running.storage.sizes(f"jobs/{job}"))
    if Path(running.storage.url).exists():
        files = [path for path in Path(running.storage.url, "jobs", job).rglob("*") if path.is_file()]
        assert one["total"] == sum(path.stat().st_size for path in files)
    assert asked(running, "du", job)["jobs"] == [one]
    assert job in running.producer("du").stdout


def test_python_asks_and_removes_too(shared: Cluster) -> None:
    with closing(Client(storage=shared.storage.url, redis=shared.redis_url)) as client:
        (worker,) = client.workers()
        assert worker.model == "minilm-l6-qa"
        job = client.submit(write_rows(shared.folder / "in.csv", 5), model="nobody-serves-this")
        assert job in client.jobs()
        job.delete(cancel=True)
        assert job not in client.jobs()
        with pytest.raises(UnknownJob):
            job.delete()


# How much is said


def test_quietly_there_are_data_and_errors_only(shared: Cluster) -> None:
    before = shared.storage.list("jobs")
    write_rows(shared.folder / "in.csv", 5)
    submitted = shared.producer("submit", "in.csv", "-q", "--wait", "-o", "out.json")
    assert (submitted.returncode, submitted.stderr) == (0, "")
    job = submitted.stdout.strip()
    assert set(shared.storage.list("jobs")) - set(before) == {job}
    assert len(json.loads((shared.folder / "out.json").read_text())["predictions"]) == 5
    watched = shared.producer("status", job, "--watch", "-q")
    assert watched.stderr == ""
    assert "completed" in watched.stdout
    run = shared.producer("run", "in.csv", "-q", "-o", "out.json")
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    wrong = shared.producer("submit", "nowhere.csv", "-q")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "nowhere.csv" in wrong.stderr


def test_verbosely_there_is_more(shared: Cluster) -> None:
    write_rows(shared.folder / "in.csv", 20)
    done = shared.producer("submit", "in.csv", "-v", "--wait", "--chunk-rows", "5")
    assert done.returncode == 0
    assert shared.storage.url in done.stderr
    assert "4 of 4 done" in done.stderr
    both = shared.producer("submit", "in.csv", "-v", "-q")
    assert both.returncode == 2
    assert "-q and -v" in both.stderr
