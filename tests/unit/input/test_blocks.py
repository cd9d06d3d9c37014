"""The shortcut for well-formed CSV: it is taken where it can be, and gives the same rows.

That it changes nothing is seen from outside, in the rows that `open_input` gives.
"""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contract.format import chunk
from producer.input.formats.csv import parser as text
from producer.input.formats.csv.blocks import parse
from producer.input.open import open_input
from producer.input.options import QUOTES, ReadOptions

HEADER = b"id|question|context\n"
#: Mostly what decides where fields and records end.
PIECES = ["|", "|", "\n", "\n", '"', '"', '""', "a", "é", " ", "\r\n", "\r", "\0", "\ufeff", "|b|c\n", '"x\ny"']


def rows(data: bytes, limit: int, quote: str = "double") -> list:
    with open_input(io.BytesIO(data), ReadOptions(max_row_bytes=limit, quote=quote)) as source:
        return [row for table in source.tables(100, 1 << 20) for row in chunk.rows(table)]


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=40), st.sampled_from([20, 1000]))
@example(["a|b|c\n", 'a|"b"c|d\n'], 1000)  # text behind a closing quote
@example(['"', "a|b", "\n", "a|b|c\n"], 1000)  # a quote that is never closed
@example(["a|b|", '"x\ny"', "\n", "a|b|c\n"], 1000)  # a record over two lines, and the line of the next
@example(["a|b|c\n", "\n", "a|b|c\n"], 1000)
@example(["a|b|c\n", "\ufeff", "a|b|c\n"], 1000)
@example(["a|b|c", "\r", "a|b|c\n"], 1000)
@example(['a|b|"c"\n', 'a|"b"c|d\n', 'a|b|"c"\n'], 1000)
@example(['a|b|"c\rd"\n', "a|b|c\n"], 1000)  # which is two lines
@example(["a|b|", "aaaaaaaaaaaaaaaaaaaaa", "\n"], 20)
def test_a_file_has_the_same_rows_with_the_shortcut_and_without(pieces: list[str], limit: int) -> None:
    data = HEADER + "".join(["1|q|c\n", *pieces]).encode()
    for quote in QUOTES:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(text, "parse", lambda *_, **__: None)
            expected = rows(data, limit, quote)
        assert rows(data, limit, quote) == expected


@given(st.lists(st.tuples(*[st.text(st.sampled_from('ab|"\n é'), max_size=6)] * 3), min_size=1, max_size=30))
def test_the_output_of_a_csv_writer_is_one_block(records: list[tuple[str, str, str]]) -> None:
    file = io.StringIO(newline="")
    csv.writer(file, delimiter="|", lineterminator="\r\n").writerows(records)
    data = file.getvalue().encode()
    block = parse(data, "|", 3, 1000, line=7)
    assert block is not None
    assert list(zip(*(column.to_pylist() for column in block.columns), strict=True)) == records
    assert block.height == data.count(b"\n")
    starts = [7 + sum("".join(record).count("\n") + 1 for record in records[:n]) for n in range(len(records))]
    assert block.lines.tolist() == starts


def test_an_unfinished_record_is_left_for_the_next_block() -> None:
    block = parse(b'a|b\n"c|\nd|e\n', "|", 2, 1000, line=1)
    assert block is not None
    assert (len(block.lines), block.height) == (1, 1)


@pytest.mark.parametrize(
    "data",
    [
        b"a|b\nc\n",
        b"a|b\nc|d|e\n",
        b"a|b\n\nc|d\n",
        b"a|b\n \nc|d\n",
        b'a|b"c"\n',
        b'a|"b"c\n',
        b'a| "b"\n',
        b'a|"b\n',
        b'a""|b\n',
        b'a|"b"\nc"d"|e\n"f"|g\n',
        b'a|"b"\n"c"d|e\n"f"|g\n',
        b"a|\xff\n",
        b"a|b\0\n",
        b"a\r|b\n",
        b"\xef\xbb\xbfa|b\n",
        b"a|" + 40 * b"b" + b"\n",
        b"",
    ],
)
def test_a_malformed_block_is_read_row_by_row(data: bytes) -> None:
    assert parse(data, "|", 2, limit=20, line=1) is None


def test_a_large_file_takes_the_shortcut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text.CsvRecords, "_read", lambda *_: True)  # what is outside of blocks is not read at all
    data = HEADER + b"".join(b'%d|what?|"a ""long"" one\n%d"\n' % (n, n) for n in range(3000))
    rows_read = rows(data, 1000)
    assert [(row.row, row.line) for row in rows_read] == [(n, 2 + 2 * n) for n in range(3000)]
    assert rows_read[2999].context == 'a "long" one\n2999'


@pytest.mark.slow
@pytest.mark.parametrize("odd", [b"1|q|" + 5000 * b"x" + b"\n", b'1|q|"' + 5000 * b"x" + b"\n", b"1|q\n", b'1|q|"c\n'])
def test_an_odd_row_in_a_large_file_costs_no_other_row(odd: bytes) -> None:
    good = b"".join(b'%d|what?|"a ""long"" one\n%d"\n' % (n, n) for n in range(2, 20_000))
    rows_read = rows(HEADER + good + odd + good.replace(b"|what", b"b|what"), limit=1000)
    assert len(rows_read) == 2 * 19_998 + 1
    assert [row.row for row in rows_read if row.error] == [19_998]
    assert rows_read[-1].line == 2 + 4 * 19_998 + odd.count(b"\n") - 2
