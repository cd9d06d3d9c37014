"""Questions x documents as rows: document by document, a text once, and one document that is broken costs no other."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contract.errors import InputError, UsageError
from contract.format import chunk
from contract.format.job import Row
from contract.settings import Settings
from producer.input.location import Documents
from producer.input.open import open_input
from producer.input.options import ReadOptions
from producer.jobs.check import check_file, glance
from tests.documents.small import docx, pdf

ASKED = "When was it built?\n\n  Who built it?  \n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "documents"
    made.mkdir()
    (made / "b.docx").write_bytes(docx("Built in 1902."))
    (made / "a.pdf").write_bytes(pdf("Built in 1874.", "", "By Olav Lie."))
    (made / "c.pdf").write_bytes(pdf("x", encrypted=True))
    (made / ".DS_Store").write_bytes(b"\0")
    return made


def read(documents: Any, questions: str | bytes | pa.Table, **options: Any) -> tuple[list[Row], Any]:
    if isinstance(questions, pa.Table):
        sink = io.BytesIO()
        pq.write_table(questions, sink)
        questions = sink.getvalue()
    file = io.BytesIO(questions.encode() if isinstance(questions, str) else questions)
    with open_input(Documents(documents, file), ReadOptions(**options)) as source:
        tables = list(source.tables(0, 4 << 20))
        return [row for table in tables for row in chunk.rows(chunk.from_bytes(chunk.to_bytes(table)))], source


def test_every_question_is_asked_of_every_document_in_the_order_of_names(folder: Path):
    rows, source = read(str(folder), ASKED)
    assert [(row.row, row.document, row.group, row.question) for row in rows] == [
        (2 * place + number, name, str(number + 1), question)
        for place, name in enumerate(("a.pdf", "b.docx", "c.pdf"))
        for number, question in enumerate(("When was it built?", "Who built it?"))
    ]
    assert rows[0].context == "Built in 1874.\n\f\n\fBy Olav Lie.\n\f"
    assert rows[0].context is rows[1].context
    assert source.notes == ("a.pdf: 1 of 3 pages without text: 2",)
    assert (source.format, source.files) == ("documents", 3)


def test_a_broken_document_is_an_error_of_its_rows_alone(folder: Path):
    rows, source = read(str(folder), ASKED)
    assert [row.error and row.error.code for row in rows] == [None] * 4 + ["unreadable_document"] * 2
    assert rows[5].error.message == "c.pdf: an encrypted PDF document"  # type: ignore[union-attr]
    assert rows[5].context is None
    index = source.documents.index
    assert [(each.name, each.pages, each.library, bool(each.error)) for each in index] == [
        ("a.pdf", 3, "pypdfium2", False),
        ("b.docx", None, "lxml", False),
        ("c.pdf", None, "", True),
    ]
    assert all(len(each.sha256) == 64 for each in index)


def test_questions_of_a_table_have_ids_and_their_other_columns(folder: Path):
    rows, source = read(str(folder / "b.docx"), "id|question|kind\nwhen|When was it built?|year\nwho|Who?|person\n")
    assert [(row.id, row.group, row.passthrough) for row in rows] == [
        ("when", "when", {"kind": "year"}),
        ("who", "who", {"kind": "person"}),
    ]
    assert source.columns == ("id", "question", "kind")
    rows, _ = read(str(folder / "b.docx"), '{"question": "When?", "n": 1}\n{"question": "Who?"}\n')
    assert [(row.question, row.passthrough) for row in rows] == [("When?", {"n": 1}), ("Who?", {})]
    rows, _ = read(str(folder), pa.table({"q": ["When?"], "id": [7]}), question="q")
    assert [(row.id, row.document) for row in rows] == [("7", "a.pdf"), ("7", "b.docx"), ("7", "c.pdf")]


def test_a_bad_question_is_an_error_in_each_document_and_costs_no_other(folder: Path):
    rows, _ = read(str(folder), "id|question\na|When?\nb|\na|Who?\n")
    codes = [row.error and row.error.code for row in rows]
    assert codes[:6] == [None, "empty_question", "duplicate_id"] * 2


def test_questions_that_are_none_are_refused_with_a_remedy(folder: Path):
    with pytest.raises(InputError, match="no question in it"):
        read(str(folder), " \n")
    with pytest.raises(InputError) as caught:
        read(str(folder), pa.table({"frage": ["Wann?"], "x": [1]}))
    assert caught.value.code == "missing_column"
    assert caught.value.remedy == "Name the column with --question"
    with pytest.raises(InputError, match="questions are in one"), open_input(Documents(str(folder), str(folder))):
        pass


def test_documents_may_be_the_rows_of_a_table(tmp_path: Path):
    lines = [{"name": "x", "body": "Built in 1874."}, {"name": "y", "body": " "}, {"name": "z", "body": "By Olav."}]
    path = tmp_path / "table.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    rows, source = read(str(path), "When?\n", text="body", id="name")
    assert [(row.document, row.context, row.error and row.error.code) for row in rows] == [
        ("x", "Built in 1874.", None),
        ("y", None, "no_text"),
        ("z", "By Olav.", None),
    ]
    assert [each.characters for each in source.documents.index] == [14, 0, 8]
    with pytest.raises(InputError) as caught:
        read(str(path), "When?\n", text="text")
    assert caught.value.remedy == "Name the columns of their texts and names with --text and --id"
    with pytest.raises(UsageError, match="only documents"), open_input(str(path), ReadOptions(text="body")):
        pass


def test_the_file_of_the_questions_is_no_document(folder: Path):
    (folder / "questions.txt").write_text(ASKED)
    with open_input(Documents(str(folder), str(folder / "questions.txt"))) as source:
        (table,) = source.tables(0, 4 << 20)
    assert table["document"].unique().to_pylist() == ["a.pdf", "b.docx", "c.pdf"]


def test_two_documents_of_one_name_are_told_apart_by_an_error(tmp_path: Path):
    (tmp_path / "t.csv").write_text("name|body\na|Built in 1874.\na|Built in 1902.\n")
    rows, _ = read(str(tmp_path / "t.csv"), "When?\n", text="body", id="name")
    assert [(row.document, row.context, row.error and row.error.code) for row in rows] == [
        ("a", "Built in 1874.", None),
        ("a", None, "duplicate_id"),
    ]


def test_no_document_is_an_error_and_a_missing_one_too(tmp_path: Path):
    with pytest.raises(InputError, match="no files"):
        read(str(tmp_path), ASKED)
    with pytest.raises(InputError, match="no such file"):
        read(str(tmp_path / "none.pdf"), ASKED)


def test_a_text_over_the_limit_of_rows_is_an_error_that_names_the_limit(tmp_path: Path):
    (tmp_path / "a.txt").write_text("word " * 1000)
    rows, _ = read(str(tmp_path / "a.txt"), "When?\n", max_row_bytes=4096)
    assert rows[0].error
    assert rows[0].error.code == "row_too_large"
    assert "BULKQA_MAX_ROW_BYTES" in rows[0].error.message


def test_a_text_counts_once_toward_the_bytes_of_a_chunk_and_is_written_once(tmp_path: Path):
    for name in "abc":
        (tmp_path / f"{name}.txt").write_text(f"{name} " * 20_000)
    questions = "".join(f"What is {number}?\n" for number in range(300))
    with open_input(Documents(str(tmp_path / "*.txt"), io.BytesIO(questions.encode()))) as source:
        tables = list(source.tables(500, 150_000))
    assert [table.num_rows for table in tables] == [500, 400]  # the second has the rest of b and c
    files = [chunk.to_bytes(table) for table in tables]
    assert all(len(data) < 150_000 for data in files)
    assert [len(set(map(id, (row.context for row in chunk.rows(chunk.from_bytes(data)))))) for data in files] == [2, 2]
    assert chunk.to_bytes(chunk.from_bytes(files[0])) == files[0]


def test_a_text_counts_again_in_the_next_chunk(tmp_path: Path):
    for name in "abc":
        (tmp_path / f"{name}.txt").write_text(f"{name} " * 45_000)
    questions = "".join(f"What is {number}?\n" for number in range(300))
    with open_input(Documents(str(tmp_path), io.BytesIO(questions.encode()))) as source:
        tables = list(source.tables(200, 150_000))
    assert [table.num_rows for table in tables] == [200, 100] * 3  # two texts of 90,000 bytes are too many


def test_check_and_glance_read_documents_too(folder: Path, tmp_path: Path):
    (tmp_path / "q.txt").write_text(ASKED)
    spec = Documents(str(folder), str(tmp_path / "q.txt"))
    checked = check_file(spec, ReadOptions(), Settings())
    assert (checked.rows, checked.rejected, checked.files) == (6, 2, 3)
    assert (checked.longest_question, checked.longest_context) == (18, 32)
    seen = glance(spec, ReadOptions(), Settings())
    assert (seen.count, seen.complete, seen.format, seen.context_column) == (6, True, "documents", "document")


def test_the_digest_tells_other_documents_and_other_questions(folder: Path):
    digests = [read(str(folder), ASKED)[1].sha256 for _ in range(2)]
    (folder / "b.docx").rename(folder / "d.docx")
    digests.append(read(str(folder), ASKED)[1].sha256)
    digests.append(read(str(folder), ASKED + "More?")[1].sha256)
    assert len(set(digests)) == 3
    assert digests[0] == digests[1]
