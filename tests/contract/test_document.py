"""The predictions document and CSV as they are written: what was written is read again, however it is cut."""

from __future__ import annotations

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.format import csvfile, document

texts = st.text(st.characters(exclude_categories=["Cs"]))
predictions = st.lists(st.dictionaries(texts, texts | st.none() | st.integers()), max_size=8)


@pytest.mark.slow
@given(predictions, st.integers(1, 8), st.integers(1, 64))
def test_a_document_is_json_and_gives_its_lines_again(held: list[dict], a_block: int, cut: int):
    lines = [json.dumps(each, ensure_ascii=False).encode() + b"\n" for each in held]
    blocks = [b"".join(lines[n : n + a_block]) for n in range(0, len(lines), a_block)]
    data = b"".join(document.write(blocks))
    assert json.loads(data) == {"predictions": held}
    assert data == b'{"predictions": [\n' + b",\n".join(line.strip(b"\n") for line in lines) + b"\n]}\n"
    assert list(document.read(data[n : n + cut] for n in range(0, len(data), cut))) == lines


@given(st.lists(st.lists(texts, min_size=2, max_size=4), max_size=6), st.sampled_from("|,;\t"))
def test_csv_gives_its_cells_again(rows: list[list[str]], delimiter: str):
    data = csvfile.encode(rows, delimiter)
    assert list(csv.reader(io.StringIO(data.decode(), newline=""), delimiter=delimiter)) == rows


def test_csv_quotes_what_it_must_and_nothing_else():
    rows = [["a", 1, None], ["b|c", 'd"e', "f\rg"], ["h\r\ni", 0.5, ""]]
    assert csvfile.encode(rows, "|") == b'a|1|\n"b|c"|"d""e"|"f\rg"\n"h\r\ni"|0.5|\n'
    assert [csvfile.cell(value) for value in ({"ä": [1]}, ["x"], "x", None)] == ['{"ä": [1]}', '["x"]', "x", None]
