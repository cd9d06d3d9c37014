"""Submitting makes a job or nothing; with a key it makes one job, however often and by however many it is done."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contract.errors import BulkqaError, InputError, StorageUnreachable, UnknownJob, UsageError
from contract.format import layout
from contract.format.job import Options
from contract.ledger import records
from contract.ledger.stored import StoredJob, load_manifest
from contract.settings import Settings
from contract.storage import Storage
from contract.storage.local import LocalStorage
from producer.input.options import ReadOptions
from producer.jobs.find import find
from producer.jobs.submit import job_of_key, submit
from producer.request import Request
from producer.results import columns
from producer.results.typed import Shape
from tests import REPO
from tests.making import csv, finish, predictions, submitted_rows
from tests.twins.queue import MemoryQueue


def submitted(storage: Storage, settings: Settings, data: bytes, **request):
    return submit(io.BytesIO(data), storage, settings, Request(**request))


def left(storage: Storage) -> list[str]:
    """All objects under all jobs."""
    jobs = [layout.folder(job) for job in storage.list(layout.JOBS)]
    folders = [f"{job}/{name}" for job in jobs for name in storage.list(job)]
    return [f"{folder}/{name}" for folder in folders for name in storage.list(folder)]


def half_made(storage: Storage, settings: Settings, data: bytes, **request) -> str:
    """What a submission leaves that was killed just before its manifest; its job."""
    manifest = submitted(storage, settings, data, key="k", **request).manifest
    storage.delete(layout.manifest(manifest.id))
    return manifest.id


# What a job holds


def test_a_folder_of_files_is_counted_and_its_columns_hold_the_values_of_all(
    storage: Storage, settings: Settings, tmp_path: Path
):
    """Small integers in one file, large ones in the next: an output has the type of the larger."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number, (kind, value) in enumerate([(pa.int32(), 7), (pa.int64(), 1 << 40)]):
        table = pa.table({"question": ["who?"], "context": ["me"], "n": pa.array([value], kind)})
        pq.write_table(table, folder / f"{number}.parquet")
    os.mkfifo(folder / "pipe")
    job = submit(str(folder), storage, settings, Request())
    assert (job.manifest.rows, job.manifest.source.files) == (2, 2)
    assert ["named pipe" in note for note in job.notes] == [True]
    assert load_manifest(storage, job.manifest.id).source.notes == job.notes
    types = columns.load(storage, job.manifest)
    assert types is not None
    finish(job.manifest.id, storage, MemoryQueue(), settings)
    table = Shape(job.manifest, types).table(predictions(storage, job.manifest.id))
    assert table["n"].to_pylist() == [7, 1 << 40]


def test_the_manifest_says_what_was_asked(storage: Storage, settings: Settings, tmp_path: Path):
    file, data = tmp_path / "f.csv", csv(8, bad=(2, 3))
    file.write_bytes(data)
    request = Request(options=Options(top_k=2), model="m", key="k", metadata={"a": "b"})
    made = submit(file, storage, settings, request)
    manifest = load_manifest(storage, made.manifest.id)
    assert manifest == made.manifest
    assert made.new
    assert (manifest.rows, manifest.rejected, manifest.chunks) == (8, 2, 3)
    assert (manifest.model, manifest.key, manifest.metadata, manifest.options.top_k) == ("m", "k", {"a": "b"}, 2)
    assert (manifest.source.name, manifest.source.format, manifest.source.delimiter) == ("f.csv", "csv", "|")
    assert (manifest.source.sha256, manifest.source.bytes) == (hashlib.sha256(data).hexdigest(), len(data))
    assert (manifest.source.columns, manifest.id_column) == (("id", "question", "context", "topic"), "id")


def test_a_file_whose_name_is_not_utf8_has_a_name_that_json_can_hold(
    storage: Storage, settings: Settings, tmp_path: Path
):
    """As of an old Windows share."""
    file = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.csv"))
    file.write_bytes(csv(4))
    manifest = submit(file, storage, settings, Request()).manifest
    assert load_manifest(storage, manifest.id).source.name == "caf\\xe9.csv"
    assert [row.id for row in submitted_rows(storage, manifest.id)] == [f"id-{row}" for row in range(4)]


def test_the_model_is_the_one_of_the_settings_unless_one_is_asked_for(storage: Storage, settings: Settings):
    assert submitted(storage, settings, csv(1)).manifest.model == settings.model


def test_every_row_is_in_a_chunk_once_in_order_rejected_ones_too(storage: Storage, settings: Settings):
    made = submitted(storage, settings, csv(20, bad=(0, 19)))
    rows = submitted_rows(storage, made.manifest.id)
    assert [(row.row, row.id) for row in rows] == [(n, f"id-{n}") for n in range(20)]
    assert [row.row for row in rows if row.error] == [0, 19]


@pytest.mark.parametrize(("rows", "size"), [(1, 1 << 20), (7, 1 << 20), (1000, 2048), (1000, 1 << 20)])
def test_chunks_are_bounded_by_rows_and_by_bytes(storage: Storage, settings: Settings, rows: int, size: int):
    bounded = settings.model_copy(update={"chunk_rows": rows, "chunk_bytes": size})
    manifest = submitted(storage, bounded, csv(100)).manifest
    counts = StoredJob.open(storage, manifest.id).index.rows
    assert sum(counts) == 100
    assert max(counts) <= rows
    assert (len(counts) > 1) == (rows < 100 or size < 4096)
    assert storage.list(layout.chunks(manifest.id)) == [f"{n:06d}.parquet" for n in range(len(counts))] + [
        "index.json",
        "keys",
    ]


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
    assert left(storage) == []


def test_after_a_damaged_input_the_key_is_free_for_the_whole_one(storage: Storage, settings: Settings):
    import gzip

    whole = gzip.compress(csv(20000), compresslevel=0)
    given = settings.model_copy(update={"chunk_rows": 500})
    with pytest.raises(InputError):
        submitted(storage, given, whole[:-1000], key="k")
    assert submitted(storage, given, whole, key="k").manifest.rows == 20000


@pytest.mark.parametrize("last", ["000002.parquet", "index.json", "manifest.json"])
@pytest.mark.parametrize("key", [None, "k"])
def test_nothing_is_left_where_the_storage_fills_up(
    storage: Storage, settings: Settings, monkeypatch, last: str, key: str | None
):
    create = type(storage).create

    def full(self, name: str, data, **how) -> bool:
        if name.endswith(last):
            raise StorageUnreachable("full", "Continue jobs.") from OSError(errno.ENOSPC, "full")
        return create(self, name, data, **how)

    monkeypatch.setattr(type(storage), "create", full)
    with pytest.raises(StorageUnreachable, match="nothing was submitted: full\n  Make room, then submit again"):
        submitted(storage, settings, csv(12), key=key)
    assert records.jobs(storage) == []
    assert left(storage) == []


def test_chunks_stay_where_the_manifest_was_written_all_the_same(storage: Storage, settings: Settings, monkeypatch):
    """An object store answered too late."""
    create = type(storage).create

    def late(self, name: str, data, **how) -> bool:
        is_first = create(self, name, data, **how)
        if name.endswith("manifest.json"):
            raise StorageUnreachable("no answer")
        return is_first

    monkeypatch.setattr(type(storage), "create", late)
    with pytest.raises(StorageUnreachable, match="no answer") as caught:
        submitted(storage, settings, csv(12))
    assert "nothing" not in caught.value.message
    (job,) = records.jobs(storage)
    assert len(submitted_rows(storage, job)) == 12


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


TWO_WAYS = b"id|question|context|x,id,question,context,other\n"
TWO_WAYS += b"".join(b"%d|q|c|x,%d,r,d,y\n" % (n, n) for n in range(8))


@pytest.mark.parametrize(
    ("data", "request_", "told"),
    [
        (TWO_WAYS + b"8|q|c|x,8,r,d,y\n", {}, "file sha256"),
        (TWO_WAYS, {"options": Options(top_k=2)}, "top_k 1, now 2"),
        (TWO_WAYS, {"options": Options(no_answer_threshold=0.0)}, "no_answer_threshold None, now 0.0"),
        (TWO_WAYS, {"model": "large"}, "model 'tiny', now 'large'"),
        (TWO_WAYS, {"read": ReadOptions(question="context", context="question")}, "question 'question', now"),
        (TWO_WAYS, {"read": ReadOptions(id="")}, "id 'id', now None"),
        (TWO_WAYS, {"read": ReadOptions(answers="context")}, "answers None, now 'context'"),
        (TWO_WAYS, {"read": ReadOptions(delimiter=",", id="id")}, r"delimiter '\|', now ','"),
        (TWO_WAYS, {"read": ReadOptions(max_row_bytes=1000)}, "BULKQA_MAX_ROW_BYTES 1048576, now 1000"),
        (TWO_WAYS, {"read": ReadOptions(quote="none")}, "quote 'double', now 'none'"),
        (TWO_WAYS, {"read": ReadOptions(encoding="cp1252")}, "encoding None, now 'cp1252'"),
    ],
    ids=[
        "file",
        "option",
        "threshold",
        "model",
        "columns",
        "no ids",
        "answers",
        "delimiter",
        "longest row",
        "quote",
        "encoding",
    ],
)
@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_another_request_with_the_same_key_is_refused(
    storage: Storage, settings: Settings, data: bytes, request_: dict, told: str, when: str
):
    """Whether the job with the key was there, or came while this one was being submitted."""

    def first(_source: object = None) -> None:
        if not storage.exists(layout.manifest(job_of_key("k"))):
            submitted(storage, settings, TWO_WAYS, key="k")

    if when == "before":
        first()
    with pytest.raises(UsageError, match=f"the key 'k' belongs to job {job_of_key('k')}, .*{told}") as caught:
        submit(io.BytesIO(data), storage, settings, Request(key="k", **request_), first)
    assert "use a new key" in (caught.value.remedy or "")
    manifest = load_manifest(storage, job_of_key("k"))
    assert [row.question for row in submitted_rows(storage, manifest.id)] == ["q"] * 8
    assert len(left(storage)) == manifest.chunks + 2, "of the one that was refused nothing is left"


def test_what_does_not_decide_the_outcome_of_rows_may_differ(storage: Storage, settings: Settings, tmp_path: Path):
    (tmp_path / "other").write_bytes(csv(8))
    first = submitted(storage, settings, csv(8), key="k").manifest
    request = Request(ReadOptions(id="id", format="csv"), model="tiny", key="k", metadata={"a": "b"})
    assert submit(tmp_path / "other", storage, settings, request).manifest == first


@pytest.mark.parametrize("rows", [3, 5])
def test_one_that_is_overtaken_by_the_same_request_finds_its_job(storage: Storage, settings: Settings, rows: int):
    """However that one cut its chunks."""
    made = []

    def overtaken(_source: object) -> None:
        if not made:
            made.append(submitted(storage, settings.model_copy(update={"chunk_rows": rows}), csv(8), key="k"))

    late = submit(io.BytesIO(csv(8)), storage, settings, Request(key="k"), overtaken)
    assert (made[0].new, late.new) == (True, False)
    assert late.manifest == made[0].manifest
    assert [row.row for row in submitted_rows(storage, late.manifest.id)] == list(range(8))
    assert len(left(storage)) == late.manifest.chunks + 2


def test_whatever_a_key_is_its_job_has_an_id(storage: Storage, settings: Settings):
    ids = {submitted(storage, settings, csv(1), key=key).manifest.id for key in ("../../etc", "Ä b", "a" * 500, "k\n")}
    assert len(ids) == 4
    assert set(records.jobs(storage)) == ids


@pytest.mark.parametrize("damage", ["none", "a chunk is gone", "a chunk is short", "no index"])
@pytest.mark.parametrize("rows", [8, 9], ids=["the same file", "another file"])
def test_after_a_submission_that_died_the_key_is_free(storage: Storage, settings: Settings, damage: str, rows: int):
    """Also where power was lost, and files have their names but not what was written to them."""
    job = half_made(storage, settings, csv(8))
    folder = f"{layout.folder(job)}/{storage.list(layout.folder(job))[0]}"
    if damage == "a chunk is short":
        storage.replace(f"{folder}/000001.parquet", b"PAR1")
    elif damage != "none":
        storage.delete(f"{folder}/{'index.json' if damage == 'no index' else '000002.parquet'}")
    assert records.jobs(storage) == []

    again = submitted(storage, settings, csv(rows), key="k")

    assert again.new
    assert again.manifest.id == job
    assert [row.row for row in submitted_rows(storage, job)] == list(range(rows))


def test_two_different_submissions_with_one_key_do_not_mix(storage: Storage, settings: Settings):
    """Each writes a chunk in turn; the one that is done first has the key."""

    def meanwhile(_source: object) -> None:
        if not records.jobs(storage):
            assert submitted(storage, settings, csv(5, odd=(0,)), key="k").new

    with pytest.raises(UsageError, match="file sha256"):
        submit(io.BytesIO(csv(8)), storage, settings, Request(key="k"), meanwhile)
    assert [row.question for row in submitted_rows(storage, job_of_key("k"))][:2] == ["odd?", "what is 1?"]


def test_a_submission_whose_chunks_were_swept_meanwhile_makes_no_job(storage: Storage, settings: Settings):
    """As of a client that slept for a day."""

    def swept(_source: object) -> None:
        for job in storage.list(layout.JOBS):
            storage.delete(layout.chunk(job, 0))

    with pytest.raises(BulkqaError, match="removed while it was being submitted"):
        submit(io.BytesIO(csv(8)), storage, settings, Request(), swept)
    assert records.jobs(storage) == []


def test_of_many_that_submit_with_one_key_at_once_one_makes_the_job(local_storage: LocalStorage, settings: Settings):
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: submitted(local_storage, settings, csv(30), key="k"), range(4)))
    assert [one.new for one in made].count(True) == 1
    assert {one.manifest.created_at for one in made} == {load_manifest(local_storage, job_of_key("k")).created_at}
    assert len(submitted_rows(local_storage, job_of_key("k"))) == 30
    assert len(left(local_storage)) == 12, "the others took their chunks away"


def test_a_submission_that_is_interrupted_takes_nothing_from_one_with_its_key(storage: Storage, settings: Settings):
    """A first client writes a chunk and is slow; a second finds it and makes the job; then the first is stopped."""

    def overtaken(_source) -> None:
        assert submitted(storage, settings, csv(8), key="k").new
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        submit(io.BytesIO(csv(8)), storage, settings, Request(key="k"), overtaken)

    finish(job_of_key("k"), storage, MemoryQueue(), settings)
    assert {p["status"] for p in predictions(storage, job_of_key("k"))} == {"answered"}


def test_types_are_kept_of_an_input_that_has_them_and_of_no_other(storage: Storage, settings: Settings):
    import pyarrow as pa
    import pyarrow.parquet as pq

    table, file = pa.table({"question": ["q"], "context": ["c"], "n": pa.array([1], pa.int8())}), io.BytesIO()
    pq.write_table(table, file)
    manifest = submitted(storage, settings, file.getvalue()).manifest
    kept = columns.load(storage, manifest)
    assert kept is not None
    assert kept.types.schema.field("n").type == pa.int8()
    assert layout.columns(manifest.id).rpartition("/")[2] in storage.list(layout.chunks(manifest.id))
    assert columns.load(storage, submitted(storage, settings, csv(2)).manifest) is None


@pytest.mark.parametrize("how", ["altered", "removed"])
def test_types_that_were_altered_are_believed_by_nobody(storage: Storage, settings: Settings, how: str):
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = io.BytesIO()
    pq.write_table(pa.table({"question": ["q"], "context": ["c"]}), file)
    manifest = submitted(storage, settings, file.getvalue()).manifest
    key = layout.columns(manifest.id)
    storage.replace(key, b"x" + storage.read(key)) if how == "altered" else storage.delete(key)
    with pytest.raises(BulkqaError, match="was altered or removed"):
        columns.load(storage, manifest)


def test_the_command_refuses_a_model_s_folder_before_it_looks_for_redis(tmp_path: Path):
    (tmp_path / "f.csv").write_bytes(csv(1))
    command = [sys.executable, "-m", "producer", "submit", "f.csv", "--model", "models/roberta"]
    env = os.environ | {"BULKQA_REDIS_URL": "redis://localhost:1", "PYTHONPATH": str(REPO)}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "is a path" in done.stderr
    assert "--model roberta" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["f.csv"]


def test_a_small_file_of_large_rows_is_said_to_be_one(
    storage: Storage, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    """Hundreds of bytes of Parquet may stand for gigabytes."""
    monkeypatch.setattr("producer.jobs.submit._LARGE", 3_000_000)
    context = pa.array(["word " * 180_000]).dictionary_encode()
    file = io.BytesIO()
    for rows in (3, 4):
        table = pa.table({"question": ["who?"] * rows, "context": pa.concat_arrays([context] * rows)})
        file.seek(0)
        pq.write_table(table, file, compression="brotli")
        job = submitted(storage, settings, file.getvalue())
        size = job.manifest.text_bytes
        assert rows * 900_000 < size < rows * 901_000
        expected = f"its {job.manifest.source.bytes:,} bytes expand {size // job.manifest.source.bytes:,} times"
        assert [expected in note for note in job.notes] == [True] * (rows == 4), "three rows are not large"
    assert f"{size:,} bytes" in job.notes[0]
    assert submitted(storage, settings, b"question|context\n" + b"who?|" + b"long " * 180_000).notes == ()
    assert load_manifest(storage, job.manifest.id).text_bytes == size


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


def test_a_manifest_that_would_be_too_large_makes_no_job(storage: Storage, settings: Settings):
    with pytest.raises(UsageError, match="take 1,201,"):
        submitted(storage, settings, csv(2), metadata={"a": "x" * 1_200_000})
    assert list(storage.sizes(layout.JOBS)) == []
