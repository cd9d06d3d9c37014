"""A chunk: consecutive rows of the input in a Parquet file, including rejected rows.

| column | type | |
|---|---|---|
| row | int64 | number of the data row in the input, from 0, without gaps |
| line | int64, null | first line of the row in a text file, from 1 |
| id | string, null | |
| question, context | string, null | |
| code, message | string, null | set where the producer rejected the row |
| raw | string, null | the text of a row that could not be parsed |
| group | string, null | rows of one group are passages for one question; absent if the job has no groups |
| passage | int64, null | place of the context in a list of contexts, from 0; absent unless there are lists |
| document | string | name of the document that is the context; absent unless questions are asked of documents |
| passthrough | struct, or string, null | all other columns of the input; absent if there are none |

Where questions are asked of documents, `context` and `document` are dictionaries: a text is there once, however many
questions it has.

A passthrough struct has a field for each column, with its name and type. JSON Lines have no columns, and the type of a
key may change from line to line: there passthrough is a string, the JSON text of an object. `rows` gives a dict of JSON
values either way: numbers that JSON lacks are the texts "NaN", "Infinity" and "-Infinity". If that text cannot be
parsed, which today's producer would have rejected, the row gets an error.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from itertools import repeat
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import compute

from contract.errors import BulkqaError
from contract.format import nesting
from contract.format.job import Row, RowError

# The types that pyarrow declares differ from version to version, and some are missing.
_pc: Any = compute

FIELDS: tuple[Any, ...] = (
    pa.field("row", pa.int64(), nullable=False),
    pa.field("line", pa.int64()),
    pa.field("id", pa.string()),
    pa.field("question", pa.string()),
    pa.field("context", pa.string()),
    pa.field("code", pa.string()),
    pa.field("message", pa.string()),
    pa.field("raw", pa.string()),
)

#: Bytes of a dictionary, at most.
_MOST = 1 << 30

#: Columns that only some jobs have, between those above and passthrough.
GROUP = pa.field("group", pa.string())
PASSAGE = pa.field("passage", pa.int64())
DOCUMENT = pa.field("document", pa.string(), nullable=False)


def schema(passthrough: list[Any]) -> pa.Schema:
    """The schema of a job's chunks. `passthrough`: the fields of the input's other columns."""
    extra = [pa.field("passthrough", pa.struct(passthrough))] if passthrough else []
    return pa.schema([*FIELDS, *extra])


def json_schema() -> pa.Schema:
    """The schema of the chunks of a JSON Lines job."""
    return pa.schema([*FIELDS, pa.field("passthrough", pa.string())])


def extended(schema: pa.Schema, *fields: Any) -> pa.Schema:
    """The schema with more columns, before passthrough."""
    own = [*schema]
    return pa.schema([*own[: len(FIELDS)], *fields, *own[len(FIELDS) :]])


def of_documents(schema: pa.Schema) -> pa.Schema:
    """The schema of the chunks of documents, from that of their questions."""
    texts = pa.dictionary(pa.int32(), pa.string())
    context = pa.field("context", texts)
    own = schema.set(schema.get_field_index("context"), context)
    return extended(own, GROUP, DOCUMENT.with_type(texts))


def to_bytes(table: pa.Table) -> bytes:
    """A Parquet file, the same bytes for the same table. (zstd would take a quarter less space and twice the time.)"""
    sink = io.BytesIO()
    once = [field.name for field in table.schema if pa.types.is_dictionary(field.type)]
    limit = {"dictionary_pagesize_limit": _MOST} if once else {}  # beyond it, values would be written one by one
    pq.write_table(table, sink, compression="snappy", use_dictionary=once or False, write_statistics=False, **limit)
    return sink.getvalue()


def from_bytes(data: bytes) -> pa.Table:
    """The table of a chunk file. Raises BulkqaError if it is not Parquet."""
    try:
        return pq.ParquetFile(pa.BufferReader(data)).read(use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise BulkqaError(f"a chunk file cannot be read as Parquet: {error}", "Submit the file again.") from error


def rows(table: pa.Table) -> Iterator[Row]:
    """The rows of a chunk, in order."""
    is_finite = "passthrough" not in table.column_names or all(map(_is_finite, table["passthrough"].chunks))
    once = [name for name in table.column_names if pa.types.is_dictionary(table.schema.field(name).type)]
    shared = zip(*(_shared(table[name]) for name in once), strict=True) if once else repeat(())
    for values, texts in zip(table.drop_columns(once).to_pylist(), shared, strict=False):
        values.update(zip(once, texts, strict=True))
        code = values.pop("code")
        message = values.pop("message")
        error = RowError(code, message or "") if code is not None else None
        passthrough, damage = _passthrough(values.pop("passthrough", None))
        if not is_finite:
            passthrough = finite(passthrough)
        yield Row(error=error or damage, passthrough=passthrough, **values)


def _shared(column: Any) -> Iterator[Any]:
    """The values of a dictionary column: rows with the same value have one object."""
    for chunk in column.chunks:
        values = chunk.dictionary.to_pylist()
        yield from (None if index is None else values[index] for index in chunk.indices.to_pylist())


def finite(value: Any) -> Any:
    """A JSON value with texts in place of NaN and infinities, which JSON lacks."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    if not isinstance(value, float) or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _is_finite(column: Any) -> bool:
    """Whether no number in an array of JSON's types is NaN or infinite."""
    if pa.types.is_floating(column.type):
        return _pc.all(_pc.is_finite(column)).as_py() is not False
    if pa.types.is_struct(column.type):
        return all(map(_is_finite, column.flatten()))
    return _is_finite(column.flatten()) if pa.types.is_list(column.type) else True


def _passthrough(stored: dict[str, Any] | str | None) -> tuple[dict[str, Any], RowError | None]:
    if not stored or isinstance(stored, dict):
        return stored or {}, None
    try:
        return nesting.loads(stored), None
    except ValueError as error:
        return {}, RowError("parse_error", f"the other columns of the row cannot be read: {error}")
