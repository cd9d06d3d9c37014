"""Storage that is full, read-only or failing, and parts that are altered while their job runs."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from contract.format import layout
from contract.ledger import records
from tests.acceptance.cluster import until, write_rows
from tests.faults.broker import FaultyCluster, faulty_cluster

pytestmark = pytest.mark.timeout(170)

HOOKS = str(Path(__file__).with_name("hooks"))


@pytest.fixture
def small(tmp_path: Path) -> Iterator[FaultyCluster]:
    """A cluster whose storage is a file system of 2 MiB."""
    folder = tmp_path / "storage"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("this user cannot mount a file system")
    try:
        with faulty_cluster(tmp_path) as running:
            yield running
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_that_is_full_for_a_while(small: FaultyCluster) -> None:
    worker = small.worker()
    job = small.submit_rows(400)
    small.await_parts(job, 1)
    os.killpg(worker.pid, signal.SIGSTOP)  # the disk is to be full before it is done
    filler = small.folder / "storage" / "filler"

    def said() -> bool:
        with suppress(OSError), filler.open("ab", buffering=0) as file:  # of what was full, something is removed again
            while True:
                file.write(b"x" * 4096)
        return "No space left on device" in small.log()

    said()
    os.killpg(worker.pid, signal.SIGCONT)
    until(said, "the worker to say so")
    until(lambda: _reason(small, job) == "storage_refuses", "the job to say so")
    filler.unlink()
    small.ends_well(job, 400)
    assert small.workers[0].poll() is None


def test_a_submission_to_a_full_disk_makes_no_job(small: FaultyCluster) -> None:
    file = write_rows(small.folder / "rows.csv", 400)
    small.submit(file)  # which makes what a storage has besides jobs
    before = _files(small)
    with suppress(OSError), (small.folder / "storage" / "filler").open("ab", buffering=0) as filler:
        while True:
            filler.write(b"x" * 4096)
    done = small.producer("submit", str(file))
    assert (done.returncode, done.stdout) == (6, "")
    assert "nothing was submitted" in done.stderr
    assert "Make room, then submit again." in done.stderr
    assert _files(small) - before == {small.folder / "storage" / "filler"}
    assert len(records.jobs(small.storage)) == 1


def _files(running: FaultyCluster) -> set[Path]:
    return {path for path in (running.folder / "storage").rglob("*") if path.is_file()}


def _reason(running: FaultyCluster, job: str) -> str | None:
    found = records.status(running.storage, running.queue, job).reason
    return found and found.code


def test_a_disk_that_is_read_only_for_a_while(small: FaultyCluster) -> None:
    small.worker()
    job = small.submit_rows()
    small.await_parts(job, 1)
    folder = str(small.folder / "storage")

    def remounted(how: str) -> bool:  # refused as busy while a file is open for writing
        command = ["mount", "-o", f"remount,{how}", folder]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0

    until(lambda: remounted("ro"), "a moment without a writer")
    until(lambda: "Read-only file system" in small.log(), "the worker to say so")
    until(lambda: remounted("rw"), "the way back")
    small.ends_well(job)


def test_a_disk_that_fails_for_a_while(running: FaultyCluster) -> None:
    mark = running.folder / "failing"
    running.worker(PYTHONPATH=HOOKS, FAULT="eio", FAULT_FILE=str(mark))
    job = running.submit_rows()
    running.await_parts(job, 1)
    mark.touch()
    until(lambda: "Input/output error" in running.log(), "the worker to say so")
    mark.unlink()
    running.ends_well(job)


def test_a_storage_slower_than_a_row_may_be_kills_nothing(running: FaultyCluster) -> None:
    mark = running.folder / "late"
    running.worker(PYTHONPATH=HOOKS, FAULT="late", FAULT_FILE=str(mark), BULKQA_STALL="4")
    job = running.submit_rows()
    running.ends_well(job)
    assert mark.exists()
    assert set(running.attempts(job).values()) == {1}


@pytest.mark.parametrize("how", ["truncated", "altered", "emptied", "removed"])
def test_a_part_that_is_damaged_while_its_job_runs_is_scored_again(running: FaultyCluster, how: str) -> None:
    running.worker()
    job = running.submit_rows()
    path = running.folder / "storage" / layout.part(job, 0)
    until(path.exists, "the first part")
    os.killpg(running.workers[0].pid, signal.SIGSTOP)  # else the job may end first, with the part as it was
    assert running.parts(job) < 6
    data = path.read_bytes()
    if how == "removed":
        path.unlink()
    else:
        path.write_bytes({"truncated": data[:-100], "altered": data.replace(b"1000", b"1999", 1), "emptied": b""}[how])
    os.killpg(running.workers[0].pid, signal.SIGCONT)
    running.ends_well(job)
    assert running.log().count("chunk 0: 15 rows") == 2


def test_what_dead_writers_left_is_gone_in_the_end(running: FaultyCluster) -> None:
    job = running.submit_rows()
    folder = running.folder / "storage" / layout.parts(job)
    folder.mkdir(exist_ok=True)
    for number in range(3):
        (folder / f".tmp-00000{number}.jsonl-{number}").write_bytes(b"half")
    running.worker()
    running.ends_well(job)
