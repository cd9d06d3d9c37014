"""A row ends where its file's lines end, and a cut row is never answered."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.format import chunk
from contract.format.job import Row
from producer.input.formats.lines import line_end
from producer.input.open import open_input
from producer.input.options import ReadOptions
from tests import REPO

CASES = REPO.parent / "shared" / "cases"
HEADER = b"id|question|context\n"


def read(data: bytes | Path, **options) -> list[Row]:
    with open_input(io.BytesIO(data) if isinstance(data, bytes) else data, ReadOptions(**options)) as source:
        return [row for table in source.tables(100, 1 << 20) for row in chunk.rows(table)]


def codes(rows: list[Row]) -> list[str | None]:
    return [row.error.code if row.error else None for row in rows]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_lone_return_is_text_if_lines_end_otherwise(end: bytes) -> None:
    data = HEADER + b"1|Where?|The house is locked.\rThe key hangs behind the stove.\n2|q|c\n3|q|\rc\r\r\n"
    rows_read = read(data.replace(b"\n", end))
    assert codes(rows_read) == [None] * 3
    assert rows_read[0].context == "The house is locked.\rThe key hangs behind the stove."
    assert [row.context for row in rows_read[1:]] == ["c", "\rc\r\r"]
    assert [row.line for row in rows_read] == [2, 3, 4]


def test_a_lone_return_beside_quotes_is_text_too() -> None:
    rows_read = read(HEADER + b'1|a\rb|"c\rd|\n""e"""\n"2\r"|q|c\r"d"\n')
    assert [(row.id, row.question, row.context) for row in rows_read] == [
        ("1", "a\rb", 'c\rd|\n"e"'), ("2\r", "q", 'c\r"d"'),
    ]  # fmt: skip


@pytest.mark.parametrize("row", [b"2|q|c\r\n", b'2|q|"c"\r\n'])
def test_a_return_before_the_newline_of_a_row_is_text_if_lines_end_otherwise(row: bytes) -> None:
    """In a file of newlines it stays, except behind a quote, where no text can be."""
    rows_read = read(HEADER + b"1|q|c\n" + row)
    assert codes(rows_read) == [None, None]
    assert rows_read[1].context == ("c" if b'"' in row else "c\r")


def test_newlines_before_the_return_of_a_row_are_text() -> None:
    assert [row.context for row in read(b"id|question|context\r1|q|c\n\n\r2|q|c\r")] == ["c\n\n", "c"]


def test_in_a_file_of_returns_a_lone_newline_is_text() -> None:
    rows_read = read(b'id|question|context\r1|q|one\ntwo\r2|q|"a\rb"\r\n3|q|c\r')
    assert [(row.id, row.context) for row in rows_read] == [("1", "one\ntwo"), ("2", "a\rb"), ("3", "c")]


def test_rows_that_end_otherwise_than_their_file_are_errors() -> None:
    rows_read = read(HEADER + b"1|q|c\r2|q|c\n3|q|c\n")
    assert codes(rows_read) == ["extra_field", None]


@pytest.mark.parametrize(
    ("head", "end"),
    [
        (b"a|b\nc\rd\n", b"\n"), (b"a|b\r\nc\rd\r\n", b"\r\n"), (b"a|b\rc|d\r", b"\r"), (b"\n\r\na|b\rc|d\r", b"\r"),
        (b'"a\rx"|b\nc|d\n', b"\n"), (b'"a\nx"|b\rc|d\r', b"\r"), (b'a|b\r"c\n\n\n\n"|d\re|f\r', b"\r"),
        (b"a|b\rc|d\ne|f\ng|h\n", b"\n"), (b"", b"\n"), (b"a", b"\n"), (b'"a\r', b"\r"),
        (b"a|b\r\r\nc|d\r\r\n", b"\r\r\n"), (b"a|b\nc|d\r\n", b"\n"), (b"a|b\nc|d\r\ne|f\r\n", b"\r\n"),
        (b"a|b\r\nc|d\ne|f\n", b"\n"),
    ],
)  # fmt: skip
def test_the_beginning_of_a_file_shows_its_line_end(head: bytes, end: bytes) -> None:
    assert line_end(head) == end


field = st.text(st.sampled_from('ab|"\r é'), min_size=1, max_size=8)


@given(st.lists(st.tuples(field, field), min_size=1, max_size=20), st.sampled_from(["\n", "\r\n"]))
def test_unquoted_returns_are_read_back(rows: list[tuple[str, str]], end: str) -> None:
    """As pandas writes: a field is quoted for its delimiter, quotes and newlines, but not for a return."""

    def quoted(text: str) -> str:
        return '"' + text.replace('"', '""') + '"' if set(text) & set('|"\n') else text

    lines = [f"{quoted(a + 'x')}|{quoted('x' + b + 'x')}" for a, b in rows]
    rows_read = read(("question|context" + end + end.join(lines) + end).encode())
    assert [(row.question, row.context) for row in rows_read] == [(a + "x", "x" + b + "x") for a, b in rows]


# Blanks before a quote


def test_blanks_before_a_quote_are_ignored_if_that_gives_the_row() -> None:
    rows_read = read(
        b'id| question| context\n1| "Where | is it?"| "At | the ""river""."\n2| "Who?"| "A\ntext."\n3|q|c\n'
    )
    assert [(row.id, row.question, row.context, row.line) for row in rows_read] == [
        ("1", "Where | is it?", 'At | the "river".', 2), ("2", "Who?", "A\ntext.", 3), ("3", "q", "c", 5),
    ]  # fmt: skip


def test_an_open_quote_after_blanks_costs_its_line_only() -> None:
    rows_read = read(HEADER + b'1|q| "cut\n2|q|c\n3|q|end"\n4|q|c\n5|q| "never\n6|q|c\n')
    assert codes(rows_read) == ["parse_error", None, None, None, "parse_error", None]
    assert [row.line for row in rows_read] == [2, 3, 4, 5, 6, 7]


def test_a_quotation_after_blanks_is_text() -> None:
    rows_read = read(HEADER + b'1|q| "Hello," she said. "Bye."\n2|q| "a" or "b|"\n3|q| "a"\n')
    assert (rows_read[0].context, codes(rows_read)) == (' "Hello," she said. "Bye."', [None, "parse_error", None])


def test_blanks_before_a_quote_within_a_quoted_field_change_no_other_field() -> None:
    rows_read = read(b'id|question|context\n1| who?|"he said| ""me"" again"\n')
    assert [(row.question, row.context) for row in rows_read] == [(" who?", 'he said| "me" again')]


def test_a_tab_as_delimiter_is_not_a_blank() -> None:
    rows_read = read(b'question\tcontext\tx\nwho?\t \t"""me"""\nwho?\tme\t \n', delimiter="\t")
    assert codes(rows_read) == ["empty_context", None]
    rows_read = read(b'x\tquestion\tcontext\n \t"who? "\tme\n', delimiter="\t")
    assert [(row.question, row.passthrough) for row in rows_read] == [("who? ", {"x": " "})]


@pytest.mark.slow
def test_many_open_quotes_after_blanks_are_read_in_linear_time() -> None:
    rows_read = read(b"question|context\n" + b'q| "c\n' * 60_000)  # quadratic: minutes
    assert set(codes(rows_read)) == {"parse_error"}


# Blank lines


@pytest.mark.slow
@pytest.mark.parametrize("blank", [b"\n", b" \r\n"])
def test_blank_lines_are_skipped_at_the_speed_of_reading(blank: bytes) -> None:
    count = (32 << 20) // len(blank)  # line by line: a minute
    good = b'{"question": "q", "context": "c"}\n'
    assert [row.line for row in read(gzip.compress(good + blank * count + good, 1))] == [1, 2 + count]
    head, good = b"question|context\n", b"q|c\n"
    assert [row.line for row in read(gzip.compress(head + good + blank * count + good, 1))] == [2, 3 + count]
    assert [row.line for row in read(gzip.compress(blank * count + head + good, 1))] == [2 + count]


# The cases


@pytest.mark.skipif(not CASES.exists(), reason="needs the shared cases")
def test_the_cases() -> None:
    rows_read = read(CASES / "17-pandas-bare-cr/bare-cr.csv")
    assert (rows_read[0].context, len(rows_read)) == ("The house is locked.\rThe key hangs behind the stove.", 2)
    assert codes(read(CASES / "17-pandas-bare-cr/pandas.csv")) == [None] * 4
    rows_read = read(CASES / "61-space-before-quote/space.csv")
    assert codes(rows_read) == [None] * 4
    assert rows_read[2].context == "A text\nof two lines by Marta."


def test_what_csv_writes_is_read_back() -> None:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter="|", lineterminator="\r").writerows([["question", "context"], ["a\nb", "c"]])
    assert read(out.getvalue().encode())[0].question == "a\nb"
