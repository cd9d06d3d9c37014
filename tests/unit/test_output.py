"""Predictions are written in three formats that say the same, and a file is there whole or not at all."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from contract.errors import UsageError
from contract.format import layout, part
from contract.format.job import Answer, Options, Row, RowError, Span, answered, failed
from contract.ledger import records
from contract.ledger.assemble import predictions as lines_of
from contract.ledger.reconcile import reconcile
from contract.queue.memory import MemoryQueue
from contract.storage import Storage
from producer.jobs.output import PARQUET_SCHEMA, flat, format_of, write_file, write_stream
from producer.jobs.submit import job_of_key
from tests.making import finish_parts, job_of, predictions

SPANS = (Span("é😀", 0, 2, 0.9, 7.5), Span("x", 3, 4, 0.1, 1.0))
OPTIONS = Options(top_k=2)
ROWS = [
    answered(
        Row(0, "q", "é😀 x", id="a", passthrough={"n": 1, "ä": "|"}), Answer(SPANS, 1.5, 0.9, ("truncated",)), OPTIONS
    ),
    answered(Row(1, "q\u2028\n", "c", line=3), Answer((), 9.0, 0.8), OPTIONS),
    failed(Row(2, None, None, raw="a|b"), RowError("missing_field", "m"), OPTIONS),
]


def blocks() -> list[bytes]:
    """As parts hold them: two rows in one, one in the next."""
    return [part.body(part.encode(rows)[0], len(rows))[0] for rows in (ROWS[:2], ROWS[2:])]


def written(kind: str, given: list[bytes] | None = None) -> bytes:
    file = io.BytesIO()
    write_stream(file, blocks() if given is None else given, kind)
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


def test_parquet_has_the_same_in_columns():
    table = pq.read_table(io.BytesIO(written("parquet")))
    assert table.schema.equals(PARQUET_SCHEMA)
    found = table.to_pylist()
    assert [row["row"] for row in found] == [0, 1, 2]
    assert found[0].items() >= {
        "row": 0, "id": "a", "status": "answered", "question": "q", "context": "é😀 x", "answer": "é😀", "start": 0,
        "end": 2, "score": 0.9, "raw_score": 7.5, "null_score": 1.5, "error_code": None, "error_message": None,
    }.items()  # fmt: skip
    assert found[0]["flags"] == ["truncated"]
    assert json.loads(found[0]["passthrough"]) == {"n": 1, "ä": "|"}
    assert json.loads(found[0]["alternatives"]) == ROWS[0]["alternatives"]
    assert (found[2]["error_code"], found[2]["error_message"], found[2]["answer"]) == ("missing_field", "m", None)


def test_no_predictions_yet_are_an_empty_document():
    assert json.loads(written("json", [])) == {"predictions": []}
    assert written("jsonl", []) == b""
    assert pq.read_table(io.BytesIO(written("parquet", []))).num_rows == 0


def test_a_document_made_of_parts_is_the_one_that_is_published(storage: Storage, settings):
    manifest = job_of(storage, settings, rows=10, key="k")
    finish_parts(storage, manifest)
    reconcile(manifest.id, storage, MemoryQueue(), settings)
    index = records.load_index(storage, manifest)
    assert manifest.id == job_of_key("k")
    assert written("json", list(lines_of(storage, index, manifest.id))) == storage.read(layout.predictions(manifest.id))
    assert len(predictions(storage, manifest.id)) == 10


def test_flattening_changes_nothing_of_what_was_given():
    before = json.dumps(ROWS[0])
    flat(ROWS[0])
    assert json.dumps(ROWS[0]) == before


@pytest.mark.parametrize("kind", ["json", "jsonl", "parquet"])
def test_a_file_appears_whole_or_not_at_all(tmp_path: Path, kind: str):
    out = tmp_path / "new" / f"answers.{kind}"

    def broken() -> Iterator[bytes]:
        yield blocks()[0]
        assert not out.exists()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_file(out, broken(), kind)
    assert list(out.parent.iterdir()) == []

    write_file(out, blocks(), kind)
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
        ("a.json", "parquet", "parquet"),
    ],
)  # fmt: skip
def test_the_format_is_told_by_flag_or_ending(name: str, flag: str | None, kind: str):
    assert format_of(Path(name), flag) == kind


@pytest.mark.parametrize(("name", "flag"), [("a.csv", None), ("a.json", "xml"), ("a.json.gz", None)])
def test_other_formats_are_refused_with_those_that_there_are(name: str, flag: str | None):
    with pytest.raises(UsageError, match="cannot be written as") as caught:
        format_of(Path(name), flag)
    assert ".jsonl" in (caught.value.remedy or "")
