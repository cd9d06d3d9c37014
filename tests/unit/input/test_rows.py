"""The reader: every row of an input comes out once, in order, good or with a code, and no row harms another.

Covers files read through `open_input` only, never the modules below it, so that these may be cut otherwise.
"""

from __future__ import annotations

import base64
import csv
import datetime as dt
import decimal
import gzip
import hashlib
import io
import itertools
import json
import os
import threading
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from contract.errors import BulkqaError, InputError, UsageError
from contract.format import chunk
from contract.format.job import Row
from producer.input.open import grown, open_input
from producer.input.options import ReadOptions
from producer.input.rows import ROW_OVERHEAD, bounded, weights
from tests import REPO

SAMPLES = REPO / "samples"
settings.register_profile("patient", deadline=None)  # other work on the machine is not a failure
settings.load_profile("patient")

HEADER = b"id|question|context|topic\n"


def read(data: bytes | str | Path, max_rows: int = 1000, max_bytes: int = 1 << 24, **options) -> list[Row]:
    """All rows of an input, after checks that hold for every input."""
    file = io.BytesIO(data) if isinstance(data, bytes) else data
    rows: list[Row] = []
    with open_input(file, ReadOptions(**options)) as source:
        for table in source.tables(max_rows, max_bytes):
            assert table.schema == source.schema
            assert 0 < table.num_rows <= max_rows
            assert table.num_rows == 1 or table.nbytes <= max_bytes
            table.validate(full=True)
            rows += chunk.rows(chunk.from_bytes(chunk.to_bytes(table)))
        if isinstance(data, bytes):
            assert source.sha256 == hashlib.sha256(data).hexdigest()
            assert source.bytes_read == len(data)
    assert [row.row for row in rows] == list(range(len(rows)))
    json.dumps([row.passthrough for row in rows], allow_nan=False)
    return rows


def codes(rows: list[Row]) -> list[str | None]:
    return [row.error.code if row.error else None for row in rows]


def refused(data: bytes | str | Path, code: str, **options) -> InputError:
    with pytest.raises(InputError) as caught:
        read(data, **options)
    assert caught.value.code == code, caught.value
    assert caught.value.exit_code == 2
    assert caught.value.remedy
    return caught.value


def parquet(columns: dict | pa.Table, **options) -> bytes:
    sink = io.BytesIO()
    pq.write_table(columns if isinstance(columns, pa.Table) else pa.table(columns), sink, **options)
    return sink.getvalue()


# What is written is read

awkward = st.text('"|\n\r ,ab\0é🙂\u2028\x85\x1c', max_size=12)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | awkward
filled = text.filter(lambda s: not s.isspace() and s)
records = st.lists(st.tuples(text, filled, filled, text), min_size=1, max_size=12)


def written(rows: list[tuple[str, ...]], **dialect) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.writer(out, **({"delimiter": "|", "lineterminator": "\n", "quoting": csv.QUOTE_ALL} | dialect))
    writer.writerows([("name", "question", "context", "topic"), *rows])
    return out.getvalue().encode()


@pytest.mark.slow
@given(
    records, st.sampled_from(["\n", "\r\n", "\r"]), st.sampled_from("|,;\t¦"), st.integers(1, 14), st.integers(1, 2000)
)
def test_what_csv_writes_is_read_back(rows, end, delimiter, max_rows, max_bytes):
    data = written(rows, lineterminator=end, delimiter=delimiter)

    rows_read = read(data, max_rows, max_bytes, delimiter=delimiter)

    assert [(r.passthrough["name"], r.question, r.context, r.passthrough["topic"]) for r in rows_read] == rows
    assert codes(rows_read) == [None] * len(rows)


@pytest.mark.slow
@given(records, st.integers(1, 14))
def test_csv_with_as_few_quotes_as_possible_is_read_back(rows, max_rows):
    rows = [tuple(field.replace("\r", "\n") for field in row) for row in rows]  # an unquoted \r is a line end
    rows_read = read(written(rows, quoting=csv.QUOTE_MINIMAL), max_rows)

    good = [r for r in rows_read if r.error is None]
    assert [(r.passthrough["name"], r.question, r.context, r.passthrough["topic"]) for r in good] == [
        row for row in rows if row[1].strip() and row[2].strip()
    ]


@pytest.mark.slow
@given(records, st.data())
def test_the_line_of_a_row_is_where_its_text_starts(rows, data):
    file = written(rows)
    blank = data.draw(st.integers(0, 3))
    rows_read = read(b"\n" * blank + file)

    lines = io.BytesIO(file).readlines()
    for row, start in zip(rows_read, [r.line for r in rows_read], strict=True):
        name = written([(row.passthrough["name"], "q", "c", "t")]).split(b"\n", 1)[1].split(b"|")[0]
        assert lines[start - 1 - blank].startswith(name.split(b"\n")[0])


BROKEN = {
    b'x|"abc|d|e\n': "parse_error",
    b'"x|q|c|t\n': "parse_error",
    b'x|"q"q|c|t\n': "parse_error",
    b"x|q|c\n": "missing_field",
    b"x\n": "missing_field",
    b"x|q|c|t|more\n": "extra_field",
    b"x||c|t\n": "empty_question",
    b"x|q| \t|t\n": "empty_context",
    b"x|q\xff\xfe|c|t\n": "bad_encoding",
    b"x|" + b"q" * 5000 + b"|c|t\n": "row_too_large",
}
visible = st.characters(exclude_characters="\r\n|", exclude_categories=["Cs", "Zs", "Cc"])
plain = st.text(visible, min_size=1, max_size=12)
quoted = st.lists(st.tuples(plain, plain, st.tuples(plain, plain).map("\n|".join), plain), min_size=1, max_size=8)


@pytest.mark.slow
@given(quoted, st.lists(st.tuples(st.sampled_from(sorted(BROKEN)), st.integers(0, 8)), min_size=1, max_size=3))
@settings(max_examples=300)
def test_a_broken_row_anywhere_costs_no_other(rows, broken):
    head, *_ = written([]).splitlines(keepends=True)
    expected = [(written([row], quoting=csv.QUOTE_MINIMAL).removeprefix(_minimal_head()), row) for row in rows]
    for line, at in broken:
        expected.insert(at, (line, None))

    rows_read = read(head + b"".join(line for line, _ in expected), max_row_bytes=4000)

    assert len(rows_read) == len(expected)
    for row, (line, good) in zip(rows_read, expected, strict=True):
        if good is None:
            assert codes([row]) == [BROKEN[line]]
        else:
            assert (row.passthrough["name"], row.question, row.context, row.passthrough["topic"]) == good
            assert row.error is None


def _minimal_head() -> bytes:
    return written([], quoting=csv.QUOTE_MINIMAL)


@pytest.mark.slow
@given(st.binary(max_size=300))
@example(b'"')
@example(b"\x1f\x8b")
@example(b"PAR1")
@example(b"{")
@settings(max_examples=300)
def test_any_bytes_give_rows_or_an_input_error(data):
    for start in (b"", b"question|context\n", b'{"question": "q", "context": "c"}\n', b"question|context\na|b\n\r\n"):
        try:
            rows_read = read(start + data, 3, max_row_bytes=50)
        except InputError as error:
            rows_read = [error.remedy]
        assert rows_read
        assert all(rows_read)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_the_size_of_reads_does_not_matter(end):
    lines = ["question|context", "ü|b", 'q|"a', 'b""|"', "too|" + "long" * 49, "q|c", "", "q"]
    data = (end.join(lines) + end + end.join(lines[1:] * 9) + end).encode()

    class Drip(io.BytesIO):
        def read(self, size=-1):
            return super().read(1)

    with open_input(Drip(data), ReadOptions(max_row_bytes=200)) as source:
        rows_read = [row for table in source.tables(4, 1 << 20) for row in chunk.rows(table)]

    assert rows_read == read(data, max_row_bytes=200)
    assert codes(rows_read) == [None, None, "row_too_large", None, "missing_field"] * 10
    assert [row.line for row in rows_read[5:10]] == [9, 10, 12, 13, 15]


# Rows that cannot be scored

REJECTED = [
    (b"1|q|c", "missing_field", "3 fields, the header has 4"),
    (b"1|q|c|t|u|v", "extra_field", "6 fields, the header has 4"),
    (b"1||c|t", "empty_question", "'question'"),
    (b"1| \xc2\xa0\t|c|t", "empty_question", "'question'"),
    (b"1|q||t", "empty_context", "'context'"),
    (b'1|q|"  \n "|t', "empty_context", "'context'"),
    (b"1|q|caf\xe9|t", "bad_encoding", "UTF-8"),
    (b"1|q|c|\xff", "bad_encoding", "UTF-8"),
    (b'1|"q|c|t', "parse_error", "unbalanced quote"),
    (b'1|"q" |c|t', "parse_error", "unbalanced quote"),
    (b"1|q|" + b"c" * 3000 + b"|t", "row_too_large", "2,000 bytes"),
]


@pytest.mark.parametrize(("line", "code", "says"), REJECTED)
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_bad_row_has_code_line_and_reason_and_its_neighbours_have_none(line, code, says, end):
    before, after = b"0|why|because|x", b'2|"who?"|"me|\nyou"|y'
    rows_read = read(end.join([HEADER.strip(), before, b"", line, after]) + end, max_row_bytes=2000)

    assert codes(rows_read) == [None, code, None]
    assert says in rows_read[1].error.message
    assert [row.line for row in rows_read] == [2, 4, 4 + len(line.splitlines()) or 5]
    assert (rows_read[0].question, rows_read[2].question, rows_read[2].passthrough) == ("why", "who?", {"topic": "y"})


def test_a_row_that_was_not_parsed_keeps_its_text_cut_and_repaired():
    rows_read = read(HEADER + b'1|"\xff' + b"x" * 5000 + b"\n2|q|c|t\n")

    assert rows_read[0].raw == '1|"\N{REPLACEMENT CHARACTER}' + "x" * 1996
    assert (rows_read[0].question, rows_read[1].error) == (None, None)


def test_a_rejected_row_keeps_the_fields_that_were_read():
    rows_read = read(HEADER + b"1|q\n2|q|c|t|u\n3|q|caf\xe9|t\n")

    assert [(r.id, r.question, r.context) for r in rows_read] == [
        ("1", "q", None), ("2", "q", "c"), ("3", "q", "caf\N{REPLACEMENT CHARACTER}"),
    ]  # fmt: skip
    assert rows_read[1].raw == "2|q|c|t|u"


def test_repeated_ids_are_rejected_across_tables():
    lines = b"".join(b"%d|q|c|t\n" % (i % 2500) for i in range(6000))
    rows_read = read(HEADER + b"|q|c|t\n|q|c|t\n" + lines, 700)

    assert codes(rows_read) == [None] * 2502 + ["duplicate_id"] * 3500
    assert rows_read[2502].error.message == "row 2 has the id '0' already"
    assert rows_read[0].id is None


def test_an_id_that_only_a_rejected_row_has_is_free():
    assert codes(read(HEADER + b"1||c|t\n1|q|c|t\n1|q|c|t\n")) == ["empty_question", None, "duplicate_id"]


def test_without_an_id_column_ids_may_repeat():
    rows_read = read(HEADER + b"1|q|c|t\n1|q|c|t\n", id="")

    assert codes(rows_read) == [None, None]
    assert rows_read[0].passthrough == {"id": "1", "topic": "t"}
    assert codes(read(HEADER + b"1|q|c|t\n2|q|c|t\n", id="topic")) == [None, "duplicate_id"]


def test_a_stray_quote_that_pairs_with_one_below_costs_its_line_only():
    rows_read = read(HEADER + b'1|"q|c|t\n2|q|c|t\n3|q|c "|t\n4|q|c|t\n')

    assert codes(rows_read) == ["parse_error", None, None, None]
    assert [row.line for row in rows_read] == [2, 3, 4, 5]


def test_a_row_over_several_lines_below_a_stray_quote_is_whole():
    rows_read = read(HEADER + b'1|"q|c|t\n"\n2"|q|c|t\n3|q|c|t\n')

    assert codes(rows_read) == ["parse_error", None, None]
    assert [row.id for row in rows_read] == [None, "\n2", "3"]


def test_a_row_over_several_lines_with_a_wrong_number_of_fields_is_one_row():
    rows_read = read(HEADER + b'1|"a\n\nb, c\nd"|c\n2|q|c|t\n')

    assert codes(rows_read) == ["missing_field", None]
    assert (rows_read[0].question, rows_read[1].line) == ("a\n\nb, c\nd", 6)


def test_a_quote_that_runs_past_the_largest_row_costs_its_line_only():
    rows_read = read(HEADER + b'1|"q|c|t\n' + b"2|q|c|t\n" * 500, max_row_bytes=1000, id="")

    assert codes(rows_read) == ["parse_error"] + [None] * 500
    assert "1,000 bytes" in rows_read[0].error.message


@pytest.mark.slow
@pytest.mark.parametrize("line", [b'a"|"\n', b'1"|"question"|"' + b"context " * 20 + b'"|"x\n', b'1|q|"c|t\n'])
def test_a_file_of_unbalanced_quotes_is_read_in_linear_time(line):
    rows_read = read(HEADER + line * (400_000 // len(line)), id="", max_row_bytes=1 << 22)  # quadratic: minutes

    assert len(rows_read) == 400_000 // len(line)
    assert set(codes(rows_read)) == {"parse_error"}


def test_nul_and_other_control_characters_are_text():
    rows_read = read(HEADER + b"1|q\0|c\x0b\x1c\xc2\x85\xe2\x80\xa8d|t\n")

    assert (rows_read[0].question, rows_read[0].context, rows_read[0].error) == ("q\0", "c\x0b\x1c\x85\u2028d", None)


def test_a_field_of_a_megabyte_is_read():
    rows_read = read(HEADER + b"1|q|" + b"c" * 1_000_000 + b"|t\n2|q|" + b"d" * 1_100_000 + b"|t\n3|q|c|t\n", 10, 1000)

    assert codes(rows_read) == [None, "row_too_large", None]
    assert len(rows_read[0].context) == 1_000_000


def test_an_endless_line_is_skipped_in_bounded_memory():
    class Endless(io.RawIOBase):
        left = 60 << 20

        def read(self, size=-1):
            size = min(size, self.left)
            self.left -= size
            return b"x" * size or (b"\n2|q|c|t\n" if self._last() else b"")

        def _last(self):
            first, self.done = not getattr(self, "done", False), True
            return first

    class Whole(Endless):
        def read(self, size=-1):
            head, self.head = getattr(self, "head", HEADER), b""
            return head or super().read(size)

    tracemalloc.start()
    with open_input(Whole()) as source:
        rows_read = [row for table in source.tables(10, 1000) for row in chunk.rows(table)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert codes(rows_read) == ["row_too_large", None]
    assert [row.line for row in rows_read] == [2, 3]
    assert peak < 12 << 20


# Files of all sorts


@pytest.mark.parametrize("data", [b"", b"\n\n", b" \n" * 300_000, b"\xef\xbb\xbf", gzip.compress(b"", mtime=0)])
def test_an_empty_file_is_refused(data):
    assert "empty" in refused(data, "empty_file").message


@pytest.mark.parametrize("data", [HEADER, HEADER.strip(), HEADER + b"\r\n \n", gzip.compress(HEADER, mtime=0)])
def test_a_header_alone_is_refused(data):
    assert "a header and no rows" in refused(data, "empty_file").message


@pytest.mark.parametrize("data", [
    b"\xef\xbb\xbfquestion|context\na|b\nc|d\n", b"question|context\r\na|b\r\nc|d", b"question|context\ra|b\rc|d\r",
    b"\r\n\nquestion|context\r\na|b\r\n\n\nc|d\r\n\n", b' question |"context" \na|b\nc|d\n'.replace(b'" ', b'"'),
])  # fmt: skip
def test_marks_line_ends_and_blank_lines_do_not_matter(data):
    assert [(row.question, row.context) for row in read(data)] == [("a", "b"), ("c", "d")]


def test_a_missing_column_is_named_with_those_found_and_the_flags():
    error = refused(b"Question|text|id\na|b|c\n", "missing_column")

    assert "'question'" in error.message
    assert "'Question', 'text', 'id'" in error.message
    assert "--question Question --context text" in error.remedy
    assert "--id" in refused(HEADER + b"1|q|c|t\n", "missing_column", id="key").remedy


@pytest.mark.parametrize(("delimiter", "flag"), [(",", "','"), (";", "';'"), ("\t", "'\\t'")])
def test_the_delimiter_that_fits_is_named(delimiter, flag):
    data = HEADER.replace(b"|", delimiter.encode()) + b"1\n"
    assert f"--delimiter {flag}" in refused(data, "missing_column").remedy
    assert "--delimiter '|'" in refused(HEADER + b"1|q|c|t", "missing_column", delimiter=",").remedy
    assert codes(read(data, delimiter=delimiter)) == ["missing_field"]


def test_a_tab_can_be_spelled():
    assert read(b"question\tcontext\na\tb\n", delimiter="\\t")[0].context == "b"


def test_columns_of_one_name_are_refused():
    assert "'topic'" in refused(b"question|context|topic| topic\na|b|c|d\n", "duplicate_column").message


@pytest.mark.parametrize("delimiter", ["", "||", '"', "\n", "\r"])
def test_a_delimiter_is_one_character(delimiter):
    assert "--delimiter" in refused(HEADER, "bad_delimiter", delimiter=delimiter).remedy


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-16-le", "utf-16-be"])
def test_another_unicode_is_refused_with_iconv(encoding):
    assert "iconv -f UTF-" in refused((HEADER + b"1|q|c|t\n").decode().encode(encoding), "bad_encoding").remedy


def test_a_header_that_is_not_utf8_is_refused_with_iconv():
    assert "iconv" in refused(b"question|context|th\xe9mes\na|b|c\n", "bad_encoding").remedy


def test_a_header_with_an_unbalanced_quote_is_refused():
    assert "header" in refused(b'"question|context\na|b\n', "unreadable").message


@pytest.mark.parametrize(("start", "what"), [
    (b"PK\x05\x06", "zip"), (b"\x80\x04\x95", "pickle"), (b"\n<!DOCTYPE html>", "web page"), (b"ORC", "ORC"),
    (b"PARE", "encrypted"), (b"ARROW1\0\0", "Arrow"), (b"[{", "array"), (b"x" * 257 + b"ustar", "tar"),
    (gzip.compress(b"PAR1", mtime=0), "gzip"), (gzip.compress(gzip.compress(b"x", mtime=0), mtime=0), "gzip within"),
    (b'{\n"a": [\n', "several lines"),
])  # fmt: skip
def test_foreign_formats_are_named(start, what):
    assert what in refused(start, "unsupported_format").message


def test_paths_that_cannot_be_read_are_refused(tmp_path):
    assert "no files" in refused(tmp_path, "empty_file").message
    assert "no such file" in refused(tmp_path / "none.csv", "unreadable").message
    refused("", "unreadable")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_refused(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(HEADER)
    path.chmod(0)
    assert "permission" in refused(path, "unreadable").message


def test_columns_of_bulkqa_are_left_out():
    data = b"question|bulkqa_code|context|topic|bulkqa_message\nq|empty|c|t|m\n"
    with open_input(io.BytesIO(data)) as source:
        assert source.columns == ("question", "context", "topic")
    assert read(data)[0].passthrough == {"topic": "t"}
    assert read(b'{"question": "q", "context": "c", "bulkqa_code": 1}\n')[0].passthrough == {}


def test_a_column_of_bulkqa_rejects_no_row():
    [row] = read(b"question|context|bulkqa_raw\nq|c|\xff\n")
    assert (row.error, row.passthrough) == (None, {})


@pytest.mark.parametrize("key", [b"t\xf1g", b"\\ud800"])
def test_a_key_that_is_not_utf8_is_an_error_of_its_row_and_not_a_column(key):
    """A manifest that names the columns cannot hold it."""
    good = b'{"question": "q", "context": "c", "tag": 1}\n'
    data = good + good.replace(b"tag", key)
    assert codes(read(data)) == [None, "bad_encoding"]
    with open_input(io.BytesIO(data)) as source:
        assert source.columns == ("question", "context", "tag")


def test_an_input_describes_itself(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes(HEADER + b"1|q|c|t\n")
    with open_input(path) as source:
        assert (source.name, source.format, source.delimiter, source.id_column) == ("rows.csv", "csv", "|", "id")
        assert source.size == path.stat().st_size
        with pytest.raises(BulkqaError):
            _ = source.sha256
        with pytest.raises(UsageError):
            source.tables(-1, 1)
        list(source.tables(1, 1))
        with pytest.raises(BulkqaError):
            source.tables(1, 1)


def test_chunks_grow_with_the_file_to_keep_them_few():
    cut, before = [], 0
    while before < 50_000_000:
        cut.append(grown(len(cut)))
        assert len(cut) <= 1000 or cut[-1] <= before / 500
        before += cut[-1]
    assert cut[:1000] == [512] * 1000
    assert (cut[1000], cut[-1]) == (1024, 4096)
    assert len(cut) < 15_000


def test_a_table_has_as_many_rows_as_its_number_gives():
    tables = [pa.table({"question": ["q"] * 7, "context": ["c"] * 7}) for _ in range(3)]
    rows_read = [table.num_rows for table in bounded(tables, lambda number: number + 1, 1 << 20)]
    assert rows_read == [1, 2, 3, 4, 5, 6]


def test_the_samples_are_read():
    assert set(codes(read(SAMPLES / "questions.csv"))) == {None}
    assert {*codes(read(SAMPLES / "bad_rows.csv"))} == {
        None, "missing_field", "extra_field", "empty_question", "empty_context", "parse_error", "bad_encoding",
        "duplicate_id",
    }  # fmt: skip


def test_a_pipe_is_read(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    feeder = threading.Thread(target=path.write_bytes, args=(HEADER + b"1|q|c|t\n",))
    feeder.start()
    assert codes(read(path)) == [None]
    feeder.join()


# gzip


def test_gzip_is_read_and_its_stored_bytes_are_digested():
    body = HEADER + b"".join(b"%d|q|c|t\n" % i for i in range(3000))
    members = gzip.compress(body[:5000]) + gzip.compress(body[5000:])

    assert read(members) == read(body)


def test_gzip_that_ends_early_gives_its_rows_first():
    lines = b"".join(b"%d|%s|c|t\n" % (i, hashlib.sha256(b"%d" % i).hexdigest().encode()) for i in range(40_000))
    data = gzip.compress(HEADER + lines)[:-20_000]
    with open_input(io.BytesIO(data)) as source:
        tables = source.tables(1000, 1 << 20)
        assert next(tables).num_rows == 1000
        with pytest.raises(InputError, match="truncated") as caught:
            list(tables)
    assert caught.value.code == "unreadable"


@pytest.mark.parametrize("damage", [lambda d: d[:20], lambda d: d[:40] + b"xxxx" + d[44:], lambda d: d + b"tail"])
def test_damaged_gzip_is_refused(damage):
    refused(damage(gzip.compress(HEADER + b"1|q|c|t\n" + os.urandom(200))), "unreadable")


@pytest.mark.slow
def test_a_bomb_is_read_in_bounded_memory():
    bomb = gzip.compress(HEADER + b"1|q|" + b"\0" * (100 << 20) + b"|t\n2|q|c|t\n", 9)
    tracemalloc.start()
    rows_read = read(bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert codes(rows_read) == ["row_too_large", None]
    assert peak < 12 << 20


# JSON Lines


def test_json_lines_are_read():
    lines = [
        {"id": 7, "question": "q|", "context": 'c"\n', "n": 1, "x": [1, {"y": None}]},
        {"context": "c", "question": "q", "n": "one", "id": "8"},
        {"question": "q", "context": "ü\0"},
    ]
    rows_read = read("\n\n".join(map(json.dumps, lines)).encode())

    assert codes(rows_read) == [None] * 3
    assert [row.id for row in rows_read] == ["7", "8", None]
    assert [row.line for row in rows_read] == [1, 3, 5]
    assert [row.passthrough for row in rows_read] == [{"n": 1, "x": [1, {"y": None}]}, {"n": "one"}, {}]
    assert rows_read[0].context == 'c"\n'


@pytest.mark.parametrize(("line", "code", "says"), [
    (b"{", "parse_error", "not JSON"), (b"nonsense", "parse_error", "not JSON"), (b"[1]", "parse_error", "an array"),
    (b'{"question": 1, "context": "c"}', "parse_error", "'question' is a number"),
    (b'{"question": "q", "context": [["c"]]}', "parse_error", "'context' is an array"),
    (b'{"question": "q", "context": "c", "id": {}}', "parse_error", "'id' is an object"),
    (b'{"n": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "parse_error", "JSON"),
    (b'{"n": ' + b"1" * 5000 + b"}", "parse_error", "JSON"),
    (b'{"question": "q"}', "missing_field", "'context'"),
    (b'{"question": null, "context": "c"}', "missing_field", "'question'"),
    (b'{"question": " ", "context": "c"}', "empty_question", "'question'"),
    (b'{"question": "q", "context": ""}', "empty_context", "'context'"),
    (b'{"question": "q\xff", "context": "c"}', "bad_encoding", "UTF-8"),
    (b'{"question": "q", "context": "\\ud800"}', "bad_encoding", "UTF-8"),
    (b'{"question": "q", "context": "c", "n": "\\udcff"}', "bad_encoding", "UTF-8"),
    (b'{"question": "q", "context": "' + b"c" * 300_000 + b'"}', "row_too_large", "250,000"),
    (b'{"question": "q", "context": "c", "id": "1"}', "duplicate_id", "'1'"),
])  # fmt: skip
def test_a_bad_json_line_has_a_code_and_its_neighbours_have_none(line, code, says):
    good = b'{"id": %d, "question": "q", "context": "c"}'
    rows_read = read(b"\n".join([good % 1, line, good % 2]), max_row_bytes=250_000)

    assert codes(rows_read) == [None, code, None]
    assert says in rows_read[1].error.message
    assert [row.line for row in rows_read] == [1, 2, 3]


@pytest.mark.parametrize("indent", [None, 2])
def test_a_file_that_is_one_object_is_one_row(indent):
    value = {"question": "a\nb", "context": "c", "more": {"x": [1, 2]}}
    rows_read = read(b"\n\r\n" + json.dumps(value, indent=indent).encode() + b"\n")

    assert [(r.question, r.line, r.passthrough) for r in rows_read] == [("a\nb", 3, {"more": {"x": [1, 2]}})]


@pytest.mark.parametrize(("start", "end"), [("[", "]"), ('{"a": ', "}")])
def test_json_is_nested_64_deep_and_no_deeper(start, end):
    """The same in every process, whatever its Python and its stack; brackets in texts do not count."""

    def line(depth: int) -> bytes:
        value = start * (depth - 1) + ("1" if start != "[" else "") + end * (depth - 1)
        return b'{"question": "a%b", "context": "c", "x": %b}\n' % (b"[{" * 99, value.encode())

    rows_read = read(line(64) + line(65) + line(64) + line(900) + line(100_000))

    assert codes(rows_read) == [None, "parse_error", None, "parse_error", "parse_error"]
    assert {row.error.message for row in rows_read if row.error} == {
        "not JSON that can be read: nested more than 64 deep"
    }


def test_json_without_the_columns_is_refused():
    error = refused(b'{"version": "1.1", "data": []}\n', "missing_column")
    assert "'version', 'data'" in error.message


def test_a_format_can_be_forced():
    assert codes(read(b"nonsense\n", format="jsonl")) == ["parse_error"]
    assert read(b'{"question|context\na|b\n', format="csv", question='{"question')[0].context == "b"
    refused(HEADER, "unreadable", format="parquet")
    refused(HEADER, "unsupported_format", format="xml")


# Parquet

GOOD = {"question": ["a", "b"], "context": ["c", "d"]}


def test_parquet_is_read_from_a_path_and_from_a_stream(tmp_path):
    data = parquet(GOOD | {"id": [1, 2], "n": [1, None]})
    path = tmp_path / "rows.parquet"
    path.write_bytes(data)

    rows_read = read(data)

    assert rows_read == read(path)
    assert [(r.id, r.question, r.context, r.line, r.passthrough) for r in rows_read] == [
        ("1", "a", "c", None, {"n": 1}), ("2", "b", "d", None, {"n": None}),
    ]  # fmt: skip
    with open_input(path) as source:
        list(source.tables(1, 1))
        assert (source.sha256, source.bytes_read) == (hashlib.sha256(data).hexdigest(), len(data))


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_all_types_of_strings_are_read(kind):
    columns = {name: pa.array([*values, None, ""], pa.string()).cast(kind) for name, values in GOOD.items()}
    rows_read = read(parquet(columns, row_group_size=3))

    assert codes(rows_read) == [None, None, "missing_field", "empty_question"]
    assert [row.question for row in rows_read] == ["a", "b", None, ""]


@pytest.mark.parametrize(
    "column", [pa.array([[1], []]), pa.array([1, 2]), pa.array([b"a", b"b"]), pa.array([{"x": 1}] * 2)]
)
def test_a_question_of_another_type_is_refused_with_its_type(column):
    error = refused(parquet(GOOD | {"question": column}), "unsupported_format")
    assert f"of type {str(column.type).split('<')[0]}" in error.message


def test_a_nested_id_is_refused():
    refused(parquet(GOOD | {"id": [[1], [2]]}), "unsupported_format")


def test_parquet_without_rows_is_refused():
    empty = pa.table(GOOD).slice(0, 0)
    sink = io.BytesIO()
    pq.ParquetWriter(sink, empty.schema).close()

    refused(parquet(empty), "empty_file")
    refused(sink.getvalue(), "empty_file")


@pytest.mark.parametrize("cut", [4, 40, -1, -9, -100])
def test_truncated_parquet_is_refused(cut):
    refused(parquet(GOOD)[:cut], "unreadable")


def test_damage_within_parquet_is_an_input_error():
    columns = {"question": ["q"] * 9000, "context": [f"{i}" * 9 for i in range(9000)]}
    data = bytearray(parquet(columns, compression="zstd"))
    data[2000:4000] = bytes(2000)
    refused(bytes(data), "unreadable")


def test_columns_are_checked_in_parquet():
    refused(parquet({"question": ["q"], "text": ["c"]}), "missing_column")
    twice = pa.table([["q"], ["c"], ["d"]], names=["question", "context", "context"])
    refused(parquet(twice), "duplicate_column")


def test_encrypted_parquet_is_refused():
    encryption = pytest.importorskip("pyarrow.parquet.encryption")

    class Plain(encryption.KmsClient):
        def wrap_key(self, key_bytes, _):
            return base64.b64encode(key_bytes)

        def unwrap_key(self, wrapped_key, _):
            return base64.b64decode(wrapped_key)

    factory = encryption.CryptoFactory(lambda _: Plain())
    for plain_footer in (True, False):
        keys = encryption.EncryptionConfiguration("k", column_keys={"k": ["question"]}, plaintext_footer=plain_footer)
        properties = factory.file_encryption_properties(encryption.KmsConnectionConfig(), keys)
        refused(parquet(GOOD, encryption_properties=properties), "unsupported_format")


def test_columns_of_any_type_come_through_as_json():
    columns = {
        "stamp": pa.array([dt.datetime(2024, 1, 2, 3, 4, 5)] * 2, pa.timestamp("ms")),  # noqa: DTZ001
        "nanos": pa.array([1_700_000_000_123_456_789, None], pa.timestamp("ns")),
        "zone": pa.array([0, None], pa.timestamp("s", tz="UTC")),
        "day": [dt.date(2024, 1, 2)] * 2,
        "time": [dt.time(1, 2, 3)] * 2,
        "price": [decimal.Decimal("1.50"), None],
        "blob": [b"\xff\0", None],
        "float": [1.5, float("nan")],
        "half": pa.array([float("inf"), 0.5], pa.float16()),
        "list": [[1.0, float("inf")], None],
        "struct": [{"when": dt.date(2024, 1, 2), "b": b"x"}, None],
        "map": pa.array([[("k", 1)], []], pa.map_(pa.string(), pa.int64())),
        "big": pa.array([2**64 - 1, 0], pa.uint64()),
        "flag": [True, None],
        "none": pa.nulls(2),
        "category": pa.array(["x", "y"]).dictionary_encode(),
    }
    first, second = (row.passthrough for row in read(parquet(GOOD | columns)))

    assert first == {
        "stamp": "2024-01-02T03:04:05.000", "nanos": "2023-11-14T22:13:20.123456789",
        "zone": "1970-01-01T00:00:00.000+0000", "day": "2024-01-02",
        "time": "01:02:03.000000", "price": "1.50", "blob": "/wA=", "float": 1.5, "half": "Infinity",
        "list": [1.0, "Infinity"], "struct": {"when": "2024-01-02", "b": "eA=="}, "map": [{"key": "k", "value": 1}],
        "big": 2**64 - 1, "flag": True, "none": None, "category": "x",
    }  # fmt: skip
    assert (second["float"], second["half"], second["list"], second["struct"]) == ("NaN", 0.5, None, None)


def test_strings_in_parquet_that_are_not_utf8_are_row_errors():
    bad = pa.array([b"caf\xe9", b"ok"]).view(pa.string())
    for name in ("question", "context", "topic"):
        rows_read = read(parquet(GOOD | {name: bad}))
        assert codes(rows_read) == ["bad_encoding", None]
    nested = pa.ListArray.from_arrays([0, 1, 2], bad)
    assert codes(read(parquet(GOOD | {"topic": nested}))) == ["bad_encoding", None]


def test_a_large_row_in_parquet_is_rejected_without_its_text():
    columns = {"id": ["1", "2"], "question": ["a", "b"], "context": ["c" * 5000, "d"], "topic": ["x", "y"]}
    rows_read = read(parquet(columns), max_row_bytes=1000)

    assert codes(rows_read) == ["row_too_large", None]
    assert (rows_read[0].id, rows_read[0].context, rows_read[0].passthrough) == ("1", None, {})


@pytest.mark.parametrize("store_schema", [False, True])  # read as texts, or as a dictionary that nobody checks
def test_values_outside_their_dictionary_are_damage(store_schema):
    columns = {"question": ["q"] * 3, "context": pa.array(["aa", "bb", "aa"]).dictionary_encode()}
    data = parquet(columns, compression="none", store_schema=store_schema)
    one_bit_each, eight_bits_and_three_times_77 = bytes([1, 3, 2]), bytes([8, 6, 77])
    assert data.count(one_bit_each) == 1
    refused(data.replace(one_bit_each, eight_bits_and_three_times_77), "unreadable")


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([["x" * 3000], ["x"], None], pa.list_(pa.string())),
        ([["x" * 3000], ["x"], []], pa.large_list(pa.large_string())),
        ([["x" * 3000], ["x"], None], pa.list_view(pa.string())),
        ([["x" * 2000, "y" * 1000], ["x", "y"], None], pa.list_(pa.string(), 2)),
        ([[("k", b"x" * 3000)], [("k", b"x")], None], pa.map_(pa.string(), pa.binary())),
        (
            [{"a": {"b": ["x" * 3000]}}, {"a": None}, None],
            pa.struct([("a", pa.struct([("b", pa.list_(pa.string()))]))]),
        ),
        (["x" * 3000, "x", None], pa.dictionary(pa.int32(), pa.string())),
        (["x" * 3000, "x", None], pa.string_view()),
        ([b"x" * 3000, b"x", None], pa.binary_view()),
        ([[1] * 400, [1], None], pa.list_(pa.int8())),
    ],
)
def test_large_values_of_every_type_are_found_before_conversion(values, kind):
    columns = {"question": ["q"] * 3, "context": ["c"] * 3, "id": ["a", "b", "c"], "more": pa.array(values, kind)}
    rows_read = read(parquet(columns), max_row_bytes=2500)
    assert codes(rows_read) == ["row_too_large", None, None]
    assert [row.id for row in rows_read] == ["a", "b", "c"]
    assert weights(columns["more"].slice(1))[0] < 100 < weights(columns["more"])[0]


def test_duplicate_ids_are_found_in_parquet():
    assert codes(read(parquet(GOOD | {"id": [1.5, 1.5]}))) == [None, "duplicate_id"]


@pytest.mark.slow
@given(st.lists(st.integers(0, 400), min_size=1, max_size=30), st.integers(1, 9), st.integers(1, 3000))
def test_tables_are_as_full_as_their_bounds_allow(lengths, max_rows, max_bytes):
    columns = {"question": ["q"] * len(lengths), "context": ["c" * (n + 1) for n in lengths]}
    by_format = []
    for data in (
        parquet(columns, row_group_size=7),
        b"question|context\n" + b"".join(b"q|%s\n" % (b"c" * (n + 1)) for n in lengths),
    ):
        with open_input(io.BytesIO(data)) as source:
            by_format.append([table.num_rows for table in source.tables(max_rows, max_bytes)])

    assert by_format[0] == by_format[1]
    assert sum(by_format[0]) == len(lengths)


@pytest.mark.slow
@given(st.lists(st.integers(0, 2000), min_size=1, max_size=40), st.integers(1, 5000), st.integers(1, 3_000_000))
@example([500] * 40, 5000, 1_500_000)
@settings(max_examples=40)
def test_bounds_hold_for_rows_in_several_batches(lengths, max_rows, max_bytes):
    lines = [b"q|%s\n" % (b"c" * (n + 1)) for n in lengths * 100]
    data = b"question|context\n" + b"".join(lines)

    with open_input(io.BytesIO(data)) as source:
        tables = list(source.tables(max_rows, max_bytes))

    assert sum(table.num_rows for table in tables) == len(lines)
    assert max(table.num_rows for table in tables) <= max_rows
    assert all(table.nbytes <= max_bytes or table.num_rows == 1 for table in tables)
    for table, after in itertools.pairwise(tables):  # one row more would have been too many
        row = after.slice(0, 1).combine_chunks().nbytes + ROW_OVERHEAD
        assert table.num_rows == max_rows or table.nbytes + ROW_OVERHEAD * table.num_rows + row > max_bytes
