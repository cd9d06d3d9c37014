"""A chunk file holds rows unchanged, and the same rows give the same bytes."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import BulkqaError
from contract.format import chunk
from contract.format.job import Row, RowError

texts = st.none() | st.text(max_size=20)
rows = st.lists(
    st.builds(
        Row,
        row=st.integers(0, 2**40),
        question=texts,
        context=texts,
        id=texts,
        line=st.none() | st.integers(1, 2**40),
        error=st.none() | st.builds(RowError, st.sampled_from(["empty_question", "bad_encoding"]), st.text(max_size=9)),
        raw=texts,
        passthrough=st.fixed_dictionaries({"topic": texts, "ä|b": st.none() | st.integers(-9, 9)}),
    ),
    max_size=8,
)
SCHEMA = chunk.schema([pa.field("topic", pa.string()), pa.field("ä|b", pa.int64())])


def table(of: list[Row]) -> pa.Table:
    values = [
        {name: getattr(row, name) for name in ("row", "line", "id", "question", "context", "raw", "passthrough")}
        | {"code": row.error and row.error.code, "message": row.error and row.error.message}
        for row in of
    ]
    return pa.Table.from_pylist(values, schema=SCHEMA)


@pytest.mark.slow
@given(rows)
def test_rows_come_back_as_they_were(given_rows: list[Row]):
    assert list(chunk.rows(chunk.from_bytes(chunk.to_bytes(table(given_rows))))) == given_rows


@pytest.mark.slow
@given(rows)
def test_the_same_rows_are_the_same_bytes(given_rows: list[Row]):
    assert chunk.to_bytes(table(given_rows)) == chunk.to_bytes(table(given_rows))


def test_passthrough_may_be_json_or_absent():
    head = {"row": 0, "question": "q", "context": "c"}
    json_table = pa.Table.from_pylist([head | {"passthrough": '{"a": [1, {"b": null}]}'}], schema=chunk.json_schema())
    bare = pa.Table.from_pylist([head], schema=chunk.schema([]))
    assert [row.passthrough for row in chunk.rows(json_table)] == [{"a": [1, {"b": None}]}]
    assert [row.passthrough for row in chunk.rows(bare)] == [{}]


@pytest.mark.parametrize(
    "bad", ['{"a": ' * 100_000, '{"a": ' * 65 + "1" + "}" * 65, '{"a": ', '{"a": ' + "1" * 5000 + "}"]
)
def test_a_row_with_invalid_passthrough_fails_alone(bad: str):
    """If the producer accepted JSON that the worker cannot parse, only that row fails."""
    head = {"question": "q", "context": "c"}
    values = [head | {"row": n, "passthrough": text} for n, text in enumerate(('{"a": 1}', bad, '{"a": 2}'))]
    found = list(chunk.rows(pa.Table.from_pylist(values, schema=chunk.json_schema())))
    assert [row.passthrough for row in found] == [{"a": 1}, {}, {"a": 2}]
    assert [row.error and row.error.code for row in found] == [None, "parse_error", None]


@pytest.mark.parametrize("data", [b"", b"PAR1", b"x" * 100, chunk.to_bytes(table([]))[:-1]])
def test_a_file_that_is_not_parquet_is_refused_with_a_message(data: bytes):
    with pytest.raises(BulkqaError, match="cannot be read as Parquet"):
        chunk.from_bytes(data)
