"""Removing jobs, and the space that they take: what is ours goes, whatever the job's end; nothing else does."""

from __future__ import annotations

import pytest

from contract.errors import TimedOut, UnknownJob, UsageError
from contract.format import layout
from contract.format.job import Manifest
from contract.ledger import records
from contract.ledger.reconcile import Bound, reconcile, retire
from contract.settings import Settings
from contract.storage import Storage
from producer.jobs import usage
from producer.jobs.follow import completed
from producer.jobs.remove import delete, deleting, find_removable, old
from tests.making import csv, finish, finish_parts, job_of
from tests.twins.queue import MemoryQueue


@pytest.fixture
def queue() -> MemoryQueue:
    return MemoryQueue()


@pytest.fixture
def ended(storage: Storage, queue: MemoryQueue, settings: Settings) -> Manifest:
    manifest = job_of(storage, settings, csv(8, bad=(1,)))
    finish(manifest.id, storage, queue, settings)
    return manifest


def test_a_job_that_has_ended_is_removed_and_no_other(
    storage: Storage, queue: MemoryQueue, settings: Settings, ended: Manifest
):
    other = job_of(storage, settings)
    before = dict(storage.sizes(layout.folder(other.id)))
    assert delete(ended.id, storage, queue) > 0
    assert storage.list(layout.JOBS) == [other.id]
    assert dict(storage.sizes(layout.folder(other.id))) == before


def test_what_others_put_into_its_folder_stays(
    storage: Storage, queue: MemoryQueue, settings: Settings, ended: Manifest
):
    mine = f"{layout.folder(ended.id)}/parts/notes.txt"
    storage.create(mine, b"mine")
    delete(ended.id, storage, queue)
    assert [name for name, _ in storage.sizes(layout.folder(ended.id))] == ["parts/notes.txt"]
    with pytest.raises(UnknownJob):
        find_removable(storage, ended.id)


def test_a_folder_that_was_not_made_here_is_left_alone(storage: Storage, queue: MemoryQueue, settings: Settings):
    storage.create("jobs/photos/manifest.json", b"{}")
    storage.create("jobs/photos/report.json", b"{}")
    with pytest.raises(UnknownJob):
        delete("photos", storage, queue, force=True)
    assert storage.list("jobs/photos") == ["manifest.json", "report.json"]


def test_one_under_way_is_refused_and_told_what_to_do(storage: Storage, queue: MemoryQueue, settings: Settings):
    job = job_of(storage, settings).id
    before = dict(storage.sizes(layout.JOBS))
    with pytest.raises(UsageError) as caught:
        delete(job, storage, queue)
    assert "queued" in caught.value.message
    assert "--cancel" in (caught.value.remedy or "")
    assert dict(storage.sizes(layout.JOBS)) == before


@pytest.mark.parametrize("how", ["cancel", "force"])
def test_one_under_way_goes_if_that_is_asked_for_with_its_hints(
    storage: Storage, queue: MemoryQueue, settings: Settings, how: str
):
    manifest = job_of(storage, settings)
    reconcile(manifest.id, storage, queue, settings)
    assert queue.hints("tiny", manifest.id).sent
    delete(manifest.id, storage, queue, **{how: True})
    assert storage.list(layout.JOBS) == []
    assert queue.hints("tiny", manifest.id).sent == {}


@pytest.mark.parametrize("scored", ["all", "some", "none"])
def test_a_job_that_is_cancelled_and_removed_is_not_assembled_first(
    storage: Storage, queue: MemoryQueue, settings: Settings, scored: str, monkeypatch: pytest.MonkeyPatch
):
    """So that it takes no longer for a large one, whose outputs nobody publishes because no sweeper runs."""
    manifest = job_of(storage, settings, rows=30)
    finish_parts(storage, manifest, but={"all": (), "some": (1, 4), "none": tuple(range(10))}[scored])
    reconcile(manifest.id, storage, queue, settings, bound=Bound(assembled=1))
    created, create = [], storage.create
    monkeypatch.setattr(storage, "create", lambda key, *data: created.append(key) or create(key, *data))
    delete(manifest.id, storage, queue, cancel=True, timeout=10)
    assert set(created) == {layout.cancel(manifest.id), layout.report(manifest.id)}
    assert storage.list(layout.JOBS) == []
    assert queue.hints("tiny", manifest.id).sent == {}


@pytest.mark.parametrize("held", [0, -1], ids=["a chunk", "the publishing"])
def test_a_job_that_somebody_works_on_is_removed_when_that_has_ended(
    storage: Storage, queue: MemoryQueue, settings: Settings, held: int
):
    manifest = job_of(storage, settings)
    assert queue.lease(manifest.id, held, "worker", 60.0)
    with pytest.raises(TimedOut, match="is being cancelled"):
        delete(manifest.id, storage, queue, cancel=True, timeout=0.1)
    assert records.cancel_requested(storage, manifest.id), "which the worker sees"
    assert records.report(storage, manifest.id) is None
    steps = deleting(manifest.id, storage, queue, cancel=True)
    next(steps)
    queue.release(manifest.id, held, "worker")
    assert completed(steps) > 0
    assert storage.list(layout.JOBS) == []


def test_a_chunk_that_is_taken_while_a_job_is_retired_is_waited_for(
    storage: Storage, queue: MemoryQueue, settings: Settings
):
    manifest = job_of(storage, settings)
    assert not retire(manifest.id, storage, queue)
    assert queue.lease(manifest.id, 2, "worker", 60.0)
    assert not retire(manifest.id, storage, queue)
    queue.release(manifest.id, 2, "worker")
    assert retire(manifest.id, storage, queue)
    report = records.report(storage, manifest.id)
    assert report
    assert (report.status, report.request_counts.cancelled, report.request_counts.pending) == ("cancelled", 8, 0)


def test_a_damaged_job_is_removed_by_force(storage: Storage, queue: MemoryQueue, settings: Settings):
    job = job_of(storage, settings).id
    storage.replace(layout.manifest(job), b"{")
    delete(job, storage, queue, force=True)
    assert storage.list(layout.JOBS) == []


class Dies(Exception):
    pass


def test_a_removal_that_dies_anywhere_leaves_an_ended_job_or_none_and_may_be_made_again(
    storage: Storage, queue: MemoryQueue, settings: Settings, ended: Manifest, monkeypatch: pytest.MonkeyPatch
):
    """A job that came to life half removed would be scored again, or mixed with the next one of its key."""
    steps = len(list(storage.sizes(layout.folder(ended.id))))
    remove = storage.delete
    for _ in range(steps - 1):

        def once(key: str) -> None:
            remove(key)
            raise Dies

        monkeypatch.setattr(storage, "delete", once)
        with pytest.raises(Dies):
            delete(ended.id, storage, queue, force=True)
        monkeypatch.undo()
        left = [name for name, _ in storage.sizes(layout.folder(ended.id))]
        assert "manifest.json" in left
        assert "report.json" in left or left == ["manifest.json"]
    delete(ended.id, storage, queue, force=True)
    assert list(storage.sizes(layout.JOBS)) == []


def test_what_is_left_without_a_manifest_goes_but_for_a_submission_under_way(
    storage: Storage, queue: MemoryQueue, settings: Settings
):
    job, under_way = "20260101-000000-00000000", "20260101-000000-00000001"
    storage.create(layout.part(job, 0), b"late")
    storage.create(layout.chunk(under_way, 0), b"early")
    assert find_removable(storage, job) == job
    delete(job, storage, queue)
    with pytest.raises(UnknownJob):
        find_removable(storage, under_way)
    assert storage.list(layout.JOBS) == [under_way]


def test_old_jobs_are_those_that_ended_before(storage: Storage, settings: Settings, ended: Manifest):
    report = records.report(storage, ended.id)
    assert report is not None
    assert report.finished_at is not None
    assert old(storage, ended.id, report.finished_at) is None
    found = old(storage, ended.id, report.finished_at + 1)
    assert found is not None
    assert (found.status, found.bytes) == (report.status, usage.of(storage, ended.id).total)


def test_a_job_that_never_ended_is_old_only_if_that_is_asked_for(storage: Storage, settings: Settings):
    manifest = job_of(storage, settings)
    after = manifest.created_at + 1
    assert old(storage, manifest.id, after) is None
    assert old(storage, manifest.id, manifest.created_at, unfinished=True) is None
    found = old(storage, manifest.id, after, unfinished=True)
    assert found is not None
    assert found.status == "unfinished"


def test_the_space_of_a_job_adds_up_by_kind(storage: Storage, settings: Settings, ended: Manifest):
    storage.create(f"{layout.folder(ended.id)}/notes.txt", b"12345")
    storage.create("jobs/photos/1.jpg", b"1234567")
    other = job_of(storage, settings)
    found = {one.job: one for one in usage.of_all(storage)}
    assert set(found) == {ended.id, other.id}
    one = found[ended.id]
    assert one.total == sum(size for _, size in storage.sizes(layout.folder(ended.id)))
    assert one.parts == sum(size for _, size in storage.sizes(layout.parts(ended.id)))
    assert one.chunks == sum(size for _, size in storage.sizes(layout.chunks(ended.id)))
    assert one.outputs == sum(
        len(storage.read(key(ended.id))) for key in (layout.predictions, layout.errors, layout.report)
    )
    assert one.other == 5
    assert one == usage.of(storage, ended.id)
    assert (found[other.id].parts, found[other.id].outputs, found[other.id].submitted) == (0, 0, True)


@pytest.mark.parametrize("moment", ["before its notes are deleted", "after the first of them", "after both"])
def test_what_a_new_job_of_the_same_key_is_owed_is_not_removed_with_the_old_one(
    storage: Storage, queue: MemoryQueue, settings: Settings, monkeypatch: pytest.MonkeyPatch, moment: str
):
    asked = {"key": "k", "notify": "https://example.org/hook", "expire": 3600.0}
    old_job = job_of(storage, settings, csv(2), **asked)
    finish(old_job.id, storage, queue, settings)
    notes = [layout.owed(old_job.id), layout.expiring(old_job.id)]
    last = {"before its notes are deleted": layout.manifest(old_job.id), "after the first of them": notes[0]}
    remove = storage.delete

    def resubmitting(key: str) -> None:
        remove(key)
        if key == last.get(moment, notes[1]):
            assert job_of(storage, settings, csv(2), **asked).id == old_job.id

    monkeypatch.setattr(storage, "delete", resubmitting)
    delete(old_job.id, storage, queue)
    monkeypatch.undo()
    assert all(storage.exists(note) for note in notes)
    assert storage.exists(layout.manifest(old_job.id))
