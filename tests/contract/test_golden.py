"""Golden files: every kind of record in storage is written with the same bytes and read with the same values.

`golden/` is laid out as a storage. Its bytes must not change: one version reads what another has written. For a new
kind of record, or a new field, run `python -m tests.contract.test_golden` and check the difference. Arrow's files are
compared by their values: the bytes change with the version of Arrow.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import redis

from contract import namespace
from contract.format import chunk, codec, layout, part
from contract.format.job import InputFile, Manifest, ModelRef, Options, Reuse, Row, RowError, answered, failed
from contract.format.part import Footer
from contract.ledger import assemble, counting, events, quarantine, records
from contract.ledger.events import Attempted
from contract.ledger.progress import Chunks, Counts, Progress
from contract.ledger.quarantine import InFlight
from contract.ledger.reasons import Reason
from contract.ledger.stored import Index, Part, StoredJob, load_manifest
from contract.ledger.tally import Tally
from contract.notifications import record
from contract.notifications.record import Notification
from contract.queue import WorkerInfo
from contract.queue.redis import RedisQueue
from contract.removal import write_note
from contract.reuse import carried, keys
from contract.reuse.carried import Carried, Way
from contract.storage import Storage
from producer.jobs import logs
from producer.results import columns
from producer.results.columns import InputColumns
from tests.making import PREFIX, answer
from tests.twins.storage import MemoryStorage
from worker.attempt import Attempt

GOLDEN = Path(__file__).with_name("golden")
#: When all of it was written.
NOW = 1_790_000_000.25

#: Two jobs: one was submitted with every option and has ended; the other with none, and much went wrong.
ENDED, OPEN = "key-0123456789abcdef01234567", "20261122-174512-3f9ac2d1"
FOLDERS = {ENDED: "chunks-3f9ac2d1", OPEN: "chunks"}
CHUNKS = [layout.chunk(ENDED, number, FOLDERS[ENDED]) for number in range(2)]
SIDECAR = layout.columns(ENDED, FOLDERS[ENDED])
KEYS, CARRIED = layout.keys(ENDED, FOLDERS[ENDED]), layout.carried(ENDED, 1, FOLDERS[ENDED])
MODEL = ModelRef("tiny", "d" * 64, "int8")
ROWS = [
    Row(0, "who?", "Zürich 😀\r\nis", id="a", line=2, passthrough={"topic": "towns", "answers": ["Zürich"], "n": 1.5}),
    Row(1, "nothing?", "no \u2028 answer", id="b", line=3, passthrough={"topic": None, "answers": [], "n": None}),
    Row(2, "odd?", "fails", line=4, passthrough={"topic": 'a "b"|c', "answers": None, "n": 2.0}),
    Row(3, None, None, line=5, error=RowError("parse_error", "a quote is not closed"), raw='"x|y'),
    Row(4, "so?", "c", id="e", line=6, passthrough={"topic": "t", "answers": ["c"], "n": 0.0}),
]
FIELDS = [pa.field("topic", pa.string()), pa.field("answers", pa.list_(pa.string())), pa.field("n", pa.float64())]
COLUMNS = InputColumns(
    pa.schema([("question", pa.string()), ("context", pa.string()), *FIELDS]).empty_table(),
    pa.table({"at": pa.array([1, 2, 3, 4, 5], pa.timestamp("s"))}),
    {"names": ["at"]},
)
WORKER = WorkerInfo(
    "wörker-1", "tiny", "d1", "int8", 2, "0.1.0", 512, "disk full", "0123456789ab", "host", OPEN, 3, 1.5, 2.25, 1 << 28,
    draining=True, attempt=2, answered=5, no_answer=1, failed=3,
)  # fmt: skip


# Writing


def table_of(rows: list[Row]) -> pa.Table:
    values = [
        {name: getattr(row, name) for name in ("row", "line", "id", "question", "context", "raw")}
        | {name: getattr(row.error, name, None) for name in ("code", "message")}
        | {"passthrough": row.passthrough or None}
        for row in rows
    ]
    return pa.Table.from_pylist(values, schema=chunk.schema(FIELDS))


def digest(storage: Storage, key: str) -> str:
    return hashlib.sha256(storage.read(key)).hexdigest()


def index_of(storage: Storage, job: str) -> Index:
    if job == OPEN:
        return Index((10, 10, 10, 10), ("a", "b", "c", "d"))
    carried = digest(storage, layout.carried(job, 1, FOLDERS[job]))
    return Index((3, 2), tuple(digest(storage, key) for key in CHUNKS), carried=("", carried))


def manifest_of(storage: Storage, job: str) -> Manifest:
    index, source = (
        digest(storage, layout.index(job, FOLDERS[job])),
        InputFile("q.csv", "csv", 123, "f" * 64, ("q", "c")),
    )
    if job == OPEN:
        return Manifest(OPEN, NOW - 60, "tiny", 40, 0, 4, index, source)
    return Manifest(
        ENDED, NOW - 3600, "tiny", 5, 1, 2, index,
        replace(source, name="Größe.csv", columns=("id", "Frage", "Text", "topic", "answers", "n"), delimiter="|"),
        options=Options(512, 64, 32, 20, 2, 10, 1.5, omit_context=True),
        question_column="Frage", context_column="Text", id_column="id", answers_column="answers",
        max_row_bytes=1 << 16, key="a key", metadata={"team": "Süd", "run": "7"}, chunks_folder=FOLDERS[ENDED],
        columns_sha256=digest(storage, SIDECAR), notify="https://example.org/hook", expire=86400.0,
        answers_form="lists", reading={"quote": "none", "skip_lines": 2, "header": False},
        keys_sha256=digest(storage, KEYS), reuse=Reuse((OPEN,), 1, any=True), retry_of=OPEN,
    )  # fmt: skip


ATTEMPTS = [
    # Those at chunk 2, which has its part, come from its event, the others from their own records.
    Attempted(2, 1, "w1", NOW),
    Attempted(2, 2, "w2", NOW, NOW, "given_back", "it was told to stop", (21, 22), poison=(20,)),
    Attempted(2, 3, "w3", NOW, NOW, "last", suspects=(21, 22), poison=(20,)),
    Attempted(0, 1, "w1", NOW, NOW, "given_back", "it was told to stop"),
    Attempted(1, 1, "w1", NOW),
    Attempted(1, 2, "w2", NOW, rows=(11, 12)),
    Attempted(1, 3, "w3", NOW, rows=(12,), quarantine=True, poison=(11,)),
]
FOOTER = {
    "started_at": NOW - 9.5, "finished_at": NOW - 2, "worker": "wörker-1", "model": MODEL.digest,
    "batch_invariant": False, "rule": 2, "attempts": 2, "peak_rss": 1 << 28, "job": ENDED, "chunk": 0,
}  # fmt: skip
WORK = {
    "scored": 1, "repeated": 1, "reused": 1, "reused_others": 1, "saved_seconds": 0.5, "windows": 2, "tokens": 300,
    "cpu_seconds": 1.25,
}  # fmt: skip
NUMERICS = "onnxruntime 1.20.1, CPUExecutionProvider, x86_64 avx2"
FOOTER |= WORK | {"numerics": NUMERICS}
WAY = Way(2, NUMERICS, batch_invariant=False, seconds=0.0125)
OUTCOME = carried.outcome_of(answered(ROWS[0], answer(ROWS[0]), Options(top_k=2))) or b""
TRIED = (
    record.Attempt(1, NOW + 1, 0.125, None, "no answer within 10 s"),
    record.Attempt(2, NOW + 6, 0.5, 503, "answered 503"),
    record.Attempt(3, NOW + 66, 0.25, 204),
)


@contextmanager
def at(now: float) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: now)
        patch.setattr(secrets, "token_hex", lambda _: "0123456789ab")
        patch.setattr(counting, "KEEP_EVERY", 2)
        yield


def written() -> MemoryStorage:
    """All of it, written by today's code, but with the stored Arrow files."""
    storage = MemoryStorage()
    with at(NOW):
        write_input(storage)
        write_open(storage)
        write_ended(storage)
    return storage


def write_input(storage: Storage) -> None:
    fresh = {CHUNKS[0]: chunk.to_bytes(table_of(ROWS[:3])), CHUNKS[1]: chunk.to_bytes(table_of(ROWS[3:]))}
    for key, data in (fresh | {SIDECAR: COLUMNS.to_bytes()}).items():
        storage.create(key, (GOLDEN / key).read_bytes() if (GOLDEN / key).exists() else data)
    storage.create(KEYS, b"".join(keys.of_texts((row.question or "", row.context or "") for row in ROWS)))
    storage.create(CARRIED, carried.encode([(3, WAY, OUTCOME)]))
    namespace.storage_id(storage)
    write_note(storage, layout.owed(OPEN), NOW)
    write_note(storage, layout.expiring(ENDED), NOW)
    for job, folder in FOLDERS.items():
        storage.create(layout.index(job, folder), index_of(storage, job).to_bytes())
        storage.create(layout.manifest(job), codec.dump(manifest_of(storage, job)))


def write_open(storage: Storage) -> None:
    Attempt(storage, OPEN, 0, "w1").release("it was told to stop")
    for number in (1, 2, 3):
        attempts = [Attempt(storage, OPEN, chunk, f"w{number}") for chunk in (1, 2)]
        if number == 2:
            attempts[1].release("it was told to stop")
            storage.replace(layout.in_flight(OPEN, 1, 2), InFlight((11, 12)).to_bytes())
            storage.replace(layout.in_flight(OPEN, 2, 2), InFlight((21, 22), poison=(20,)).to_bytes())
    storage.replace(layout.in_flight(OPEN, 1, 3), InFlight((12,), quarantine=True, poison=(11,)).to_bytes())
    attempts[1].poison, attempts[1]._suspected = {20}, (21, 22)  # as if attempt 2 had died
    attempts[1].forget()
    rows = [Row(number, "who?", "Zürich") for number in range(10)]
    for number in (2, 3):
        outcomes = [answered(row, answer(row), Options()) for row in rows]
        about = FOOTER | {"job": OPEN, "chunk": number, "finished_at": NOW - number, "batch_invariant": True}
        storage.create(layout.part(OPEN, number), part.encode(outcomes, **about)[0])
    counting.counted(storage, OPEN, {})
    records.request_cancel(storage, OPEN)


def write_ended(storage: Storage) -> None:
    manifest = manifest_of(storage, ENDED)
    records.pin_model(storage, ENDED, MODEL)
    outcomes = [
        failed(row, said, manifest.options) if isinstance(said, RowError) else answered(row, said, manifest.options)
        for row, said in ((row, answer(row)) for row in ROWS[:3])
    ]
    storage.create(layout.part(ENDED, 0), part.encode(outcomes, **FOOTER, evaluation=None)[0])
    job = StoredJob.open(storage, ENDED)
    job.fail(1, RowError("worker_crash", "died"), 3)
    assert assemble.publish(job) == []
    for attempt in TRIED:
        record.save(storage, ENDED, attempt)


def test_records_are_written_with_the_same_bytes():
    storage = written()
    keys = {path.relative_to(GOLDEN).as_posix() for path in GOLDEN.rglob("*") if path.is_file()}
    assert set(storage._objects) == keys
    for key in keys:
        assert storage.read(key) == (GOLDEN / key).read_bytes(), key


def test_arrow_files_hold_the_same_values():
    for key, rows in zip(CHUNKS, (ROWS[:3], ROWS[3:]), strict=True):
        was, now = (chunk.from_bytes(data) for data in ((GOLDEN / key).read_bytes(), chunk.to_bytes(table_of(rows))))
        assert was.schema.equals(now.schema, check_metadata=True)
        assert was.equals(now)


# Reading


def stored(*, later: bool) -> MemoryStorage:
    """The contents of `golden/`, or the same as a later version writes it: with an additional field in every record."""
    storage = MemoryStorage()
    for path in GOLDEN.rglob("*"):
        if path.is_file():
            storage.create(path.relative_to(GOLDEN).as_posix(), path.read_bytes())
    for key in [
        key for key in storage._objects if later and not key.endswith((".parquet", ".arrow", ".carried", "/keys"))
    ]:
        storage.replace(key, grown(storage.read(key)))
    for job, folder in FOLDERS.items():  # whose digest is in the manifest
        values = json.loads(storage.read(layout.manifest(job)))
        values["index_sha256"] = digest(storage, layout.index(job, folder))
        storage.replace(layout.manifest(job), json.dumps(values).encode())
    return storage


#: Objects whose names are data.
_FREE = ("options", "metadata", "codes", "seconds", "evaluation", "outputs", "input", "reading")


def grown(data: bytes) -> bytes:
    lines = data.splitlines(keepends=True)
    if lines[-1].startswith(b'{"footer"'):
        return b"".join(lines[:-1]) + part._last_line(json.dumps(more(json.loads(lines[-1])["footer"])))
    if len(lines) == 2 and len(lines[0]) == 65:  # a digest, and what it is of
        text = json.dumps(more(json.loads(lines[1])), separators=(",", ":"))
        return f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}\n".encode()
    try:
        return json.dumps(more(json.loads(data))).encode()
    except ValueError:
        return data  # the file of errors


def more(value: Any) -> Any:
    if isinstance(value, list):
        return [more(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {k: v if k in _FREE else more(v) for k, v in value.items()} | {"of_a_later_version": {"x": [1]}}


@pytest.fixture(params=[False, True], ids=["as it was written", "as a later version writes it"])
def storage(request: pytest.FixtureRequest) -> MemoryStorage:
    return stored(later=request.param)


@pytest.mark.parametrize("job", [ENDED, OPEN])
def test_manifest_and_index_are_read(storage: MemoryStorage, job: str):
    assert load_manifest(storage, job) == manifest_of(storage, job)
    assert StoredJob.open(storage, job).index == index_of(storage, job)


def test_rows_and_columns_are_read(storage: MemoryStorage):
    job = StoredJob.open(storage, ENDED)
    assert [row for number in range(2) for row in job.rows(number)] == ROWS
    found = columns.load(storage, job.manifest)
    assert found is not None
    assert (found.types.schema, found.index, found.frame) == (COLUMNS.types.schema, COLUMNS.index, COLUMNS.frame)


def test_parts_are_read(storage: MemoryStorage):
    job = StoredJob.open(storage, ENDED)
    first, second = (job.lines(number) or b"" for number in range(2))
    sha256 = [hashlib.sha256(lines).hexdigest() for lines in (first, second)]
    assert job.part(0) == Part(first, Footer(3, 1, 1, 1, 0, sha256[0], {"inference_error": 1}, **FOOTER))
    bins = [[0, 0.0, 0.0] for _ in range(10)]
    sums = {"rows": 1, "failed": 1, "exact_match": 0.0, "f1": 0.0, "unanswerable": 0, "no_answer_right": 0.0}
    about = {"started_at": NOW, "finished_at": NOW, "attempts": 3, "job": ENDED, "chunk": 1}
    codes = {"parse_error": 1, "worker_crash": 1}
    assert job.part(1) == Part(
        second, Footer(2, 0, 0, 2, 0, sha256[1], codes, **about, evaluation=sums | {"bins": bins})
    )


def test_model_and_markers_are_read(storage: MemoryStorage):
    assert records.model(storage, ENDED) == MODEL
    assert namespace.known_id(storage) == "0123456789ab"
    asked = [event for event in logs.events(storage, None, OPEN) if event.event == "cancel_asked"]
    assert asked == [logs.Event(NOW, "cancel_asked")]
    for key in (layout.owed(OPEN), layout.expiring(ENDED)):
        records.forget_stray(storage, key, NOW + 24 * 3600)
        assert storage.exists(key)
        records.forget_stray(storage, key, NOW + 24 * 3600 + 1)
        assert not storage.exists(key)


def test_attempts_are_read(storage: MemoryStorage):
    assert list(events.attempts(storage, OPEN)) == ATTEMPTS
    assert quarantine.read(storage, OPEN, 1, 3) == InFlight((12,), quarantine=True, poison=(11,))


def test_the_tally_is_read(storage: MemoryStorage):
    tally, beyond = counting.counted(storage, OPEN, {})
    seconds = {int(NOW) - 3: (10, NOW - 9.5, 0.0), int(NOW) - 2: (10, NOW - 9.5, 0.0)}
    assert tally.plus(beyond) == Tally(
        2,
        4,
        frozenset({0, 1}),
        20,
        20,
        started_at=NOW - 9.5,
        finished_at=NOW - 2,
        seconds=seconds,
        rules=(2,),
        attempts=4,
        retried=2,
        numerics=(NUMERICS,),
        **{name: 2 * value for name, value in WORK.items()},
    )


def test_the_report_is_read(storage: MemoryStorage):
    report = records.report(storage, ENDED)
    assert report is not None
    assert (report.options["top_k"], report.input["columns"], report.outputs["errors"]["bytes"] > 0) == (
        2,
        ["id", "Frage", "Text", "topic", "answers", "n"],
        True,
    )
    assert replace(report, options={}, input={}, outputs={}, evaluation=None) == Progress(
        ENDED, "completed_with_errors",
        Reason("some_rows_failed", "some rows have an error", "Fix them in the error file, and submit that."),
        NOW - 3600, NOW - 9.5, NOW, Counts(5, 1, 1, 3), Chunks(2, 2, retried=2), 1.0, 0.4, None, 5, 5,
        (("inference_error", 1), ("parse_error", 1), ("worker_crash", 1)), MODEL, {}, {},
        f"memory://{layout.predictions(ENDED)}", f"memory://{layout.errors(ENDED)}", {"team": "Süd", "run": "7"},
        ("wörker-1",), batch_invariant=False, answering_rule=(2,), expires_at=NOW + 86400.0,
        numerics=(NUMERICS,), **WORK,
    )  # fmt: skip


def test_notifications_are_read(storage: MemoryStorage):
    assert record.of(storage, ENDED) == Notification("https://example.org/hook", "delivered", TRIED)


def test_carried_outcomes_are_read(storage: MemoryStorage):
    assert StoredJob.open(storage, ENDED).carried(0) == {}
    assert StoredJob.open(storage, ENDED).carried(1) == {3: Carried(answer(ROWS[0]), WAY)}


# In Redis


PRESENCE = (
    '"name": "w\\u00f6rker-1", "model": "tiny", "digest": "d1", "precision": "int8", "threads": 2, '
    '"version": "0.1.0", "max_positions": 512, "trouble": "disk full", "storage": "0123456789ab", "host": "host", '
    f'"job": "{OPEN}", "chunk": 3, "held_seconds": 1.5, "rows_per_second": 2.25, "rss": 268435456, '
    '"draining": true, "attempt": 2, "answered": 5, "no_answer": 1, "failed": 3, "work": 0.0, "cost": null, '
    '"speed": 0.0, "age_seconds": 0.0}'
)


def test_a_heartbeat_is_written_with_the_same_bytes_and_read(redis_queue: RedisQueue, redis_client: redis.Redis):
    redis_queue.announce(WORKER)
    said = redis_client.hget(f"{PREFIX}workers", WORKER.name)
    assert said.partition(", ")[2] == PRESENCE
    assert redis_queue.workers() == [WORKER]
    later = said.removesuffix("}") + ', "of_a_later_version": {"x": [1]}}'
    redis_client.hset(f"{PREFIX}workers", WORKER.name, later)
    assert redis_queue.workers() == [WORKER]
    redis_client.hset(f"{PREFIX}workers", WORKER.name, re.sub(r'"attempt": .*"failed": 3, ', "", said))
    assert redis_queue.workers() == [replace(WORKER, attempt=0, answered=0, no_answer=0, failed=0)], "of an earlier one"


if __name__ == "__main__":
    for key, data in written()._objects.items():
        (GOLDEN / key).parent.mkdir(parents=True, exist_ok=True)
        (GOLDEN / key).write_bytes(data)
