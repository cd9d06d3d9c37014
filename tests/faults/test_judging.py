"""Verdicts that are given while the server is killed and the storage fails: what was answered is stored, and counts
once."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from contract.format import layout
from tests.acceptance.cluster import end, kill, until
from tests.faults.broker import FaultyCluster
from tests.s3 import free_port

pytestmark = pytest.mark.timeout(170)

HOOKS = str(Path(__file__).with_name("hooks"))
ROWS = 60
PEOPLE = ("ada", "bo", "cleo")


class Judging:
    """A server on a port of its own, and people who judge each row of their share twice: wrong, then right. They send
    a verdict again until it is answered."""

    def __init__(self, running: FaultyCluster, job: str) -> None:
        self.running, self.job, self.port = running, job, free_port()
        self.mark = running.folder / "failing"
        self.path = f"/v1/jobs/{job}/verdicts"
        self.stored: list[tuple[int, str, str]] = []  # what was answered with 201: row, verdict, person
        self.troubles: list[str] = []
        self.people: list[Future[None]] = []
        self._lock = threading.Lock()
        self.start()

    def start(self) -> None:
        log = self.running.folder / f"server-{len(self.troubles)}.log"
        hooked = {"PYTHONPATH": HOOKS, "FAULT": "eio", "FAULT_FILE": str(self.mark)}
        self.server = self.running.serve("--port", str(self.port), log=log, **hooked)
        self.running.resources.callback(kill, self.server)
        until(lambda: "\n" in log.read_text(), "the first line of the server")

    def person(self, number: int) -> None:
        with httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=20) as client:
            for row in range(number, ROWS, len(PEOPLE)):
                for verdict in ("wrong", "right"):
                    self._send(client, row, verdict, PEOPLE[number])

    def _send(self, client: httpx.Client, row: int, verdict: str, by: str) -> None:
        body = {"verdicts": [{"row": row, "verdict": verdict}], "by": by}
        while True:
            try:
                answer = client.post(self.path, json=body)
            except httpx.TransportError as error:
                trouble = type(error).__name__
            else:
                if answer.status_code == 201:
                    with self._lock:
                        self.stored.append((row, verdict, by))
                    return
                assert answer.status_code >= 500, answer.text
                trouble = str(answer.status_code)
            with self._lock:
                self.troubles.append(trouble)
            time.sleep(0.02)

    def after(self, count: int) -> None:
        """Once so many verdicts are stored. Raises what a person ran into."""

        def reached() -> bool:
            failed = [each for each in self.people if each.done() and each.exception()]
            return [each.result() for each in failed] != [] or len(self.stored) >= count

        until(reached, f"{count} verdicts")


def test_no_verdict_that_was_answered_is_lost_or_counts_twice(running: FaultyCluster) -> None:
    running.worker()
    job = running.submit_rows(ROWS)
    running.ends_well(job, ROWS)
    judging = Judging(running, job)
    with ThreadPoolExecutor(len(PEOPLE)) as pool:
        judging.people = [pool.submit(judging.person, number) for number in range(len(PEOPLE))]
        for count in (20, 70):
            judging.after(count)
            kill(judging.server)
            judging.start()
            judging.after(count + 15)
            before = len(judging.troubles)
            judging.mark.touch()
            until(lambda before=before: "503" in judging.troubles[before:], "the storage to refuse a verdict")  # type: ignore[misc]
            judging.mark.unlink()
        for each in judging.people:
            each.result(100)
    assert set(judging.troubles) > {"503"}, "some met a server that was gone, too"
    with httpx.Client(base_url=f"http://127.0.0.1:{judging.port}") as client:
        found = client.get(judging.path).json()["verdicts"]
    assert sorted((each["row"], each["verdict"], each["by"]) for each in found) == [
        (row, "right", PEOPLE[row % len(PEOPLE)]) for row in range(ROWS)
    ]
    stored = list(_objects(running, job))
    assert {(each["row"], each["verdict"], each["by"]) for each in stored} >= set(judging.stored)
    assert len(judging.stored) == 2 * ROWS
    assert end(judging.server) == 0
    shown = running.producer("verify", job, "--json")
    assert (shown.returncode, json.loads(shown.stdout)["problems"]) == (0, []), "predictions are as they were"


def _objects(running: FaultyCluster, job: str) -> Any:
    """Every verdict that is stored, also those that later ones replace."""
    for name in running.storage.list(layout.verdicts(job)):
        yield from json.loads(running.storage.read(f"{layout.verdicts(job)}/{name}"))
