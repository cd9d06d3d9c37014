"""Submitting makes a job or nothing; with a key it makes one job, however often and by however many it is done."""

from __future__ import annotations

import hashlib
import io
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from contract import layout, records
from contract.broker import MemoryQueue
from contract.errors import InputError, StorageUnreachable, UnknownJob, UsageError
from contract.job import Options, Row
from contract.settings import Settings
from contract.storage import LocalStorage, Storage
from producer.reader import ReadOptions
from producer.submit import Request, find, job_of_key, submit
from tests.making import csv, finish, predictions


def submitted(storage: Storage, settings: Settings, data: bytes, **request):
    return submit(io.BytesIO(data), storage, settings, Request(**request))


def rows_of(storage: Storage, job: str) -> list[Row]:
    manifest = records.load(storage, job)
    index = records.load_index(storage, manifest)
    return [row for number in range(manifest.chunks) for row in records.load_rows(storage, manifest, index, number)]


def left(storage: Storage, job: str) -> list[str]:
    return storage.list(layout.folder(job)) and storage.list(layout.chunks(job))


# What a job holds


def test_the_manifest_says_what_was_asked(storage: Storage, settings: Settings, tmp_path: Path):
    file, data = tmp_path / "f.csv", csv(8, bad=(2, 3))
    file.write_bytes(data)
    request = Request(options=Options(top_k=2), model="m", key="k", metadata={"a": "b"})
    made = submit(file, storage, settings, request)
    manifest = records.load(storage, made.manifest.id)
    assert manifest == made.manifest
    assert made.new
    assert (manifest.rows, manifest.rejected, manifest.chunks) == (8, 2, 3)
    assert (manifest.model, manifest.key, manifest.metadata, manifest.options.top_k) == ("m", "k", {"a": "b"}, 2)
    assert (manifest.source.name, manifest.source.format, manifest.source.delimiter) == ("f.csv", "csv", "|")
    assert (manifest.source.sha256, manifest.source.bytes) == (hashlib.sha256(data).hexdigest(), len(data))
    assert (manifest.source.columns, manifest.id_column) == (("id", "question", "context", "topic"), "id")


def test_the_model_is_the_one_of_the_settings_unless_one_is_asked_for(storage: Storage, settings: Settings):
    assert submitted(storage, settings, csv(1)).manifest.model == settings.model


def test_every_row_is_in_a_chunk_once_in_order_rejected_ones_too(storage: Storage, settings: Settings):
    made = submitted(storage, settings, csv(20, bad=(0, 19)))
    rows = rows_of(storage, made.manifest.id)
    assert [(row.row, row.id) for row in rows] == [(n, f"id-{n}") for n in range(20)]
    assert [row.row for row in rows if row.error] == [0, 19]


@pytest.mark.parametrize(("rows", "size"), [(1, 1 << 20), (7, 1 << 20), (1000, 2048), (1000, 1 << 20)])
def test_chunks_are_bounded_by_rows_and_by_bytes(storage: Storage, settings: Settings, rows: int, size: int):
    bounded = settings.model_copy(update={"chunk_rows": rows, "chunk_bytes": size})
    manifest = submitted(storage, bounded, csv(100)).manifest
    counts = records.load_index(storage, manifest).rows
    assert sum(counts) == 100
    assert max(counts) <= rows
    assert (len(counts) > 1) == (rows < 100 or size < 4096)
    assert storage.list(layout.chunks(manifest.id)) == [f"{n:06d}.parquet" for n in range(len(counts))] + ["index.json"]


def test_two_submissions_without_a_key_are_two_jobs(storage: Storage, settings: Settings):
    one, two = submitted(storage, settings, csv(2)), submitted(storage, settings, csv(2))
    assert one.manifest.id != two.manifest.id
    assert records.jobs(storage) == sorted([one.manifest.id, two.manifest.id])


# All or nothing


def test_nothing_is_left_of_an_input_that_turns_out_damaged(storage: Storage, settings: Settings):
    import gzip

    whole = gzip.compress(b"".join(csv(1)[:30] for _ in range(1)) + csv(20000)[30:], compresslevel=0)
    for request in ({}, {"key": "k"}):
        with pytest.raises(InputError, match="truncated"):
            submitted(storage, settings.model_copy(update={"chunk_rows": 500}), whole[:-1000], **request)
    assert records.jobs(storage) == []
    assert [name for job in storage.list(layout.JOBS) for name in storage.list(layout.chunks(job))] == []


def test_after_a_damaged_input_the_key_is_free_for_the_whole_one(storage: Storage, settings: Settings):
    import gzip

    whole = gzip.compress(csv(20000), compresslevel=0)
    given = settings.model_copy(update={"chunk_rows": 500})
    with pytest.raises(InputError):
        submitted(storage, given, whole[:-1000], key="k")
    assert submitted(storage, given, whole, key="k").manifest.rows == 20000


def test_nothing_is_left_where_the_storage_fills_up(storage: Storage, settings: Settings, monkeypatch):
    create = type(storage).create

    def full(self, key: str, data, **how) -> bool:
        if key.endswith("000002.parquet"):
            raise StorageUnreachable("full")
        return create(self, key, data, **how)

    monkeypatch.setattr(type(storage), "create", full)
    with pytest.raises(StorageUnreachable):
        submitted(storage, settings, csv(12))
    assert records.jobs(storage) == []
    assert [name for job in storage.list(layout.JOBS) for name in storage.list(layout.chunks(job))] == []


def test_nothing_is_written_for_a_file_that_cannot_be_read(storage: Storage, settings: Settings):
    for data in (b"", b"a|b\n1|2\n", b"question|context\n"):
        with pytest.raises(InputError):
            submitted(storage, settings, data)
    assert storage.list(layout.JOBS) == []


# Keys


def test_the_same_request_with_the_same_key_finds_the_first_job(storage: Storage, settings: Settings):
    one = submitted(storage, settings, csv(8), key="k")
    two = submitted(storage, settings.model_copy(update={"chunk_rows": 5}), csv(8), key="k")
    assert (one.new, two.new) == (True, False)
    assert two.manifest == one.manifest
    assert one.manifest.id == job_of_key("k")
    assert records.jobs(storage) == [one.manifest.id]


@pytest.mark.parametrize(
    ("data", "request_"),
    [
        (csv(9), {}),
        (csv(8), {"options": Options(top_k=2)}),
        (csv(8), {"read": ReadOptions(question="topic")}),
    ],
    ids=["another file", "other options", "another column"],
)
def test_another_request_with_the_same_key_is_refused(
    storage: Storage, settings: Settings, data: bytes, request_: dict
):
    first = submitted(storage, settings, csv(8), key="k").manifest
    with pytest.raises(UsageError, match=f"the key 'k' was used for job {first.id}"):
        submitted(storage, settings, data, key="k", **request_)
    assert records.load(storage, first.id) == first
    assert len(rows_of(storage, first.id)) == 8


def test_whatever_a_key_is_its_job_has_an_id(storage: Storage, settings: Settings):
    ids = {submitted(storage, settings, csv(1), key=key).manifest.id for key in ("../../etc", "Ä b", "a" * 500, "k\n")}
    assert len(ids) == 4
    assert set(records.jobs(storage)) == ids


def test_a_submission_that_died_before_its_manifest_is_done_again(storage: Storage, settings: Settings):
    job = submitted(storage, settings, csv(8), key="k").manifest.id
    storage.delete(layout.manifest(job))
    storage.delete(layout.index(job))
    storage.delete(layout.chunk(job, 2))
    assert records.jobs(storage) == []

    again = submitted(storage, settings, csv(8), key="k")

    assert again.new
    assert again.manifest.id == job
    assert [row.row for row in rows_of(storage, job)] == list(range(8))


def test_what_died_before_its_manifest_is_not_mixed_with_other_content(storage: Storage, settings: Settings):
    job = submitted(storage, settings, csv(8), key="k").manifest.id
    storage.delete(layout.manifest(job))
    with pytest.raises(UsageError, match="other content"):
        submitted(storage, settings, csv(8, odd=(0,)), key="k")
    assert submitted(storage, settings, csv(8), key="k").manifest.rows == 8


def test_of_many_that_submit_with_one_key_at_once_one_makes_the_job(local_storage: LocalStorage, settings: Settings):
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: submitted(local_storage, settings, csv(30), key="k"), range(4)))
    assert [one.new for one in made].count(True) == 1
    assert {one.manifest.created_at for one in made} == {records.load(local_storage, job_of_key("k")).created_at}
    assert len(rows_of(local_storage, job_of_key("k"))) == 30


def test_a_submission_that_is_interrupted_takes_nothing_from_one_with_its_key(storage: Storage, settings: Settings):
    """A first client writes a chunk and is slow; a second finds it and makes the job; then the first is stopped."""

    def overtaken(_source) -> None:
        assert submitted(storage, settings, csv(8), key="k").new
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        submit(io.BytesIO(csv(8)), storage, settings, Request(key="k"), overtaken)

    finish(job_of_key("k"), storage, MemoryQueue(), settings)
    assert {p["status"] for p in predictions(storage, job_of_key("k"))} == {"answered"}


# Finding a job


def test_a_job_is_found_by_the_beginning_of_its_id(storage: Storage, settings: Settings):
    job = submitted(storage, settings, csv(1), key="k").manifest.id
    other = submitted(storage, settings, csv(1), key="other").manifest.id
    assert find(storage, job) == job
    assert find(storage, job[:12]) == job
    with pytest.raises(UnknownJob, match="2 jobs begin with key-"):
        find(storage, "key-")
    with pytest.raises(UnknownJob):
        find(storage, "nothing")
    assert find(storage, other[:12]) == other


def test_a_manifest_is_json_that_people_can_read(storage: Storage, settings: Settings):
    job = submitted(storage, settings, csv(1), metadata={"who": "Zoë"}).manifest.id
    text = storage.read(layout.manifest(job)).decode()
    assert json.loads(text)["metadata"] == {"who": "Zoë"}
    assert "Zoë" in text
    assert text.count("\n") > 10
