"""Text out of documents: what a reader of them sees, in order, with pages; and why there is none."""

from __future__ import annotations

import io
import zipfile

import pytest

from producer.input.documents import pdf as pdf_module
from producer.input.documents.extract import extract
from producer.input.documents.text import Text, Unreadable
from tests.documents.small import docx, pdf

OLD_OFFICE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500)


def refused(name: str, data: bytes) -> tuple[str, str]:
    with pytest.raises(Unreadable) as caught:
        extract(name, data)
    return caught.value.code, caught.value.why


# Text and Markdown


def test_a_text_file_is_as_it_stands_with_one_kind_of_line_end():
    text = extract("notes.md", "\ufeff# Title\r\n\r\n\r\n\r\nTwo  *words*\rend".encode())
    assert text.text == "# Title\n\n\n\nTwo  *words*\nend"
    assert (text.pages, text.warnings) == (None, ())


def test_a_text_of_another_encoding_is_read_and_said():
    assert extract("a.txt", "Gr\xf6\xdfe: 5".encode("utf-16")).text == "Gr\xf6\xdfe: 5"
    text = extract("a.txt", "Die Gr\xf6\xdfe der T\xfcr betr\xe4gt f\xfcnf Meter".encode("cp1252"))
    assert text.text == "Die Gr\xf6\xdfe der T\xfcr betr\xe4gt f\xfcnf Meter"
    assert text.warnings == ("it is not UTF-8 and was read as WINDOWS-1252",)


def test_form_feeds_divide_a_text_into_pages():
    assert extract("a.txt", b"one\n\ftwo\n\f").pages == 2
    assert extract("a.txt", b"one\n\ftwo").pages == 2


# Web pages


def test_a_page_is_what_a_browser_shows():
    text = extract(
        "a.html",
        b"<!doctype html><title>no</title><style>p{}</style><h1>A&nbsp;<b>b</b>ig\n title</h1><p>o<i>n</i>e<br>two "
        b"<script>no()</script><!-- no -->three</p><ul><li>x<li>y</ul><pre>a\n  b</pre>"
        b"<table><tr><th>k<td>v<tr><td>1<td>2</table>end",
    )
    assert text.text == "A\xa0big title\n\none\ntwo three\n\nx\ny\n\na\n  b\n\nk\tv\n1\t2\n\nend"


@pytest.mark.parametrize(
    "declared", ["<meta charset=windows-1251>", '<meta http-equiv="a" content="b; charset=windows-1251">']
)
def test_a_page_is_read_in_the_encoding_that_it_declares(declared: str):
    data = f"<html>{declared}<p>\u043c\u0430\u044f\u043a".encode("cp1251")
    assert extract("a.htm", data).text == "\u043c\u0430\u044f\u043a"
    assert extract("a.htm", "<p>caf\xe9".encode()).text == "caf\xe9"


# Word


def test_word_gives_paragraphs_tables_notes_and_headers():
    cell = "<w:tc><w:p><w:r><w:t>{}</w:t></w:r></w:p></w:tc>"
    rows = "".join(f"<w:tr>{''.join(map(cell.format, row))}</w:tr>" for row in (("Year", "Keeper"), ("1911", "Aas")))
    note = "<w:p><w:r><w:t>{}</w:t></w:r></w:p>"
    more = {"footnotes": note.format("A note."), "header": note.format("On top."), "footer": note.format("Below.")}
    text = extract("a.docx", docx("The light\u00adhouse.", body=f"<w:tbl>{rows}</w:tbl>", more=more))
    assert text.text == "On top.\n\nThe lighthouse.\nYear\tKeeper\n1911\tAas\n\nA note.\n\nBelow."


def test_word_gives_what_was_inserted_and_not_what_was_deleted():
    body = (
        "<w:p><w:r><w:t>a</w:t></w:r><w:ins><w:r><w:t>b</w:t></w:r></w:ins><w:del><w:r><w:delText>c</w:delText></w:r>"
        "</w:del><w:moveFrom><w:r><w:t>d</w:t></w:r></w:moveFrom><w:r><w:tab/><w:t>e</w:t></w:r></w:p>"
    )
    assert extract("a.docx", docx(body=body)).text == "ab\te"


# PDF


def test_pdf_has_pages_each_ended_by_a_form_feed():
    text = extract("a.pdf", pdf("The tower (1874).\nSecond line", "", "Last"))
    assert text.text == "The tower (1874).\nSecond line\n\f\n\fLast\n\f"
    assert (text.pages, text.library) == (3, "pypdfium2")
    assert text.warnings == ("1 of 3 pages without text: 2",)
    assert 1 + text.text.count("\f", 0, text.text.index("Last")) == 3


def test_a_divided_word_is_joined_only_if_the_document_has_it_whole():
    words = "the reconstruc\ufffetion and fifty\ufffefive of the Reconstruction\ufffe"
    assert pdf_module._joined(words) == "the reconstruction and fifty-five of the Reconstruction-"
    assert extract("a.pdf", pdf("A reconstruction.\nThe reconstruc-\ntion of it")).text.count("reconstruction") == 2


# What is none


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("a.pdf", pdf("", ""), "ocrmypdf"),
        ("a.txt", b" \n ", "no text in it"),
        ("a.html", b"<html><script>x</script>", "no text in it"),
        ("a.docx", docx(""), "no text in it"),
        ("a.txt", b"", "the file is empty"),
    ],
)
def test_a_document_without_text_has_its_own_code(name: str, data: bytes, why: str):
    code, said = refused(name, data)
    assert code == "no_text"
    assert why in said


def workbook() -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("xl/workbook.xml", "<a/>")
    return sink.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("a.pdf", pdf("x", encrypted=True), "encrypted"),
        ("a.pdf", pdf("x" * 3000)[:-1500], "cut off"),
        ("a.pdf", b"%PDF-1.7 nothing %%EOF", "damaged"),
        ("a.pdf", b"<!doctype html><p>404", "renamed"),
        ("a.docx", b"only text", "renamed"),
        ("a.docx", docx("long" * 99)[:-40], "cut off"),
        ("a.docx", docx("long" * 99)[:20] + docx("long" * 99)[60:], "damaged"),
        ("a.docx", OLD_OFFICE + "EncryptedPackage".encode("utf-16-le"), "encrypted"),
        ("a.doc", OLD_OFFICE, "old Office"),
        ("a.docx", workbook(), "Excel workbook"),
        ("a.txt", b"\x89PNG\r\n\x1a\n" + bytes(99), "a picture"),
        ("a.txt", b"abc\0\1\2", "not text"),
        ("a.docx", docx(body="<w:p>" + "<w:x>" * 5000), "damaged"),
    ],
)  # fmt: skip
def test_a_document_that_cannot_be_read_says_why(name: str, data: bytes, why: str):
    code, said = refused(name, data)
    assert code == "unreadable_document"
    assert why in said


def test_too_many_pages_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pdf_module, "MOST_PAGES", 2)
    assert "3 pages, and at most 2 are allowed" in refused("a.pdf", pdf("a", "b", "c"))[1]


def test_content_decides_where_the_name_does_not():
    assert extract("report", pdf("PDF")).pages == 1
    assert extract("report.txt", docx("Word")) == Text("Word", None, "lxml", extract("b", docx("x")).version)
