"""After a forgery (`forgery`) a job of three rows ends, and no worker was restarted."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import redis

from contract import SHIPPED_MODEL
from contract.format import layout
from contract.ledger.reconcile import reconcile
from contract.settings import Settings
from producer.jobs.submit import submit
from producer.request import Request
from tests.acceptance.cluster import check, child_of, until, write_rows
from tests.faults.broker import FaultyCluster, faulty_cluster
from tests.faults.forgery import Forgery, Target, forgeries

#: A job of three rows ends within so many seconds, whatever was forged.
PATIENCE = 30.0


class Gate:
    """One worker, and the same of it after every forgery."""

    def __init__(self, running: FaultyCluster) -> None:
        self.running = running
        running.worker()
        running.ready()
        self.digest = running.queue.workers()[0].digest
        self.processes = self._processes()
        self.file = write_rows(running.folder / "three.csv", 3)
        self.settings = Settings(storage_url=running.env["BULKQA_STORAGE_URL"], lease=4.0, chunk_rows=2)

    def try_one(self, forgery: Forgery) -> float:
        """Seconds until the job ended. Raises AssertionError if it did not, or if a worker was restarted."""
        job = self.forge(forgery)
        started = time.monotonic()
        until(lambda: self._ended(job), f"a job to end after: {forgery.name}", PATIENCE)
        seconds = time.monotonic() - started
        check(self.running, job, 3)
        assert self._processes() == self.processes, f"a worker was restarted by: {forgery.name}"
        return seconds

    def forge(self, forgery: Forgery, *, mended: bool = True) -> str:
        """The job for which it was done, of which nothing was sent yet. `mended`: a worker is there."""
        with self.file.open("rb") as file:
            job = submit(file, self.running.storage, self.settings, Request(model=SHIPPED_MODEL)).manifest.id
        with redis.Redis(port=self.running.broker.port) as client:
            target = Target(client, self.running.prefix, SHIPPED_MODEL, self.digest, job)
            # The one before may have made the key of another type, which the heartbeat of a worker mends.
            until(lambda: _applied(forgery, target) or not mended, f"room for: {forgery.name}")
        return job

    def _ended(self, job: str) -> bool:
        reconcile(job, self.running.storage, self.running.queue, self.settings)
        time.sleep(0.05)
        return self.running.storage.exists(layout.report(job))

    def _processes(self) -> tuple[int, int]:
        worker = self.running.workers[0]
        assert worker.poll() is None, self.running.logs()
        return worker.pid, child_of(worker).pid


def _applied(forgery: Forgery, target: Target) -> bool:
    try:
        forgery.apply(target)
    except redis.ResponseError:
        return False
    return True


def try_all(seed: int) -> None:
    """Every kind, one after another, and which took longest."""
    with tempfile.TemporaryDirectory(prefix="bulkqa-gate-") as name, faulty_cluster(Path(name)) as running:
        gate = Gate(running)
        took = sorted(((gate.try_one(kind), kind.name) for kind in forgeries(seed)), reverse=True)
    print(f"{len(took)} forgeries: after each a job of three rows ended, and no worker was restarted; the slowest:")
    print("\n".join(f"  {seconds:6.2f} s  {name}" for seconds, name in took[:5]))
