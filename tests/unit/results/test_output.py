"""Predictions are written in four formats that say the same, and a file is there whole or not at all."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from contract.errors import StorageUnreachable, UsageError
from contract.format import layout, part
from contract.format.job import Answer, InputFile, Manifest, Options, Row, RowError, Span, answered, failed
from contract.ledger.reconcile import reconcile
from contract.ledger.stored import StoredJob
from contract.settings import Settings
from contract.storage import Storage, open_storage
from contract.storage.local import LocalStorage
from producer.backend.direct import DirectBackend
from producer.jobs.submit import job_of_key, submit
from producer.request import Request
from producer.results import folder
from producer.results.lines import ready_lines
from producer.results.output import check_output, format_of, shape_of, write_file, write_results, write_stream
from producer.results.output import written as streamed
from producer.results.typed import CORE, Shape, flattened
from tests.making import csv as csv_of
from tests.making import finish_parts, job_of, predictions
from tests.twins.queue import MemoryQueue

SPANS = (Span("é😀", 0, 2, 0.9, 7.5, 6.0), Span("x", 3, 4, 0.1, 1.0, -0.5))
OPTIONS = Options(top_k=2)
ROWS = [
    answered(
        Row(0, "q", "é😀 x", id="a", passthrough={"n": "1", "ä": "|", "row": "r"}),
        Answer(SPANS, 1.5, 0.9, ("truncated",), 6.0),
        OPTIONS,
    ),
    answered(Row(1, "q\u2028\n", "c", line=3), Answer((), 9.0, 0.8), OPTIONS),
    failed(Row(2, None, None, raw="a|b"), RowError("missing_field", "m"), OPTIONS),
]


COLUMNS = ("id", "question", "context", "n", "ä", "row")
#: Of a job from a pipe-delimited file.
SHAPE = Shape(
    Manifest("job", 0.0, "m", 3, 1, 1, "", InputFile("f.csv", "csv", 9, "", COLUMNS, "|"), id_column="id"), None
)


def blocks() -> list[bytes]:
    """As parts hold them: two rows in one, one in the next."""
    return [part.body(part.encode(rows)[0], len(rows))[0] for rows in (ROWS[:2], ROWS[2:])]


def written(kind: str, given: list[bytes] | None = None) -> bytes:
    file = io.BytesIO()
    write_stream(file, blocks() if given is None else given, kind, SHAPE)
    return file.getvalue()


def test_json_is_one_document_with_one_prediction_a_line():
    document = written("json").decode()
    assert json.loads(document) == {"predictions": ROWS}
    lines = document.split("\n")
    assert [json.loads(line.removesuffix(",")) for line in lines[1:4]] == ROWS
    assert lines[0] == '{"predictions": ['
    assert lines[4:] == ["]}", ""]


def test_json_lines_are_a_prediction_a_line():
    assert [json.loads(line) for line in written("jsonl").decode().split("\n")[:-1]] == ROWS


def test_parquet_has_the_same_in_columns_and_the_input_s_own_beside_them():
    table = pq.read_table(io.BytesIO(written("parquet")))
    assert table.schema.names == [*CORE.names, "n", "ä", "input_row"]
    assert table.schema.equals(SHAPE.schema)
    found = table.to_pylist()
    assert [(row["row"], row["line"]) for row in found] == [(0, None), (1, 3), (2, None)]
    assert found[0].items() >= {
        "row": 0, "id": "a", "status": "answered", "question": "q", "context": "é😀 x", "answer": "é😀", "start": 0,
        "end": 2, "score": 0.9, "raw_score": 7.5, "null_score": 1.5, "margin": 6.0, "error_code": None,
        "error_message": None, "raw": None, "n": "1", "ä": "|", "input_row": "r",
    }.items()  # fmt: skip
    assert found[0]["flags"] == ["truncated"]
    assert found[0]["alternatives"] == ROWS[0]["alternatives"]
    assert (found[2]["error_code"], found[2]["error_message"], found[2]["answer"]) == ("missing_field", "m", None)
    assert found[2]["raw"] == "a|b"


def test_csv_has_the_same_as_text_in_the_delimiter_of_the_input():
    text = written("csv").decode()
    head, *rows = list(csv.reader(io.StringIO(text, newline=""), delimiter="|"))
    assert head == [*CORE.names, "n", "ä", "input_row"]
    found = [dict(zip(head, row, strict=True)) for row in rows]
    assert [row["question"] for row in found] == ["q", "q\u2028\n", ""]
    assert (
        found[0].items()
        >= {"answer": "é😀", "start": "0", "score": "0.9", "n": "1", "ä": "|", "input_row": "r"}.items()
    )
    assert json.loads(found[0]["alternatives"]) == ROWS[0]["alternatives"]
    assert (found[2]["error_code"], found[2]["raw"], found[2]["start"]) == ("missing_field", "a|b", "")
    assert "\r\n" not in text


def test_a_lone_return_in_a_cell_of_csv_ends_no_row():
    line = json.dumps(ROWS[0] | {"answer": "a\rb", "context": "x\r\ny"}).encode() + b"\n"
    (_, row) = csv.reader(io.StringIO(written("csv", [line]).decode(), newline=""), delimiter="|")
    assert (row[5], row[6]) == ("x\r\ny", "a\rb")


@pytest.mark.parametrize("kind", ["json", "jsonl", "csv", "parquet"])
def test_a_block_is_written_before_the_next_one_is_read_and_no_file_is_made(
    kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    read = []

    def reading() -> Iterator[bytes]:
        for number, block in enumerate(blocks()):
            read.append(number)
            yield block

    parts, seen = [], []
    for piece in streamed(reading(), kind, SHAPE):
        parts.append(piece)
        seen.append((len(read), len(b"".join(parts)) > 100))
    assert (1, True) in seen, "the first row was there before the second block was read"
    assert b"".join(parts) == written(kind)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_the_columns_are_the_same_whatever_the_outcome(kind: str):
    def head(rows: list[dict]) -> list[str]:
        data = written(kind, [part.body(part.encode(rows)[0], len(rows))[0]] if rows else [])
        return pq.read_schema(io.BytesIO(data)).names if kind == "parquet" else data.decode().split("\n")[0].split("|")

    assert {tuple(head(rows)) for rows in ([], ROWS, ROWS[:1], ROWS[2:])} == {tuple(SHAPE.schema.names)}


def test_no_predictions_yet_are_an_empty_document():
    assert json.loads(written("json", [])) == {"predictions": []}
    assert written("jsonl", []) == b""
    assert written("csv", []).count(b"\n") == 1
    assert pq.read_table(io.BytesIO(written("parquet", []))).num_rows == 0


def test_a_document_made_of_parts_is_the_one_that_is_published(storage: Storage, settings):
    manifest = job_of(storage, settings, rows=10, key="k")
    finish_parts(storage, manifest)
    reconcile(manifest.id, storage, MemoryQueue(), settings)
    assert manifest.id == job_of_key("k")
    stored = StoredJob.open(storage, manifest.id)
    parts = [stored.lines(number) or b"" for number in range(manifest.chunks)]
    assert written("json", parts) == storage.read(layout.predictions(manifest.id))
    assert len(predictions(storage, manifest.id)) == 10


def test_flattening_changes_nothing_of_what_was_given():
    before = json.dumps(ROWS[0])
    flattened(ROWS[0])
    assert json.dumps(ROWS[0]) == before


@pytest.mark.parametrize("kind", ["json", "jsonl", "csv", "parquet"])
def test_a_file_appears_whole_or_not_at_all(tmp_path: Path, kind: str):
    out = tmp_path / "new" / f"answers.{kind}"

    def broken() -> Iterator[bytes]:
        yield blocks()[0]
        assert not out.exists()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_file(out, broken(), kind, SHAPE)
    assert list(out.parent.iterdir()) == []

    write_file(out, blocks(), kind, SHAPE)
    assert out.read_bytes() == written(kind)
    assert list(out.parent.iterdir()) == [out]


def test_a_failed_rewrite_leaves_the_old_file(tmp_path: Path):
    out = tmp_path / "a.json"
    out.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError):
        write_file(out, (1 // 0 for _ in range(1)), "json")  # type: ignore[misc]
    assert out.read_bytes() == b"old"


def test_a_link_stays_a_link_and_its_file_is_written(tmp_path: Path):
    (tmp_path / "there").mkdir()
    link = tmp_path / "link.json"
    link.symlink_to("there/real.json")
    write_file(link, blocks(), "json")
    assert link.is_symlink()
    assert (tmp_path / "there" / "real.json").read_bytes() == written("json")


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path):
    """As a device is: /dev/null would become a file."""
    pipe = tmp_path / "pipe.json"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(pipe.read_bytes)
        write_file(pipe, blocks(), "json")
        assert reading.result(30) == written("json")
    assert pipe.is_fifo()
    assert list(tmp_path.iterdir()) == [pipe]


@pytest.mark.parametrize(
    ("name", "flag", "kind"),
    [
        ("a.json", None, "json"), ("a.jsonl", None, "jsonl"), ("a.NDJSON", None, "jsonl"),
        ("a.parquet", None, "parquet"), ("a.pq", None, "parquet"), ("a", None, "json"), ("a.txt", "jsonl", "jsonl"),
        ("a.json", "parquet", "parquet"), ("a.csv", None, "csv"), ("a.CSV", None, "csv"),
    ],
)  # fmt: skip
def test_the_format_is_told_by_flag_or_ending(name: str, flag: str | None, kind: str):
    assert format_of(Path(name), flag) == kind


@pytest.mark.parametrize(("name", "flag"), [("a.xls", None), ("a.json", "xml"), ("a.json.gz", None)])
def test_other_formats_are_refused_with_those_that_there_are(name: str, flag: str | None):
    with pytest.raises(UsageError, match="cannot be written as") as caught:
        format_of(Path(name), flag)
    assert ".jsonl" in (caught.value.remedy or "")


def test_a_job_of_json_lines_has_what_was_passed_through_as_json(storage: Storage, settings):
    data = b'{"question": "q?", "context": "c", "n": 1}\n{"question": "q?", "context": "c", "n": "x", "m": [true]}\n'
    manifest = job_of(storage, settings, data)
    finish_parts(storage, manifest)
    reconcile(manifest.id, storage, MemoryQueue(), settings)
    out = io.BytesIO()
    shape = shape_of(backend_of(storage, settings), manifest.id, "parquet")
    write_stream(out, ready_lines(manifest.id, storage), "parquet", shape)
    found = pq.read_table(out)
    assert found.schema.names == [*CORE.names, "passthrough"]
    assert [json.loads(text) for text in found["passthrough"].to_pylist()] == [{"n": 1}, {"n": "x", "m": [True]}]


# An output that cannot be written is refused before the work


@pytest.mark.parametrize("url", ["ftp://host/a.json", "https://host/a", "file:///tmp/a.json"])
def test_a_url_is_no_file(url: str):
    with pytest.raises(UsageError, match="is a URL") as caught:
        check_output(Path(url), None)
    assert "Name a file" in (caught.value.remedy or "")


@pytest.mark.parametrize(
    "name", ["file.txt/answers.json", "loop/answers.json", "a" * 250 + ".json", "/proc/answers.json", "nul\0.json"]
)
def test_what_cannot_be_put_there_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.txt").write_text("x")
    (tmp_path / "loop").symlink_to("loop")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UsageError, match="cannot be written"):
        check_output(Path(name), None)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("name", ["a.json", "new/folder/a.parquet", "a:b.json", "a" * 200 + ".csv", "/dev/null"])
def test_what_can_be_is_not_and_nothing_is_left_of_the_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    monkeypatch.chdir(tmp_path)
    check_output(Path(name), "json")
    assert list(tmp_path.iterdir()) == []


# A folder of parts


def backend_of(storage: Storage, settings: Settings) -> DirectBackend:
    return DirectBackend(settings, storage, MemoryQueue())  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "csv"])
def test_parts_have_all_rows_in_order_and_what_reads_a_folder_reads_them(
    local_storage: LocalStorage, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
):
    monkeypatch.setattr("producer.results.folder.cut.__defaults__", (1,))
    manifest = job_of(local_storage, settings, csv_of(20, bad=(3,)), rows=20)
    finish_parts(local_storage, manifest)
    reconcile(manifest.id, local_storage, MemoryQueue(), settings)
    folder = tmp_path / "deep" / "out"
    check_output(folder, kind, as_folder=True)
    write_results(backend_of(local_storage, settings), manifest.id, folder, kind, as_folder=True)
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["_SUCCESS", "_errors.csv", *(f"part-{n:05d}.{kind}" for n in range(manifest.chunks))]
    if kind == "jsonl":
        text = "".join(path.read_text() for path in sorted(folder.glob("part-*")))
        assert [json.loads(line) for line in text.splitlines()] == predictions(local_storage, manifest.id)
    elif kind == "parquet":
        assert pq.read_table(folder)["row"].to_pylist() == list(range(20))
    else:
        again = submit(str(folder), local_storage, settings, Request()).manifest
        assert again.rows == 20
    assert not list(tmp_path.glob("deep/.*"))


def test_parts_of_a_job_under_way_have_no_success(local_storage: LocalStorage, settings: Settings, tmp_path: Path):
    manifest = job_of(local_storage, settings)
    finish_parts(local_storage, manifest, but=(manifest.chunks - 1,))
    write_results(backend_of(local_storage, settings), manifest.id, tmp_path / "out", None, as_folder=True)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["part-00000.jsonl"]


def test_parts_are_written_over_nothing(tmp_path: Path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for output, kind in (
        (tmp_path / "full", None),
        (tmp_path / "file", None),
        (Path("-"), None),
        (tmp_path / "x", "json"),
    ):
        with pytest.raises(UsageError):
            check_output(output, kind, as_folder=True)
    with pytest.raises(UsageError, match="--output DIR"):
        check_output(None, None, as_folder=True)
    with pytest.raises(UsageError):
        folder.write(tmp_path / "full", [("part-00000.jsonl", [b"x"])], complete=True)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "full", "mine.txt"]


def test_what_fails_in_the_middle_leaves_no_folder(tmp_path: Path):
    def breaking() -> Iterator[bytes]:
        yield b"x"
        raise RuntimeError

    with pytest.raises(RuntimeError):
        folder.write(tmp_path / "out", [("part-00000.jsonl", breaking())], complete=True)
    assert list(tmp_path.iterdir()) == []


# An object store


@pytest.fixture
def prefix(s3_storage: Storage) -> str:
    return s3_storage.url


def object_at(url: str) -> bytes:
    bucket, _, key = url.removeprefix("s3://").partition("/")
    return open_storage(f"s3://{bucket}").read(key)


@pytest.mark.parametrize("kind", ["json", "jsonl", "csv", "parquet"])
def test_an_output_in_an_object_store_is_what_a_file_would_be(
    local_storage: LocalStorage, settings: Settings, tmp_path: Path, prefix: str, kind: str
):
    manifest = job_of(local_storage, settings, csv_of(20, bad=(3,)), rows=20)
    finish_parts(local_storage, manifest)
    reconcile(manifest.id, local_storage, MemoryQueue(), settings)
    for output in (tmp_path / f"out.{kind}", Path(f"{prefix}/deep/out.{kind}")):
        check_output(output, None)
        write_results(backend_of(local_storage, settings), manifest.id, output, None)
    assert object_at(f"{prefix}/deep/out.{kind}") == (tmp_path / f"out.{kind}").read_bytes()
    assert object_at(f"{prefix}/deep/out.errors.csv") == (tmp_path / "out.errors.csv").read_bytes()


def test_parts_go_to_an_object_store_and_over_nothing(local_storage: LocalStorage, settings: Settings, prefix: str):
    manifest = job_of(local_storage, settings)
    finish_parts(local_storage, manifest)
    reconcile(manifest.id, local_storage, MemoryQueue(), settings)
    output = Path(f"{prefix}/out")
    check_output(output, None, as_folder=True)
    write_results(backend_of(local_storage, settings), manifest.id, output, None, as_folder=True)
    assert open_storage(f"{prefix}/out").list("") == ["_SUCCESS", "part-00000.jsonl"]
    with pytest.raises(UsageError, match="nothing is overwritten"):
        check_output(output, None, as_folder=True)


def test_the_name_of_an_output_is_a_name_and_not_an_address(
    local_storage: LocalStorage, settings: Settings, prefix: str
):
    manifest = job_of(local_storage, settings)
    finish_parts(local_storage, manifest)
    reconcile(manifest.id, local_storage, MemoryQueue(), settings)
    for name in ("PO# 1? 50%25.json", "x[1].json"):
        check_output(Path(f"{prefix}/{name}"), None)
        write_results(backend_of(local_storage, settings), manifest.id, Path(f"{prefix}/{name}"), None)
        assert object_at(f"{prefix}/{name}").startswith(b"{")
    assert open_storage(prefix).list("") == ["PO# 1? 50%25.json", "x[1].json"]


@pytest.mark.parametrize("output", ["s3://[", "s3://", "gs://a b/x.json", "az://[x]/y"])
def test_a_malformed_address_of_an_output_is_an_error_with_a_remedy(output: str):
    with pytest.raises(UsageError, match="malformed") as caught:
        check_output(Path(output), "json")
    assert caught.value.remedy


@pytest.mark.usefixtures("prefix")
def test_an_object_store_that_cannot_be_written_is_told_before_the_work():
    with pytest.raises(StorageUnreachable, match="no such bucket"):
        check_output(Path("s3://nobody-has-this-bucket/out"), None, as_folder=True)
    with pytest.raises(UsageError, match="a bucket, not an object"):
        check_output(Path("s3://nobody-has-this-bucket"), "json")
