"""A job's records in storage: what is read of them, and what is told where they are damaged."""

from __future__ import annotations

import json
import os
import threading
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from contract.errors import BulkqaError, UnknownJob
from contract.format import codec, layout, part
from contract.format.job import ModelRef, RowError
from contract.ledger import counting, records
from contract.ledger.progress import Progress
from contract.ledger.quarantine import InFlight
from contract.ledger.reconcile import reconcile
from contract.ledger.stored import Damage, StoredJob, load_manifest
from contract.ledger.sweeper import sweep_jobs
from contract.ledger.tally import Tally
from contract.queue import WorkerInfo
from contract.queue.redis import RedisQueue
from contract.settings import Settings
from contract.storage import Storage
from contract.storage.local import LocalStorage
from tests.making import Hand, csv, finish, finish_parts, job_of, part_of, submitted_rows
from tests.twins.queue import MemoryQueue


def test_a_job_that_is_not_there_is_unknown(storage: Storage):
    for job in ("nothing", "../x"):
        with pytest.raises(UnknownJob):
            records.status(storage, None, job)


@pytest.mark.parametrize(
    "data", [b"", b"{", b'{"schema_version": 1}', b'"text"', b'{"schema_version": 1, "source": 5}']
)
def test_a_damaged_manifest_is_told_not_a_traceback(storage: Storage, data: bytes):
    storage.create(layout.manifest("a"), data)
    with pytest.raises(BulkqaError, match="the manifest of job a is damaged"):
        load_manifest(storage, "a")


@pytest.mark.parametrize("data", [b"", b'{"name": "ti', b"{}", b"[]"])
def test_a_damaged_model_is_told_with_the_way_out(storage: Storage, settings: Settings, data: bytes):
    manifest = job_of(storage, settings)
    storage.create(layout.model(manifest.id), data)
    for look in (records.status, lambda *of: reconcile(of[2], storage, MemoryQueue(), settings)):
        with pytest.raises(BulkqaError, match=r"the pinned model of job .* is damaged") as caught:
            look(storage, None, manifest.id)
        assert storage.locate(layout.model(manifest.id)) in (caught.value.remedy or "")


@pytest.mark.parametrize("data", [b"", b"{", b"{}", b"[]", b'{"request_counts": 1}'])
def test_a_damaged_report_is_told_with_the_way_out(storage: Storage, settings: Settings, data: bytes):
    manifest = job_of(storage, settings)
    finish_parts(storage, manifest)
    reconcile(manifest.id, storage, MemoryQueue(), settings)
    whole = records.report(storage, manifest.id)
    storage.replace(layout.report(manifest.id), data)
    with pytest.raises(BulkqaError, match=r"the report of job .* is damaged") as caught:
        records.status(storage, None, manifest.id)
    assert f"producer repair {manifest.id}" in (caught.value.remedy or "")

    storage.delete(layout.report(manifest.id))
    assert reconcile(manifest.id, storage, MemoryQueue(), settings).finished
    again = records.report(storage, manifest.id)
    assert again is not None
    assert whole is not None
    assert (again.outputs, again.request_counts, again.status) == (whole.outputs, whole.request_counts, whole.status)


def test_an_index_that_was_altered_is_refused(storage: Storage, settings: Settings):
    manifest = job_of(storage, settings)
    assert sum(StoredJob.open(storage, manifest.id).index.rows) == manifest.rows == 8
    storage.replace(layout.index(manifest.id), storage.read(layout.index(manifest.id)) + b" ")
    with pytest.raises(BulkqaError, match="altered or removed"):
        StoredJob.open(storage, manifest.id)
    storage.delete(layout.index(manifest.id))
    with pytest.raises(BulkqaError, match="altered or removed"):
        StoredJob.open(storage, manifest.id)


def test_the_rows_of_a_chunk_are_those_that_were_submitted(storage: Storage, settings: Settings):
    manifest = job_of(storage, settings, csv(8, bad=(4,)))
    rows = submitted_rows(storage, manifest.id)
    assert [row.row for row in rows] == list(range(8))
    assert [row.id for row in rows] == [f"id-{n}" for n in range(8)]
    assert [row.row for row in rows if row.error] == [4]
    stored = StoredJob.open(storage, manifest.id)
    assert stored.first_rows == [0, 3, 6, 8]
    assert [stored.chunk_of(row) for row in range(9)] == [0, 0, 0, 1, 1, 1, 2, 2, 3]


@pytest.mark.parametrize("how", ["missing", "altered"])
def test_a_damaged_chunk_is_as_many_rows_that_say_so(storage: Storage, settings: Settings, how: str):
    manifest = job_of(storage, settings)
    stored = StoredJob.open(storage, manifest.id)
    data = storage.read(layout.chunk(manifest.id, 1))
    storage.delete(layout.chunk(manifest.id, 1))
    if how == "altered":
        storage.create(layout.chunk(manifest.id, 1), data[:-1] + b"x")

    damage = stored.chunk(1)
    assert isinstance(damage, Damage)
    assert how in damage.reason
    assert damage.missing == (how == "missing")
    rows = stored.rows(1)
    assert [row.row for row in rows] == [3, 4, 5]
    assert {row.error.code for row in rows if row.error} == {"chunk_damaged"}


def test_rows_that_were_rejected_keep_their_own_error_when_a_chunk_is_given_up(storage: Storage, settings: Settings):
    manifest = job_of(storage, settings, csv(3, bad=(1,)))
    stored = StoredJob.open(storage, manifest.id)
    assert stored.fail(0, RowError("worker_crash", "m"), 1)
    assert not stored.fail(0, RowError("job_cancelled", "m"), 0), "it has its part"
    assert counting.footers(storage, manifest.id, {})[0].codes == {"empty_question": 1, "worker_crash": 2}


def test_parts_are_read_once_and_a_damaged_one_is_not_counted(storage: Storage, settings: Settings):
    manifest = job_of(storage, settings)
    known: dict = {}
    storage.create(layout.part(manifest.id, 0), part_of(storage, manifest, 0))
    storage.create(layout.part(manifest.id, 2), part_of(storage, manifest, 2)[:-9])

    assert set(counting.footers(storage, manifest.id, known)) == {0}
    assert counting.done(storage, manifest.id) == {0, 2}
    status = records.status(storage, None, manifest.id, known)
    assert (status.status, status.request_counts.pending, status.committed_rows) == ("running", 5, 3)

    storage.delete(layout.part(manifest.id, 0))
    assert counting.footers(storage, manifest.id, known) == {}, "a part that was taken away is forgotten"


def test_attempts_are_told_by_how_they_ended(storage: Storage):
    for key in (
        layout.attempt("a", 7, 1),
        layout.attempt("a", 7, 2),
        layout.attempt("a", 7, 3),
        layout.attempt("a", 9, 1),
    ):
        storage.create(key, b"{}")
    storage.create(layout.released("a", 7, 2), b"")
    storage.create(layout.in_flight("a", 7, 3), b"{}")
    storage.create(f"{layout.attempts('a')}/stranger", b"")

    tries = records.attempts(storage, "a")

    assert set(tries) == {7, 9}
    assert tries[7].dead == (1, 3)
    assert tries[7].released == {2}
    assert records.attempts(storage, "none") == {}


def test_the_first_model_is_the_one_of_the_job(storage: Storage):
    one, two = ModelRef("m", "d1", "int8"), ModelRef("m", "d2", "fp32")
    assert records.model(storage, "a") is None
    assert records.pin_model(storage, "a", one) == one
    assert records.pin_model(storage, "a", two) == one
    assert records.model(storage, "a") == one


def test_jobs_are_listed_by_name_and_strange_folders_are_passed_over(storage: Storage, settings: Settings):
    assert records.jobs(storage) == []
    ids = [job_of(storage, settings, key=name).id for name in "ba"]
    storage.create("jobs/Strange Folder/manifest.json", b"{}")
    storage.create("jobs/no-manifest/chunks/000000.parquet", b"")
    assert records.jobs(storage) == sorted(ids)


def test_cancel_may_be_asked_twice(storage: Storage):
    assert not records.cancel_requested(storage, "a")
    records.request_cancel(storage, "a")
    records.request_cancel(storage, "a")
    assert records.cancel_requested(storage, "a")


def test_status_follows_a_job_from_its_first_chunk_to_its_last(
    storage: Storage, memory_queue: MemoryQueue, settings: Settings
):
    manifest = job_of(storage, settings, csv(8, bad=(0,), silent=(1,), odd=(2,)))
    hand = Hand(storage, memory_queue, settings)
    hand.announce()

    def status():
        found = records.status(storage, memory_queue, manifest.id)
        counts = found.request_counts
        assert (
            counts.total == counts.answered + counts.no_answer + counts.failed + counts.cancelled + counts.pending == 8
        )
        json.dumps(codec.values(found), allow_nan=False)
        return found

    assert status().status == "queued"
    assert hand.begin(manifest.id, 0) == 1
    assert (status().status, status().chunks.running, status().attempts) == ("running", 1, 1)
    hand.end(manifest.id, 0)
    assert (status().status, status().chunks.done, status().chunks.running) == ("running", 1, 0)
    assert (status().request_counts.failed, status().request_counts.no_answer) == (2, 1)
    assert status().workers == ("hand",)
    hand.run()
    assert (status().status, status().reason.code) == ("completed_with_errors", "some_rows_failed")
    assert status() == status()


def test_status_works_without_redis_and_says_so(storage: Storage, settings: Settings):
    manifest = job_of(storage, settings)
    storage.create(layout.part(manifest.id, 0), part_of(storage, manifest, 0))
    queue = RedisQueue("redis://127.0.0.1:1/0", "test")
    found = records.status(storage, queue, manifest.id)
    queue.close()
    assert (found.status, found.reason.code, found.committed_rows) == ("running", "redis_unreachable", 3)


def test_a_job_with_all_its_parts_is_finalizing_until_it_is_published(storage: Storage, settings: Settings):
    manifest = job_of(storage, settings)
    finish_parts(storage, manifest)
    assert records.status(storage, None, manifest.id).status == "finalizing"


# Programs of later versions


def grown(storage: Storage, key: str, *path: str) -> None:
    """Add a field to a JSON object in storage, or to one within it."""
    whole = json.loads(storage.read(key))
    within = whole
    for name in path:
        within = within[name]
    within["later"] = {"of": "a later version"}
    storage.replace(key, json.dumps(whole).encode())


@pytest.mark.parametrize("path", [(), ("source",)])
def test_what_a_later_version_added_to_a_manifest_is_passed_over(storage: Storage, settings: Settings, path: tuple):
    manifest = job_of(storage, settings)
    grown(storage, layout.manifest(manifest.id), *path)
    assert load_manifest(storage, manifest.id) == manifest


def test_a_job_with_an_option_that_is_not_known_is_not_scored_without_it(storage: Storage, settings: Settings):
    manifest = job_of(storage, settings)
    grown(storage, layout.manifest(manifest.id), "options")
    with pytest.raises(BulkqaError, match="has options that this program does not know: later") as caught:
        load_manifest(storage, manifest.id)
    assert "Upgrade" in (caught.value.remedy or "")


def test_what_a_later_version_added_to_a_pinned_model_is_passed_over(storage: Storage, settings: Settings):
    job = job_of(storage, settings).id
    pinned = records.pin_model(storage, job, ModelRef("tiny", "d1", "int8"))
    grown(storage, layout.model(job))
    assert records.model(storage, job) == pinned


@pytest.mark.parametrize("path", [(), ("request_counts",), ("chunks",), ("model",), ("input",), ("options",)])
def test_what_a_later_version_added_to_a_report_is_passed_over(storage: Storage, settings: Settings, path: tuple):
    manifest = job_of(storage, settings)
    finish_parts(storage, manifest)
    reconcile(manifest.id, storage, MemoryQueue(), settings)
    report = records.report(storage, manifest.id)
    assert report is not None
    grown(storage, layout.report(manifest.id), *path)
    found = records.report(storage, manifest.id)
    assert found is not None
    assert (found.request_counts, found.chunks, found.model) == (report.request_counts, report.chunks, report.model)


def test_what_a_later_version_added_to_a_footer_or_a_tally_is_passed_over():
    _, footer = part.encode([])
    values = asdict(footer)
    assert part.footer(part._last_line(json.dumps(values | {"later": 1}))) == footer
    tally = Tally().plus({0: footer})
    assert codec.read(Tally, codec.line(tally).replace("{", '{"later": 1, ', 1)) == tally


def test_after_one_death_no_row_is_suspected_whatever_the_next_attempt_has_in_flight(
    storage: Storage, memory_queue: MemoryQueue, settings: Settings
):
    manifest = job_of(storage, settings)
    memory_queue.announce(WorkerInfo("w1", "tiny", "d1", "int8", 1, "1"))
    for attempt in (1, 2):
        storage.create(layout.attempt(manifest.id, 0, attempt), b"{}")
    messages = set()
    for rows in ((0, 1), (2, 3), (4,)):
        storage.replace(layout.in_flight(manifest.id, 0, 2), InFlight(rows).to_bytes())
        messages.add(records.status(storage, memory_queue, manifest.id).reason.message)
    assert messages == {"chunk 0 is on attempt 2, because workers died on it"}


def test_a_worker_that_cannot_use_the_storage_and_a_chunk_that_kills_are_told(
    storage: Storage, memory_queue: MemoryQueue, settings: Settings
):
    manifest = job_of(storage, settings)
    worker = WorkerInfo("w1", "tiny", "d1", "int8", 1, "1")
    memory_queue.announce(replace(worker, trouble="disk full"))
    assert records.status(storage, memory_queue, manifest.id).reason.code == "storage_refuses"
    memory_queue.announce(worker)
    assert records.status(storage, memory_queue, manifest.id).reason is None
    for attempt in (1, 2, 3):
        storage.create(layout.attempt(manifest.id, 0, attempt), b"{}")
    storage.replace(layout.in_flight(manifest.id, 0, 2), InFlight((4, 5)).to_bytes())
    told = records.status(storage, memory_queue, manifest.id).reason
    assert told.code == "retrying"
    assert told.message == "chunk 0 is on attempt 3, because workers died on it; suspected: rows 4, 5"
    storage.replace(layout.in_flight(manifest.id, 0, 3), InFlight((7,), quarantine=True).to_bytes())
    assert records.status(storage, memory_queue, manifest.id).reason == told, "a row of a living attempt is no suspect"
    memory_queue.send("tiny", "another-job", [0, 1, 2])
    assert records.status(storage, memory_queue, job_of(storage, settings, rows=2).id).reason.code == "behind_others"


def test_rows_are_counted_by_the_heartbeat_of_the_latest_attempt(
    storage: Storage, memory_queue: MemoryQueue, settings: Settings
):
    job = job_of(storage, settings.model_copy(update={"chunk_rows": 10}), rows=40).id
    worker = WorkerInfo("w1", "tiny", "d1", "int8", 1, "1", job=job, chunk=1, held_seconds=2.0, attempt=1, answered=6)

    def answered() -> int:
        found = records.status(storage, memory_queue, job).request_counts
        assert found.total == 40 == found.answered + found.no_answer + found.failed + found.pending
        return found.answered

    memory_queue.announce(worker)
    assert answered() == 0, "it has no attempt on record: a heartbeat of a job that was removed, or a made-up one"
    storage.create(layout.attempt(job, 1, 1), b"{}")
    assert answered() == 6
    memory_queue.announce(replace(worker, name="w3", job="another", answered=9))
    memory_queue.announce(replace(worker, name="w4", chunk=2))
    assert answered() == 6
    storage.create(layout.attempt(job, 1, 2), b"{}")
    assert answered() == 0, "the rows of the first attempt are lost"
    memory_queue.announce(replace(worker, name="w2", attempt=2, answered=2, no_answer=1, failed=1))
    assert answered() == 2
    storage.create(layout.part(job, 1), part_of(storage, load_manifest(storage, job), 1))
    assert answered() == 10
    storage.create(layout.attempt(job, 2, 1), b"{}")
    assert answered() == 16
    storage.create(layout.released(job, 2, 1), b"{}")
    assert answered() == 10, "it was given back"


def test_rows_still_count_if_their_part_is_written_while_the_status_is_read(
    storage: Storage, memory_queue: MemoryQueue, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    """The worker may write the part, delete its attempt and take another chunk between any two calls."""
    manifest = job_of(storage, settings.model_copy(update={"chunk_rows": 10}), rows=20)
    part_1 = part_of(storage, manifest, 1)
    worker = WorkerInfo("w1", "tiny", "d1", "int8", 1, "1", job=manifest.id, chunk=1, attempt=1, answered=9)
    for after in range(20):
        storage.delete(layout.part(manifest.id, 1))
        storage.create(layout.attempt(manifest.id, 1, 1), b"{}")
        memory_queue.announce(worker)
        calls = 0

        def counted(call, after=after):
            def do(*args, **more):
                nonlocal calls
                calls += 1
                if calls == after + 1:
                    finish_chunk()
                return call(*args, **more)

            return do

        def finish_chunk() -> None:
            with monkeypatch.context() as real:
                real.undo()
                storage.create(layout.part(manifest.id, 1), part_1)
                storage.delete(layout.attempt(manifest.id, 1, 1))
                memory_queue.announce(replace(worker, chunk=0, answered=0))

        with monkeypatch.context() as watched:
            for target, names in ((storage, ("read", "list", "exists", "tail")), (memory_queue, ("hints", "workers"))):
                for name in names:
                    watched.setattr(target, name, counted(getattr(target, name)))
            found = records.status(storage, memory_queue, manifest.id).request_counts.answered
        assert found in (9, 10), after
        if calls <= after:
            return
    raise AssertionError("all of its calls were tried")


@pytest.mark.parametrize(
    "change",
    [
        {"chunks": 10**9},
        {"chunks": 0},
        {"rows": "8"},
        {"rows": -1},
        {"rows": 7},
        {"rejected": 99},
        {"model": None},
        {"id": "../x"},
        {"id": "another"},
        {"source": {"name": "x"}},
        {"options": {"top_k": True}},
        {"options": {"top_k": 50}},
        {"metadata": {"a": 1}},
        {"created_at": -1.0},
        {"created_at": 1e300},
        {"expire": 1e300},
        {"chunks_folder": "../../etc"},
    ],
    ids=str,
)
def test_a_manifest_is_checked_as_a_whole_and_the_job_is_named(
    storage: Storage, memory_queue: MemoryQueue, settings: Settings, change: dict
):
    job = job_of(storage, settings).id
    values = json.loads(storage.read(layout.manifest(job)))
    storage.replace(layout.manifest(job), json.dumps(values | change).encode())
    with pytest.raises(BulkqaError, match=job):
        reconcile(job, storage, memory_queue, settings)


def test_a_manifest_that_is_nested_without_end_is_damaged(storage: Storage):
    storage.create(layout.manifest("a"), b'{"id":' * 100_000)
    with pytest.raises(BulkqaError, match="the manifest of job a is damaged"):
        records.status(storage, None, "a")


def test_a_pipe_in_the_place_of_a_record_is_named_and_keeps_nobody_waiting(tmp_path: Path, settings: Settings):
    storage = LocalStorage(tmp_path, create=True)
    good, bad = job_of(storage, settings).id, job_of(storage, settings).id
    path = tmp_path / layout.manifest(bad)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(BulkqaError, match="is not a regular file"):
        records.status(storage, None, bad)
    stopped = threading.Event()
    sweep_jobs(storage, MemoryQueue(), settings, stopped=stopped, once=True)
    assert records.status(storage, None, good).request_counts.total == 8


@pytest.mark.usefixtures("redis_client")  # which empties it
def test_workers_that_look_at_another_storage_are_told(
    storage: Storage, memory_queue: MemoryQueue, settings: Settings, redis_url: str
):
    job = job_of(storage, settings).id
    worker = WorkerInfo("w1", "tiny", "d1", "int8", 1, "1", storage="123456789abc")
    memory_queue.announce(worker)
    told = records.status(storage, memory_queue, job).reason
    assert (told.code, told.message) == ("other_storage", "1 worker serves the model tiny, but for another storage")
    with closing(RedisQueue(redis_url, "theirs")) as theirs, closing(RedisQueue(redis_url, "ours")) as ours:
        theirs.announce(worker)
        assert records.status(storage, ours, job).reason.code == "other_storage"
        ours.announce(replace(worker, storage=""))
        assert records.status(storage, ours, job).reason is None


def test_who_lists_often_reads_no_ended_job_again_but_one_with_a_key(storage: Storage, settings: Settings):
    plain, keyed, running = (job_of(storage, settings, key=key).id for key in (None, "k", None))
    for job in (plain, keyed):
        finish(job, storage, MemoryQueue(), settings)
    ended: dict[str, Progress] = {}
    first = dict(records.statuses(storage, None, ended))
    assert set(first) == {plain, keyed, running}
    assert set(ended) == {plain}
    storage.delete(layout.report(plain))  # not looked at
    storage.delete(layout.report(keyed))
    again = dict(records.statuses(storage, None, ended))
    assert again[plain] == first[plain]
    assert again[keyed].status != "completed"
    assert again[running].status == "queued"
    storage.delete(layout.manifest(plain))
    storage.discard(layout.folder(plain))
    assert plain not in dict(records.statuses(storage, None, ended))
    assert ended == {}
