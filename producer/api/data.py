"""What `Client.submit` takes: paths, streams, DataFrames, records, columns, and tables of any library of Arrow.

Decides what a thing is, and hands rows on as a file that is read as all files are. `tables` makes Arrow tables of what
is in Python's lists, `frames` knows pandas. Nothing is guessed: what is none of these is refused with what there is.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa

from contract.errors import InputError
from producer.api import pandas as frames
from producer.api.arrow import ERRORS, parquet, refused, table_of, types_of
from producer.results.columns import InputColumns


def taken(data: object) -> tuple[str | Path | BinaryIO, InputColumns | None]:
    """What to read rows from, and what is to be kept of its columns. Raises InputError for what is no table."""
    if isinstance(data, str | os.PathLike):
        return _path(data), None
    if isinstance(data, bytes | bytearray | memoryview):
        return io.BytesIO(data), None
    if hasattr(data, "read"):
        return _stream(data), None
    if _is_frame(data):
        return frames.of_frame(data)
    table = _arrow(data)
    columns = InputColumns(types_of(table))
    return parquet(table, columns), columns


def _path(data: str | os.PathLike[str]) -> str | Path:
    path = os.fspath(data)
    if not isinstance(path, str):
        raise refused(f"a path of {type(path).__name__}", "Give it as text.")
    if "\n" in path:
        raise refused("text with several lines, which is no path", "If it is the data itself: io.StringIO(text).")
    return path if isinstance(data, str) else Path(path)


class _Encoded(io.RawIOBase):
    """A stream of text as one of bytes. A lone surrogate is passed on, for its row to be rejected."""

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
    """A binary stream as it is; of a text file its bytes, if those are UTF-8: reading text changes line ends."""
    try:
        if getattr(data, "closed", False):
            raise refused("a file that is closed", "Open it, or give its path.")
        first = data.read(0)
    except (OSError, ValueError) as error:
        raise refused(f"a stream that cannot be read: {error}") from error
    if isinstance(first, bytes):
        return data  # type: ignore[no-any-return]
    if not isinstance(first, str):
        raise refused(f"a {type(data).__name__}, which reads neither bytes nor text")
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
    if hasattr(data, "__arrow_c_stream__") or hasattr(data, "__arrow_c_array__"):
        return _of_capsule(data)
    if isinstance(data, Sequence) and data and all(isinstance(one, Mapping) for one in data):
        names = list(dict.fromkeys(name for record in data for name in record))
        return table_of([(name, [record.get(name) for record in data]) for name in names])
    if hasattr(data, "collect"):
        raise refused(f"a {type(data).__name__}, which holds no rows yet", "Submit what its collect() gives.")
    if isinstance(data, Sequence) and not data:
        raise InputError("empty_file", "there is no row in an empty list", "Is it the right one?")
    raise refused(f"an object of type {type(data).__name__}")


def _of_columns(data: Mapping[Any, Any]) -> pa.Table:
    lists = {name: _values(values) for name, values in data.items()}
    if any(values is None for values in lists.values()):
        raise refused("a dict whose values are no lists", "Give a list for each column; a single row is [row].")
    lengths = {name: len(values or []) for name, values in lists.items()}
    if len(set(lengths.values())) > 1:
        raise refused(f"columns of different lengths: {', '.join(f'{n!r} {count:,}' for n, count in lengths.items())}")
    return table_of(list(lists.items()))


def _values(column: Any) -> list[Any] | None:
    if isinstance(column, str | bytes | Mapping) or not hasattr(column, "__iter__"):
        return None
    return list(column.tolist() if hasattr(column, "tolist") else column)


def _of_capsule(data: Any) -> pa.Table:
    """By the Arrow PyCapsule interface: polars, DuckDB, pyarrow and others have it."""
    try:
        table = (
            pa.table(data) if hasattr(data, "__arrow_c_stream__") else pa.Table.from_batches([pa.record_batch(data)])
        )
    except ERRORS as error:
        raise refused(f"a {type(data).__name__} that is no table: {error}") from error
    for place, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type) and pa.types.is_string_view(field.type.value_type):
            table = table.set_column(place, field.name, _plain(table.column(place)))
    return table


def _plain(column: Any) -> Any:
    """Categories of polars as Parquet has them: their texts are of a type that it does not take in a dictionary."""
    kind = pa.dictionary(column.type.index_type, pa.string(), column.type.ordered)
    chunks = [
        pa.DictionaryArray.from_arrays(c.indices, c.dictionary.cast(pa.string()), ordered=column.type.ordered)
        for c in column.chunks
    ]
    return pa.chunked_array(chunks, kind)
