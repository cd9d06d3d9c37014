"""Columns of Python as an Arrow table, its types without its rows, and the Parquet file that the reader is given."""

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

#: What Arrow raises for values that it cannot hold.
ERRORS = (pa.ArrowException, ValueError, TypeError, KeyError, OverflowError)
_TAKEN = "Give a path, an open file, a DataFrame, an Arrow table, a list of dicts or a dict of columns."


class Table(io.BytesIO):
    """Parquet in memory, under the name that messages have for it."""

    name = "table"


def refused(what: str, remedy: str = _TAKEN) -> InputError:
    """The error for what cannot be submitted."""
    return InputError("unsupported_format", f"cannot submit {what}", remedy)


def table_of(columns: list[tuple[Any, Any]]) -> pa.Table:
    """Raises InputError for names that are no text or not each its own, and for values that are not of one type."""
    names = [_name(name) for name, _ in columns]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        message = f"several columns of one name: {', '.join(map(repr, twice))}"
        raise InputError("duplicate_column", message, "Rename or remove all but one.")
    return pa.table({name: _array(name, values) for name, (_, values) in zip(names, columns, strict=True)})


def _name(name: Any) -> str:
    if isinstance(name, bool) or not isinstance(name, str | int):
        remedy = "Columns need names that are text: frame.columns = ['question', 'context', ...]"
        raise refused(f"a column whose name is {name!r}, a {type(name).__name__}", remedy)
    try:
        str(name).encode()
    except UnicodeEncodeError as error:
        raise refused(f"a column whose name has half a surrogate pair: {name!r}", "Rename it.") from error
    return str(name)


def _array(name: str, values: Any) -> Any:
    """A column as an Arrow array. Text with a lone surrogate is passed on, for its row to be rejected."""
    try:
        array = pa.array(values, from_pandas=True)
    except UnicodeEncodeError:
        return _unchecked(values)
    except ERRORS as error:
        raise _mixed(name, values, error) from error
    if (pa.types.is_binary(array.type) or pa.types.is_temporal(array.type)) and _differ(values):
        raise _mixed(name, values, TypeError("several types"))
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _differ(values: Any) -> bool:
    """Whether text is among bytes, or days among times: Arrow makes the one of the other without a word."""
    kinds = {type(value) for value in values} if str(getattr(values, "dtype", "object")) == "object" else set()
    return {str, bytes} <= kinds or (datetime.date in kinds and any(issubclass(k, datetime.datetime) for k in kinds))


def _unchecked(values: Any) -> Any:
    data = [value.encode("utf-8", "surrogatepass") if isinstance(value, str) else None for value in values]
    binary = pa.array(data, pa.binary())
    return pa.Array.from_buffers(pa.string(), len(binary), binary.buffers(), binary.null_count)


def _mixed(name: str, values: Any, error: Exception) -> InputError:
    there = [value for value in values if value is not None and not (isinstance(value, float) and math.isnan(value))]
    kinds = Counter(type(value).__name__ for value in there)
    which = " and ".join(kind for kind, _ in kinds.most_common(3))
    what = f"values of several types: {which}" if len(kinds) > 1 else f"values that no table can hold: {which}: {error}"
    return InputError(
        "unsupported_format",
        f"the column {name!r} holds {what.splitlines()[0]}",
        f"Make them of one type: frame[{name!r}].astype(str), for example, or leave the column out.",
    )


def types_of(table: pa.Table) -> pa.Table:
    """The types, without the rows."""
    arrays = []
    for column in table.columns:
        if pa.types.is_dictionary(column.type) and column.num_chunks:
            one = column.unify_dictionaries().chunk(0)
            empty = pa.array([], one.indices.type)
            arrays.append(pa.DictionaryArray.from_arrays(empty, one.dictionary, ordered=column.type.ordered))
        else:
            arrays.append(
                pa.array([], column.type) if settled(column.type) == column.type else pa.nulls(0, column.type)
            )
    return pa.table(arrays, schema=pa.schema([pa.field(f.name, f.type) for f in table.schema]))


def parquet(table: pa.Table, columns: InputColumns) -> Table:
    """With a digest of what is kept: a key that stands for these rows stands for this index too."""
    about = {"bulkqa.columns": hashlib.sha256(columns.to_bytes()).hexdigest()}
    file = Table()
    try:
        pq.write_table(table.replace_schema_metadata(about), file)
    except ERRORS as error:
        bad = next((f for f in table.schema if not _is_written(f)), None)
        what = f"the column {bad.name!r} is of type {bad.type}" if bad else str(error)
        raise refused(f"this table: {what}", "Convert the column, or leave it out.") from error
    file.seek(0)
    return file


def _is_written(field: Any) -> bool:
    try:
        pq.write_table(pa.schema([field]).empty_table(), io.BytesIO())
    except ERRORS:
        return False
    return True
