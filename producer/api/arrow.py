"""Python columns as an Arrow table, and an Arrow table as a Parquet file for `producer.input` to read."""

from __future__ import annotations

import datetime
import hashlib
import io
import math
from collections import Counter
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from contract.errors import InputError
from producer.results.columns import InputColumns
from producer.results.typed import settled

#: What Arrow raises for values that it cannot represent.
ERRORS = (pa.ArrowException, ValueError, TypeError, KeyError, OverflowError)
_SUPPORTED = "Give a path, an open file, a DataFrame, an Arrow table, a list of dicts or a dict of columns."


class ParquetBuffer(io.BytesIO):
    """A Parquet file in memory; messages call it `table`."""

    name = "table"


def unsupported(what: str, remedy: str = _SUPPORTED) -> InputError:
    """The error for data that cannot be submitted."""
    return InputError("unsupported_format", f"cannot submit {what}", remedy)


def table_of(columns: list[tuple[Any, Any]]) -> pa.Table:
    """The table of columns, given as (name, values). Raises InputError if names are not text or not unique, or if the
    values of a column are of several types."""
    names = [_name(name) for name, _ in columns]
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        message = f"several columns of one name: {', '.join(map(repr, repeated))}"
        raise InputError("duplicate_column", message, "Rename or remove all but one.")
    return pa.table({name: _array(name, values) for name, (_, values) in zip(names, columns, strict=True)})


def _name(name: Any) -> str:
    if isinstance(name, bool) or not isinstance(name, str | int):
        remedy = "Name columns with text: frame.columns = ['question', 'context', ...]"
        kind = "" if name is None else f", a {type(name).__name__.lstrip('_')}"
        raise unsupported(f"a column whose name is {name!r}{kind}", remedy)
    try:
        str(name).encode()
    except UnicodeEncodeError as error:
        raise unsupported(f"a column whose name has half a surrogate pair: {name!r}", "Rename it.") from error
    return str(name)


def _array(name: str, values: Any) -> Any:
    """A column as an Arrow array. Text with a lone surrogate is kept: its row is rejected later."""
    try:
        array = pa.array(values, from_pandas=True)
        if isinstance(values, list) and pa.types.is_floating(array.type):  # here NaN is no missing value
            array = pa.array(values)
    except UnicodeEncodeError:
        return _unvalidated(values)
    except ERRORS as error:
        raise _mixed(name, values, error) from error
    if (pa.types.is_binary(array.type) or pa.types.is_temporal(array.type)) and _has_mixed_kinds(values):
        raise _mixed(name, values, TypeError("several types"))
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _has_mixed_kinds(values: Any) -> bool:
    """Whether there are both text and bytes, or both dates and times, which Arrow would silently convert."""
    kinds = {type(value) for value in values} if str(getattr(values, "dtype", "object")) == "object" else set()
    return {str, bytes} <= kinds or (datetime.date in kinds and any(issubclass(k, datetime.datetime) for k in kinds))


def _unvalidated(values: Any) -> Any:
    data = [value.encode("utf-8", "surrogatepass") if isinstance(value, str) else None for value in values]
    binary = pa.array(data, pa.binary())
    return pa.Array.from_buffers(pa.string(), len(binary), binary.buffers(), binary.null_count)


def _mixed(name: str, values: Any, error: Exception) -> InputError:
    present = [value for value in values if value is not None and not (isinstance(value, float) and math.isnan(value))]
    counts = Counter(type(value).__name__ for value in present)
    kinds = " and ".join(kind for kind, _ in counts.most_common(3))
    what = (
        f"values of several types: {kinds}" if len(counts) > 1 else f"values that no table can hold: {kinds}: {error}"
    )
    return InputError(
        "unsupported_format",
        f"the column {name!r} holds {what.splitlines()[0]}",
        f"Make them of one type: frame[{name!r}].astype(str), for example, or leave the column out.",
    )


def types_of(table: pa.Table) -> pa.Table:
    """A table without its rows: only the types."""
    arrays = []
    for column in table.columns:
        if pa.types.is_dictionary(column.type) and column.num_chunks:
            categories = column.unify_dictionaries().chunk(0)
            empty = pa.array([], categories.indices.type)
            arrays.append(pa.DictionaryArray.from_arrays(empty, categories.dictionary, ordered=column.type.ordered))
        else:
            arrays.append(
                pa.array([], column.type) if settled(column.type) == column.type else pa.nulls(0, column.type)
            )
    return pa.table(arrays, schema=pa.schema([pa.field(f.name, f.type) for f in table.schema]))


def parquet(table: pa.Table, columns: InputColumns) -> ParquetBuffer:
    """A table as a Parquet file. It has the digest of `columns`, so that a key found again checks types and index too.
    Raises InputError for a type that Parquet does not have."""
    metadata = {"bulkqa.columns": hashlib.sha256(columns.to_bytes()).hexdigest()}
    file = ParquetBuffer()
    try:
        pq.write_table(table.replace_schema_metadata(metadata), file)
    except ERRORS as error:
        bad = next((field for field in table.schema if not _is_writable(field)), None)
        what = f"the column {bad.name!r} is of type {bad.type}" if bad else str(error)
        raise unsupported(f"this table: {what}", "Convert the column, or leave it out.") from error
    file.seek(0)
    return file


def _is_writable(field: Any) -> bool:
    try:
        pq.write_table(pa.schema([field]).empty_table(), io.BytesIO())
    except ERRORS:
        return False
    return True
