"""What the sweeper removes: chunks that no manifest speaks of, once nothing came to them for long. Nothing else."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import pytest

from contract.format import layout
from contract.health import MAX_AGE
from contract.ledger import records
from contract.ledger.stored import StoredJob, load_manifest
from contract.ledger.sweeper import ABANDONED, remove_abandoned, remove_expired, sweep_jobs
from contract.removal import remove, write_note
from contract.settings import Settings
from contract.storage import Storage
from contract.storage.local import LocalStorage
from contract.storage.protocol import Data
from tests.acceptance.cluster import until
from tests.making import finish_parts, job_of, predictions
from tests.twins.queue import MemoryQueue
from tests.twins.storage import MemoryStorage


@pytest.fixture(params=["local", "memory", "s3"])
def storage(request: pytest.FixtureRequest) -> Storage:
    return MemoryStorage() if request.param == "memory" else request.getfixturevalue(f"{request.param}_storage")


def half_made(storage: Storage, settings: Settings, key: str | None = None) -> str:
    """A submission that was killed just before its manifest; its job."""
    job = job_of(storage, settings, key=key).id
    storage.delete(layout.manifest(job))
    return job


@pytest.mark.parametrize("key", [None, "k"])
def test_chunks_of_a_submission_that_died_go_once_they_are_old(storage: Storage, settings: Settings, key: str | None):
    job = half_made(storage, settings, key)
    assert remove_abandoned(storage) == []
    assert remove_abandoned(storage, older_than=0.0) == [layout.folder(job)]
    assert storage.list(layout.JOBS) == []


def test_an_attempt_that_was_recorded_while_its_job_was_removed_goes_once_it_is_old(
    storage: Storage, settings: Settings
):
    job = job_of(storage, settings).id
    remove(job, storage, MemoryQueue())
    storage.create(layout.attempt(job, 0, 1), b"{}")
    assert remove_abandoned(storage) == []
    assert remove_abandoned(storage, older_than=0.0) == [layout.folder(job)]
    storage.create(layout.attempt(job, 0, 1), b"{}")
    storage.create(layout.part(job, 0), b"{}")  # answers are for people to look at
    assert remove_abandoned(storage, older_than=0.0) == []


def test_a_job_is_never_removed(storage: Storage, settings: Settings):
    jobs = {key: job_of(storage, settings, key=key).id for key in (None, "k")}
    assert remove_abandoned(storage, older_than=0.0) == []
    for job in jobs.values():
        finish_parts(storage, load_manifest(storage, job))
    sweep_jobs(storage, MemoryQueue(), settings, stopped=threading.Event(), once=True)
    assert [len(predictions(storage, job)) for job in jobs.values()] == [8, 8]


class SlowStorage(MemoryStorage):
    """Each part takes longer than a process may be silent."""

    health: Path

    def create(self, key: str, data: Data, *, durable: bool = True) -> bool:
        if layout.kind_of(key.partition("/")[2].partition("/")[2]) == "parts":
            assert time.time() - self.health.stat().st_mtime < MAX_AGE
            os.utime(self.health, (0.0, 0.0))
        return super().create(key, data, durable=durable)


def test_a_sweeper_that_closes_a_large_cancelled_job_is_healthy_all_the_time(settings: Settings, tmp_path: Path):
    storage = SlowStorage()
    job = job_of(storage, settings, rows=30).id
    records.request_cancel(storage, job)
    storage.health = tmp_path / "health"
    settings = settings.model_copy(update={"health_file": storage.health})
    sweep_jobs(storage, MemoryQueue(), settings, stopped=threading.Event(), once=True)
    assert records.report(storage, job).request_counts.cancelled == 30


def test_a_key_is_used_again_once_its_job_is_gone(storage: Storage, settings: Settings):
    """Between two rounds: the sweeper believes what storage says, and not what it saw before."""
    stopped = threading.Event()
    queue = MemoryQueue()
    sweeper = threading.Thread(target=sweep_jobs, args=(storage, queue, settings), kwargs={"stopped": stopped})
    job = job_of(storage, settings, key="k").id
    finish_parts(storage, load_manifest(storage, job))
    sweeper.start()
    try:
        until(lambda: storage.exists(layout.report(job)), "the job to end")
        storage.discard(layout.folder(job))
        queue.wipe()
        assert job_of(storage, settings, key="k").id == job
        until(lambda: queue.hints("tiny", job).waiting, "its messages")
        finish_parts(storage, load_manifest(storage, job))
        until(lambda: storage.exists(layout.report(job)), "the job to end again")
    finally:
        stopped.set()
        sweeper.join()


def test_one_bad_job_keeps_no_other_waiting(local_storage: LocalStorage, settings: Settings, tmp_path: Path):
    """Damage that is foreseen, damage that is not, and a link, each under a name before that of a job that is well."""
    jobs = sorted(job_of(local_storage, settings, key=key).id for key in "abc")
    local_storage.create(layout.model(jobs[0]), b'{"name": "ti')
    manifest = json.loads(local_storage.read(layout.manifest(jobs[1])))
    local_storage.replace(layout.manifest(jobs[1]), json.dumps(manifest | {"chunks": "three"}).encode())
    for name in ("a-link", "20261122-174512-3f9ac2d1"):
        (local_storage.root / layout.JOBS / name).symlink_to(tmp_path)
    finish_parts(local_storage, load_manifest(local_storage, jobs[2]))

    sweep_jobs(local_storage, MemoryQueue(), settings, stopped=threading.Event(), once=True)

    assert records.jobs(local_storage) == jobs
    assert len(predictions(local_storage, jobs[2])) == 8


def test_chunks_of_others_with_the_key_of_a_job_go_too(storage: Storage, settings: Settings):
    half_made(storage, settings, "k")
    manifest = job_of(storage, settings, key="k")
    others = [name for name in storage.list(layout.folder(manifest.id)) if layout.is_chunks(name)]
    others.remove(manifest.chunks_folder)
    assert remove_abandoned(storage, older_than=0.0) == [layout.chunks(manifest.id, name) for name in others]
    assert len(StoredJob.open(storage, manifest.id).rows(0)) == 3


@pytest.mark.parametrize(
    "key",
    [
        "jobs/backup/chunks/000000.parquet",
        "jobs/etl-2024/part-0.parquet",
        "jobs/20261122-174512-3f9ac2d1/notes.txt",
        "jobs/20261122-174512-3f9ac2d1/parts/000000.jsonl",
        "jobs/key-monday/chunks/000000.parquet",
        "jobs/Not one of ours/chunks/000000.parquet",
    ],
)
def test_what_is_not_a_submission_of_ours_is_left_alone(storage: Storage, key: str):
    """Of a bucket that is shared, or a job whose manifest somebody removed."""
    storage.create(key, b"x")
    assert remove_abandoned(storage, older_than=0.0) == []
    assert storage.exists(key)


def test_a_job_of_another_version_keeps_what_it_has(storage: Storage, settings: Settings):
    half_made(storage, settings, "k")
    manifest = job_of(storage, settings, key="k")
    storage.replace(layout.manifest(manifest.id), b'{"schema_version": 99}')
    assert remove_abandoned(storage, older_than=0.0) == []


def test_a_submission_that_is_slow_is_judged_by_its_newest_file(local_storage: LocalStorage, settings: Settings):
    job = half_made(local_storage, settings)
    root = local_storage.root / layout.folder(job)
    paths = [*root.rglob("*"), root]
    new = root / "chunks/.tmp-000003.parquet-x"
    new.write_bytes(b"half")
    for path in paths:
        os.utime(path, (time.time() - ABANDONED - 60,) * 2)
    assert remove_abandoned(local_storage) == []

    os.utime(new, (time.time() - ABANDONED - 60,) * 2)
    assert remove_abandoned(local_storage) == [layout.folder(job)]
    assert list((local_storage.root / layout.JOBS).iterdir()) == []


def test_the_sweeper_removes_it_in_its_round(local_storage: LocalStorage, settings: Settings):
    job = half_made(local_storage, settings)
    root = local_storage.root / layout.folder(job)
    for path in [*root.rglob("*"), root]:
        os.utime(path, (time.time() - ABANDONED - 60,) * 2)
    sweep_jobs(local_storage, MemoryQueue(), settings, stopped=threading.Event(), once=True)
    assert not root.exists()


# Jobs that are to be kept for some time only

DAY = 24 * 3600.0


@pytest.mark.slow
def test_a_job_is_removed_so_long_after_its_end_and_no_other(storage: Storage, settings: Settings):
    queue = MemoryQueue()
    short, long, forever, running = (
        job_of(storage, settings, expire=expire).id for expire in (DAY, 30 * DAY, None, DAY)
    )
    for job in (short, long, forever):
        finish_parts(storage, load_manifest(storage, job))
    sweep_jobs(storage, queue, settings, stopped=threading.Event(), once=True)
    report = records.report(storage, short)
    assert report
    assert report.finished_at
    assert report.expires_at == report.finished_at + DAY
    kept: dict[str, float] = {}
    assert remove_expired(storage, queue, report.finished_at + DAY - 5, kept) == []
    assert set(kept) == {short, long}
    assert remove_expired(storage, queue, report.finished_at + DAY + 5, kept) == [short]
    assert records.jobs(storage) == sorted([long, forever, running])
    assert not list(storage.sizes(layout.folder(short)))
    assert remove_expired(storage, queue, report.finished_at + 31 * DAY, kept) == [long]
    assert storage.list(layout.EXPIRING) == [running]
    assert records.status(storage, queue, forever).expires_at is None


def test_what_others_put_into_a_jobs_folder_stays_when_it_is_removed(local_storage: LocalStorage, settings: Settings):
    job = job_of(local_storage, settings, expire=DAY).id
    finish_parts(local_storage, load_manifest(local_storage, job))
    sweep_jobs(local_storage, MemoryQueue(), settings, stopped=threading.Event(), once=True)
    note = local_storage.root / layout.folder(job) / "notes.txt"
    note.write_text("mine")
    assert remove_expired(local_storage, MemoryQueue(), time.time() + 2 * DAY, {}) == [job]
    assert note.read_text() == "mine"
    assert [one.name for one in note.parent.iterdir()] == ["notes.txt"]


def test_what_was_noted_of_no_job_is_forgotten_after_a_day(storage: Storage, settings: Settings):
    job = half_made(storage, settings)
    write_note(storage, layout.expiring(job), time.time())
    assert remove_expired(storage, MemoryQueue(), time.time(), {}) == []
    assert storage.list(layout.EXPIRING) == [job], "a submission may be under way"
    assert remove_expired(storage, MemoryQueue(), time.time() + 2 * DAY, {}) == []
    assert storage.list(layout.EXPIRING) == []


def test_a_damaged_job_stays_and_keeps_no_other(local_storage: LocalStorage, settings: Settings):
    jobs = [job_of(local_storage, settings, expire=DAY).id for _ in range(2)]
    for job in jobs:
        finish_parts(local_storage, load_manifest(local_storage, job))
    sweep_jobs(local_storage, MemoryQueue(), settings, stopped=threading.Event(), once=True)
    (local_storage.root / layout.manifest(jobs[0])).write_text("{")
    assert remove_expired(local_storage, MemoryQueue(), time.time() + 2 * DAY, {}) == [jobs[1]]
    assert (local_storage.root / layout.predictions(jobs[0])).exists()


def test_a_removal_that_died_before_its_last_step_is_finished(storage: Storage, settings: Settings):
    job, whole = (job_of(storage, settings, expire=30 * DAY).id for _ in range(2))
    for name, _ in list(storage.sizes(layout.folder(job))):
        if f"{layout.folder(job)}/{name}" != layout.manifest(job):
            storage.delete(f"{layout.folder(job)}/{name}")
    assert remove_expired(storage, MemoryQueue(), time.time(), {}) == [job]
    assert records.jobs(storage) == [whole]
