"""Answers of documents: a line a document, and pages with the answers marked."""

from __future__ import annotations

import io
import json
from html.parser import HTMLParser
from typing import Any

import openpyxl
import pytest

from contract.errors import UsageError
from contract.format.job import InputFile, Manifest
from producer.results import workbook
from producer.results.documents import marked, wide
from producer.results.documents.wide import Wide

TEXT = "The lease begins on 1 May 2024\nand ends on <b>30 April</b> 2026.\n\fRent: 900 & more.\n\f"
QUESTIONS = ["When does it begin?", "What is the <rent>?", "What is the <rent>?"]


def answered(row: int, answer: str, **more: Any) -> dict[str, Any]:
    start = TEXT.index(answer)
    begin = max(0, start - 5)
    return {
        "row": row, "id": None, "document": "a/lease <1>.pdf", "page": 1 + TEXT.count("\f", 0, start),
        "status": "answered", "question": QUESTIONS[row % 3], "answer": answer, "start": start,
        "end": start + len(answer), "excerpt": TEXT[begin : start + len(answer) + 5], "excerpt_start": begin,
        "score": 0.75, "raw_score": 1.0, "null_score": 0.0, "margin": 1.0, "flags": [], "passthrough": {},
    } | more  # fmt: skip


def failed(row: int, code: str = "no_text") -> dict[str, Any]:
    return {
        "row": row, "id": None, "document": "scan.pdf", "status": "error", "question": QUESTIONS[row % 3],
        "answer": None, "error": {"code": code, "message": "no page has text"}, "passthrough": {},
    }  # fmt: skip


def silent(row: int) -> dict[str, Any]:
    nothing = {"status": "no_answer", "answer": "", "start": None, "end": None, "excerpt": None, "excerpt_start": None}
    return answered(row, "Rent") | nothing | {"page": None, "score": 0.9}


ROWS = [answered(0, "1 May 2024"), answered(1, "900"), silent(2), *map(failed, (3, 4, 5))]


def blocks(rows: list[dict[str, Any]], size: int = 2) -> list[bytes]:
    lines = [json.dumps(row).encode() + b"\n" for row in rows]
    return [b"".join(lines[first : first + size]) for first in range(0, len(lines), size)]


def documents(rows: list[dict[str, Any]] = ROWS) -> list[dict[str, Any]]:
    return [json.loads(line) for block in wide.documents(blocks(rows), 3) for line in block.splitlines()]


def test_a_line_is_a_document_with_its_answers_in_the_order_of_the_questions():
    lease, scan = documents()
    assert [answer["answer"] for answer in lease["answers"]] == ["1 May 2024", "900", ""]
    assert [answer["page"] for answer in lease["answers"]] == [1, 2, None]
    assert "error" not in lease
    assert (scan["document"], scan["error"]["code"]) == ("scan.pdf", "no_text")


def test_the_questions_are_those_of_the_first_document():
    texts, lines = wide.questions(blocks(ROWS), 3)
    assert (texts, list(lines)) == (QUESTIONS, blocks(ROWS))
    assert wide.questions([], 3)[0] == []


def test_a_document_is_given_once_all_its_rows_are_there():
    assert [each["document"] for each in documents(ROWS[:5])] == ["a/lease <1>.pdf"]


def test_a_table_has_three_columns_a_question_however_often_it_is_asked():
    table = Wide(QUESTIONS).table(documents())
    assert table.column_names == [
        "document",
        "When does it begin?", "When does it begin? (score)", "When does it begin? (page)",
        "What is the <rent>?", "What is the <rent>? (score)", "What is the <rent>? (page)",
        "What is the <rent>? [2]", "What is the <rent>? [2] (score)", "What is the <rent>? [2] (page)",
        "error",
    ]  # fmt: skip
    lease, scan = (list(row.values()) for row in table.to_pylist())
    assert lease == ["a/lease <1>.pdf", "1 May 2024", 0.75, 1, "900", 0.75, 2, None, None, None, None]
    assert scan == ["scan.pdf", *[None] * 9, "no_text: no page has text"]
    assert Wide(QUESTIONS).table([]).num_rows == 0


def test_a_question_that_failed_alone_is_counted():
    rows = [answered(0, "900"), failed(1, "inference_error"), answered(2, "Rent")]
    assert Wide(QUESTIONS).cells(documents(rows)[0])[-1] == "1 of 3 questions failed"


def test_an_excerpt_has_its_answer_in_bold_in_a_workbook():
    file = io.BytesIO()
    workbook.write(file, *wide.sheets(documents(), Wide(QUESTIONS), io.BytesIO()))
    book = openpyxl.load_workbook(file, rich_text=True)
    assert book.sheetnames == ["answers", "excerpts"]
    found = list(book["excerpts"].values)
    assert found[0] == wide.EXCERPTS
    assert [row[:5] for row in found[1:]] == [
        ("a/lease <1>.pdf", QUESTIONS[0], "1 May 2024", 0.75, 1),
        ("a/lease <1>.pdf", QUESTIONS[1], "900", 0.75, 2),
    ]
    before, part, after = found[2][5]
    assert (str(before), part.text, part.font.b, str(after)) == ("ent: ", "900", True, " & mo")


def test_a_job_that_asks_no_documents_has_no_line_a_document():
    job = Manifest("job", 0.0, "m", 3, 0, 1, "", InputFile("f.csv", "csv", 9, "", ()))
    with pytest.raises(UsageError, match="job job has no documents"):
        wide.check(job)


class Text(HTMLParser):
    """What a browser shows of a page: its text, and what is marked."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text, self.marks, self.tags = "", [], []
        self._open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in ("main", "mark"):
            self._open.append(tag)
        if tag == "mark":
            self.marks.append("")
        if tag == "hr":
            self.text += "\f"

    def handle_endtag(self, tag: str) -> None:
        if tag in ("main", "mark"):
            self._open.pop()

    def handle_data(self, data: str) -> None:
        if "main" in self._open:
            self.text += data
        if "mark" in self._open:
            self.marks[-1] += data


def test_a_page_has_the_text_escaped_and_its_answers_marked():
    page = Text(marked.page(documents()[0], TEXT))
    assert page.text == TEXT
    assert page.marks == ["1 May 2024", "900"]
    anchors = {attrs.get("id") for tag, attrs in page.tags if tag in ("mark", "a")}
    links = {attrs["href"] for tag, attrs in page.tags if tag == "a" and "href" in attrs}
    assert links - {"index.html"} == {"#answer-1", "#answer-2"}
    assert {link.removeprefix("#") for link in links - {"index.html"}} <= anchors
    assert not {tag for tag, _ in page.tags} & {"script", "b", "img", "link"}


def test_answers_that_overlap_are_all_marked():
    rows = [answered(0, "1 May 2024"), answered(1, "May"), answered(2, "May 2024\nand")]
    page = Text(marked.page(documents(rows)[0], TEXT))
    assert page.text == TEXT
    assert page.marks == ["1 ", "May", " 2024", "\nand"]
    assert [attrs["id"] for tag, attrs in page.tags if "id" in attrs] == ["answer-1", "answer-3", "answer-2"]


def test_all_pages_are_listed_with_names_that_are_safe():
    texts = {0: TEXT, 1: None}
    pages = dict(marked.pages(documents(), texts.__getitem__))
    assert list(pages) == ["0001-a-lease-1-.pdf.html", "0002-scan.pdf.html", "index.html"]
    links = [attrs["href"] for tag, attrs in Text(pages["index.html"]).tags if tag == "a"]
    assert links == list(pages)[:2]
    assert "no page has text" in pages["0002-scan.pdf.html"]
    assert marked.file_name(8, "../..") == "0009.html"
