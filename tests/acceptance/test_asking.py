"""What can be asked while things run: who holds what, what became of a job; and what may be removed.

Real Redis, real worker processes, real signals.
"""

from __future__ import annotations

import json
import signal
import socket
from typing import Any

import psutil

from tests.acceptance.cluster import Cluster, child_of, until, write_rows


def asked(running: Cluster, *arguments: str) -> Any:
    """What a command tells as JSON."""
    done = running.producer(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def long_row(running: Cluster) -> str:
    """A file with one row that takes a while: thousands of windows."""
    context = "The mill was built in 1731 from oak. " * 20000
    path = running.folder / "long.csv"
    path.write_text(f"question|context\nWhen was the mill built?|{context}\n")
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
    job = running.submit(long_row(running))

    def holding() -> dict[str, Any] | None:
        return next((one for one in asked(running, "workers") if one["job"] == job), None)

    held = until(holding, "the worker to say what it holds")
    assert held["chunk"] == 0
    assert held["held_seconds"] >= 0
    assert held["held_since"] <= held["heartbeat"]
    process.send_signal(signal.SIGTERM)
    until(lambda: [one for one in running.queue.workers() if one.draining], "the worker to say that it stops")
    psutil.Process(process.pid).suspend()  # it stays as it is while a command looks
    child = child_of(process)
    child.suspend()
    assert "draining" in running.producer("workers").stdout
    child.resume()
    psutil.Process(process.pid).resume()
    assert process.wait(60) == 0
    assert running.queue.workers() == []


def test_a_worker_tells_how_many_rows_it_does(running: Cluster) -> None:
    running.worker()
    job = running.submit(str(write_rows(running.folder / "in.csv", 40)))
    assert running.finish(job)["status"] == "completed"
    rate = until(lambda: asked(running, "workers")[0]["rows_per_second"], "a rate")
    assert 0 < rate <= 40 / 0.1


def test_without_a_worker_that_is_told(running: Cluster) -> None:
    done = running.producer("workers")
    assert (done.returncode, done.stdout) == (0, "")
    assert "worker start" in done.stderr
    assert asked(running, "workers") == []
