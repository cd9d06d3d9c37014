"""Data for `Client.submit`: paths, streams, DataFrames, records, columns, and tables of any Arrow library.

Recognizes the kind of data and passes its rows on as a file, which is read like any other. `arrow` builds Arrow tables
from Python's lists, `pandas` knows DataFrames. Anything else is refused with a list of what is supported.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa

from contract.errors import InputError, UsageError
from producer.api import pandas as frames
from producer.api.arrow import ERRORS, parquet, table_of, types_of, unsupported
from producer.input.location import Documents
from producer.results.columns import InputColumns


def as_input(data: object) -> tuple[str | Path | BinaryIO, InputColumns | None]:
    """The file to read rows from, and the column types to keep. Raises InputError for unsupported data."""
    if isinstance(data, str | os.PathLike):
        return _path(data), None
    if isinstance(data, bytes | bytearray | memoryview):
        return io.BytesIO(data), None
    if hasattr(data, "read"):
        return _stream(data), None
    if _is_frame(data):
        return frames.from_frame(data)
    table = _arrow(data)
    columns = InputColumns(types_of(table))
    return parquet(table, columns), columns


def source_of(data: Any, documents: Any, questions: Any) -> Any:
    """The data, or documents with their questions. Raises UsageError unless it is one of them."""
    if documents is None and questions is None:
        return data
    if data is not None or documents is None or questions is None:
        raise UsageError("give either data, or documents with their questions", "submit(documents=..., questions=...)")
    if isinstance(questions, list | tuple) and all(isinstance(each, str) for each in questions):
        questions = [{"question": each} for each in questions]
    several = isinstance(documents, list | tuple) and not any(isinstance(each, Mapping) for each in documents)
    places = tuple(as_input(each)[0] for each in documents) if several else as_input(documents)[0]
    return Documents(places, as_input(questions)[0])


def _path(data: str | os.PathLike[str]) -> str | Path:
    path = os.fspath(data)
    if not isinstance(path, str):
        raise unsupported(f"a path of {type(path).__name__}", "Give it as text.")
    if "\n" in path:
        raise unsupported("text with several lines as a path", "If it is the data itself: io.StringIO(text).")
    return path if isinstance(data, str) else Path(path)


class _Encoded(io.RawIOBase):
    """A text stream as a byte stream. A lone surrogate is kept: its row is rejected later."""

    def __init__(self, text: Any) -> None:
        self.name = getattr(text, "name", "text")
        self._text = text
        self._rest = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if not self._rest:
            text: str = self._text.read(size)
            self._rest = text.encode("utf-8", "surrogatepass")
        end = size if size >= 0 else len(self._rest)
        data, self._rest = self._rest[:end], self._rest[end:]
        return data


def _stream(data: Any) -> BinaryIO:
    """A binary stream unchanged; the bytes of a UTF-8 text file, because reading text changes line ends."""
    try:
        if getattr(data, "closed", False):
            raise unsupported("a closed file", "Open it, or give its path.")
        first = data.read(0)
    except (OSError, ValueError) as error:
        raise unsupported(f"a stream that cannot be read: {error}") from error
    if isinstance(first, bytes):
        return data  # type: ignore[no-any-return]
    if not isinstance(first, str):
        raise unsupported(f"{_a(data)} that reads neither bytes nor text")
    if isinstance(data, io.TextIOWrapper) and data.encoding.lower().replace("-", "") == "utf8":
        return cast(BinaryIO, data.buffer)
    return _Encoded(data)  # type: ignore[return-value]


def _is_frame(data: object) -> bool:
    kind = type(data)
    return any(c.__module__.partition(".")[0] == "pandas" and c.__name__ == "DataFrame" for c in kind.__mro__)


def _arrow(data: Any) -> pa.Table:
    """Records, columns and tables of other libraries as an Arrow table."""
    if isinstance(data, Mapping):
        return _of_columns(data)
    if hasattr(data, "__aiter__"):
        raise unsupported(f"{_a(data)}, which is read with await", "Collect its rows: [row async for row in rows]")
    if hasattr(data, "__arrow_c_stream__") or hasattr(data, "__arrow_c_array__"):
        return _of_capsule(data)
    if hasattr(data, "collect"):
        raise unsupported(f"{_a(data)}, which has no rows yet", "Submit the result of its collect().")
    if isinstance(data, Iterable):
        return _of_rows(data)
    raise unsupported(_a(data))


def _a(data: object) -> str:
    """The kind of an object, as people call it."""
    if data is None:
        return "None"
    name = type(data).__name__.lstrip("_")
    return f"{'an' if name[:1] in 'aeiouAEIOU' else 'a'} {name}"


def _of_rows(data: Iterable[Any]) -> pa.Table:
    """The rows of any iterable: a list, a generator, the values of a dict."""
    try:
        rows = list(data)
    except OSError as error:
        raise InputError("unreadable", f"the rows cannot be read: {error}", "Check where they come from.") from error
    others = [row for row in rows if not isinstance(row, Mapping)]
    if others:
        raise unsupported(
            f"{_a(data)} with {_a(others[0])} in it", "Give rows as dicts: {'question': ..., 'context': ...}"
        )
    if not rows:
        raise InputError("empty_file", f"{_a(data)} without a row", "Check that it is the right one.")
    names = list(dict.fromkeys(name for row in rows for name in row))
    return table_of([(name, [row.get(name) for row in rows]) for name in names])


def _of_columns(data: Mapping[Any, Any]) -> pa.Table:
    if not data:
        raise InputError("empty_file", f"{_a(data)} without a column", "Check that it is the right one.")
    lists = {name: _values(values) for name, values in data.items()}
    if any(values is None for values in lists.values()):
        raise unsupported("a dict whose values are not lists", "Give a list for each column; a single row is [row].")
    lengths = {name: len(values or []) for name, values in lists.items()}
    if len(set(lengths.values())) > 1:
        raise unsupported(
            f"columns of different lengths: {', '.join(f'{n!r} {count:,}' for n, count in lengths.items())}"
        )
    return table_of(list(lists.items()))


def _values(column: Any) -> list[Any] | None:
    if isinstance(column, str | bytes | Mapping) or not hasattr(column, "__iter__"):
        return None
    return list(column.tolist() if hasattr(column, "tolist") else column)


def _of_capsule(data: Any) -> pa.Table:
    """A table with the Arrow PyCapsule interface, as those of polars, DuckDB and pyarrow."""
    try:
        table = (
            pa.table(data) if hasattr(data, "__arrow_c_stream__") else pa.Table.from_batches([pa.record_batch(data)])
        )
    except ERRORS as error:
        raise unsupported(f"{_a(data)} that is not a table: {error}") from error
    for index, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type) and pa.types.is_string_view(field.type.value_type):
            table = table.set_column(index, field.name, _as_strings(table.column(index)))
    return table


def _as_strings(column: Any) -> Any:
    """Categories of polars as plain strings: Parquet has no dictionaries of string views."""
    kind = pa.dictionary(column.type.index_type, pa.string(), column.type.ordered)
    chunks = [
        pa.DictionaryArray.from_arrays(c.indices, c.dictionary.cast(pa.string()), ordered=column.type.ordered)
        for c in column.chunks
    ]
    return pa.chunked_array(chunks, kind)
