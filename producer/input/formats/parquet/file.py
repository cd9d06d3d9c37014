"""Parquet into records: batches of bounded size, with every column in a type that JSON can hold.

What JSON cannot hold becomes a string: timestamps, dates and times in ISO 8601, decimals and durations as printed,
binary in base64; NaN and infinities become null. Covers no checks of what the text fields hold (`rows`).
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from contract.errors import InputError
from contract.remedy import Remedy, Set
from producer.input.memory import Bound
from producer.input.raw import encrypted
from producer.input.rows import ROW_OVERHEAD, Column, Fault, Rows, bad_encoding, pc, sizes, weights, where

#: An Arrow type.
DataType = Any

_BATCH_BYTES = 4 << 20
#: A file of one long text with many questions, held once, may stand for a thousand times its size.
_EXPANDED, _RATIO = 4 << 30, 10_000
#: A longer id is what makes its row too large.
_ID_BYTES = 1000
#: Most bytes of a text and entries of a list in the directory of a file: that of 10,000 columns has texts of 3 MiB.
_DIRECTORY_TEXT, _DIRECTORY_ENTRIES = 8 << 20, 1 << 17
_DIRECTORY_TOO_LARGE = ("Exceeded size limit", "bad_alloc", "too deeply nested")
_CONVERT_TEXT = Remedy("Convert it, or name other columns with ", Set("question"), " and ", Set("context"), ".")
_CONVERT_ID = Remedy("Convert it, name another with ", Set("id"), ", or go without ids: ", Set(id=""))
#: Rows decoded at once; where memory does not suffice, the next number of them.
_AT_ONCE = (1024, 64, 4, 1)
_RUN_ROWS = 16_384
# IndexError: a value that refers to an entry of its dictionary that is not there.
_ERRORS = (pa.ArrowException, OSError, ValueError, EOFError, MemoryError, IndexError)


class _TooLargeError(ValueError):
    """What cannot be decoded in bounded memory. The text says why, the remedy what to do."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


class ParquetRecords:
    """The records of a Parquet file. Decoding it takes no more memory than `bound` lets it."""

    def __init__(self, file: Any, label: str, bound: Bound) -> None:
        self._label = label
        self._source = file
        self._bound = bound
        try:
            with bound:
                # Buffered and not read ahead: a column chunk of a gigabyte is read through a megabyte.
                self._file = pq.ParquetFile(
                    file,
                    buffer_size=1 << 20,
                    pre_buffer=False,
                    thrift_string_size_limit=_DIRECTORY_TEXT,
                    thrift_container_size_limit=_DIRECTORY_ENTRIES,
                )
                self.schema: pa.Schema = self._file.schema_arrow
        except _ERRORS as error:
            raise self._unreadable(error) from error
        self.rows: int = self._file.metadata.num_rows

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def check_types(self, question: str, context: str, id_: str | None) -> None:
        """Refuse columns that cannot hold a text or an id, and a file without rows. Of a column without one value the
        type is null."""
        for name in (question, context):
            kind = self.schema.field(name).type
            text = _is_text(kind.value_type if pa.types.is_dictionary(kind) else kind)
            if not text and not pa.types.is_null(kind):
                raise self._wrong_type(name, "string", _CONVERT_TEXT)
        if id_ is not None and pa.types.is_nested(self.schema.field(id_).type):
            raise self._wrong_type(id_, "string or integer", _CONVERT_ID)
        if not self.rows:
            raise InputError("empty_file", f"{self._label}: columns and no rows", "Is it the right file?")

    def _wrong_type(self, name: str, wanted: str, remedy: Remedy) -> InputError:
        message = f"{self._label}: the column {name!r} is of type {self.schema.field(name).type}, not {wanted}"
        return InputError("unsupported_format", message, remedy)

    def batches(self, columns: Columns, limit: int) -> Iterator[Rows]:
        """All rows. Raises InputError where they cannot be decoded, or not in bounded memory."""
        done = 0
        try:
            for groups in self._runs():
                for batch in self._decoded(groups):
                    yield from columns.rows(batch, limit)
                    done += batch.num_rows
                    self._refuse_bomb(columns.size)
        except _ERRORS as error:
            raise self._unreadable(error, f" after row {done:,}") from error

    def _runs(self) -> Iterator[list[int]]:
        """Row groups that are read together: tiny ones are many."""
        numbers: list[int] = []
        rows = 0
        for number in range(self._file.metadata.num_row_groups):
            numbers.append(number)
            rows += max(0, self._file.metadata.row_group(number).num_rows)
            if rows >= _RUN_ROWS or len(numbers) >= _RUN_ROWS:
                yield numbers
                numbers, rows = [], 0
        if numbers:
            yield numbers

    def _decoded(self, groups: list[int]) -> Iterator[pa.RecordBatch]:
        """The rows of some row groups, so many at a time as there is memory for: a text that is held once may be that
        of every row."""
        done = 0
        for rows in _AT_ONCE:
            try:
                for batch in self._in_batches(groups, rows, done):
                    done += batch.num_rows
                    yield batch
                return
            except MemoryError:
                pass
            pa.default_memory_pool().release_unused()
        raise self._too_large(groups, done)  # not from within: the error would keep what was decoded until then

    def _in_batches(
        self, groups: list[int], rows: int, skip: int, columns: list[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Batches of `rows` rows, without the first `skip` rows."""
        batches = self._file.iter_batches(batch_size=rows, row_groups=groups, columns=columns, use_threads=False)
        while True:
            with self._bound:
                batch = next(batches, None)
            if batch is None:
                return
            passed = min(skip, batch.num_rows)
            skip -= passed
            if passed < batch.num_rows:
                yield batch.slice(passed)

    def _too_large(self, groups: list[int], done: int) -> _TooLargeError:
        column = next((name for name in self.schema.names if self._is_too_large(name, groups, done)), None)
        whose = f"the column {column!r} takes" if column is not None else "its columns together take"
        more = 2 * self._bound.budget
        return _TooLargeError(
            f"a row of it does not fit into {self._bound.budget >> 20:,} MiB of memory: {whose} more",
            "Write it with smaller pages (pyarrow: write_batch_size=16) or without that column, or as CSV or JSON "
            f"Lines. Or allow more, in bytes: BULKQA_READ_MEMORY={more}",
        )

    def _is_too_large(self, column: str, groups: list[int], done: int) -> bool:
        """Twice: what was decoded before may be freed a little later."""
        for _ in range(2):
            pa.default_memory_pool().release_unused()
            try:
                next(self._in_batches(groups, _AT_ONCE[-1], done, [column]), None)
            except MemoryError:
                continue
            except _ERRORS:
                pass  # whatever else is wrong with it
            return False
        return True

    def _refuse_bomb(self, size: int) -> None:
        if size > _EXPANDED and size > _RATIO * self._source.size():
            raise _TooLargeError(
                f"{self._source.size():,} bytes stand for over {size:,}, and {_RATIO:,} times its size is the most",
                "If it is meant so, write it as CSV or JSON Lines.",
            )

    def _unreadable(self, error: Exception, where: str = "") -> InputError:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        if isinstance(error, _TooLargeError):
            message = f"{self._label}: Parquet too large to be decoded{where}: {error}"
            return InputError("unreadable", message, error.remedy)
        if "encrypt" in said.lower() or "decrypt" in said.lower():
            return encrypted(self._label)
        if isinstance(error, MemoryError) or any(words in said for words in _DIRECTORY_TOO_LARGE):
            message = f"{self._label}: Parquet too large to be decoded{where}: the directory at its end is: {said}"
            return InputError("unreadable", message, "Write it with fewer row groups and columns, and less metadata.")
        return InputError(
            "unreadable",
            f"{self._label}: damaged or truncated Parquet{where}: {said}",
            "Copy or write the file again.",
        )


class Columns:
    """Which columns of the file become what."""

    def __init__(self, question: str, context: str, id_: str | None, passthrough: list[tuple[str, DataType]]) -> None:
        self._question = question
        self._context = context
        self._id = id_
        self._passthrough = passthrough
        self.size = 0  #: of the rows so far, in memory
        self._fields = [pa.field(*item) for item in passthrough]
        self._names = [name for name in (id_, question, context) if name is not None] + [
            name for name, _ in passthrough
        ]

    def rows(self, batch: pa.RecordBatch, limit: int) -> Iterator[Rows]:
        """The rows of a batch, a few MiB at a time: once decoded, a text that was held once may be many. What is too
        large is left where it is."""
        size = ROW_OVERHEAD + sum(weights(batch.column(name)) for name in self._names)
        self.size += int(size.sum())
        large = size > limit
        ends = np.cumsum(size)
        start = 0
        while start < batch.num_rows:
            if large[start]:
                yield self._too_large(batch.slice(start, 1), int(size[start]), limit)
                start += 1
                continue
            before = int(ends[start - 1]) if start else 0
            stop = max(start + 1, int(np.searchsorted(ends, before + _BATCH_BYTES, side="right")))
            if large[start:stop].any():
                stop = start + int(large[start:stop].argmax())
            yield self._rows(batch.slice(start, stop - start), limit)
            start = stop

    def _too_large(self, row: pa.RecordBatch, size: int, limit: int) -> Rows:
        """Of a row over the limit its id is kept, if that is not what is large."""
        faults: dict[int, Fault] = {}
        text = pa.string()
        known = self._id is not None and weights(row.column(self._id))[0] <= _ID_BYTES
        return Rows(
            id=converted(row.column(self._id), text, faults) if known else pa.nulls(1, text),
            question=pa.nulls(1, text),
            context=pa.nulls(1, text),
            passthrough=pa.nulls(1, pa.struct(self._fields)) if self._fields else None,
            lines=None,
            faults={0: _over(size, limit)},
        )

    def _rows(self, batch: pa.RecordBatch, limit: int) -> Rows:
        faults: dict[int, Fault] = {}
        count = batch.num_rows
        text = pa.string()
        passthrough = [converted(batch.column(name), kind, faults) for name, kind in self._passthrough]
        rows = Rows(
            id=converted(batch.column(self._id), text, faults) if self._id is not None else pa.nulls(count, text),
            question=converted(batch.column(self._question), text, faults),
            context=converted(batch.column(self._context), text, faults),
            passthrough=pa.StructArray.from_arrays(passthrough, fields=self._fields) if self._fields else None,
            lines=None,
            faults=faults,
        )
        return _without_large(rows, limit)


def _over(size: int, limit: int) -> Fault:
    return Fault("row_too_large", f"the row has {size:,} bytes, more than {limit:,}")


def _without_large(rows: Rows, limit: int) -> Rows:
    """Rows that are over the limit as text only, such as base64, keep their id only."""
    columns = {"id": rows.id, "question": rows.question, "context": rows.context}
    if rows.passthrough is not None:
        columns["passthrough"] = rows.passthrough
    size = sizes(pa.table(columns))
    large = size > limit
    if not large.any():
        return rows
    for index in where(pa.array(large)):
        rows.faults[int(index)] = _over(int(size[index]), limit)
    mask = pa.array(large)
    rows.question, rows.context = (pc.if_else(mask, None, column) for column in (rows.question, rows.context))
    rows.id = pc.if_else(pc.greater(pc.binary_length(rows.id), _ID_BYTES), None, rows.id)
    if rows.passthrough is not None:
        rows.passthrough = pc.if_else(mask, None, rows.passthrough)
    return rows


def _is_text(kind: DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def json_type(kind: DataType) -> DataType:
    """The type that a column of type `kind` has in a chunk."""
    types = pa.types
    if isinstance(kind, pa.BaseExtensionType):
        return json_type(kind.storage_type)
    if types.is_boolean(kind) or types.is_integer(kind) or types.is_float32(kind) or types.is_float64(kind):
        return kind
    if types.is_float16(kind):
        return pa.float32()
    if types.is_dictionary(kind):
        return json_type(kind.value_type)
    if types.is_map(kind):
        pair = [pa.field("key", json_type(kind.key_type)), pa.field("value", json_type(kind.item_type))]
        return pa.list_(pa.struct(pair))
    if types.is_nested(kind) and hasattr(kind, "value_type"):  # the kinds of list
        return pa.list_(json_type(kind.value_type))
    if types.is_struct(kind) and kind.num_fields:
        return pa.struct([pa.field(f.name, json_type(f.type)) for f in kind])
    return pa.string()


def converted(column: Column, kind: DataType, faults: dict[int, Fault]) -> Column:
    """The column as type `kind`, which is `json_type` of its own, or string."""
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    own = column.type
    if _is_text(own):
        return _valid(column.cast(pa.string()) if not pa.types.is_string(own) else column, faults)
    if pa.types.is_floating(kind):
        column = column.cast(kind)
        return pc.if_else(pc.is_finite(column), column, None)
    if own == kind and not pa.types.is_nested(kind):
        return column
    if pa.types.is_string(kind) and (pa.types.is_temporal(own) or pa.types.is_integer(own)):
        return _printed(column)
    return pa.array([_json_value(value, kind) for value in _values(column, faults)], kind)


def _printed(column: Column) -> Column:
    if pa.types.is_timestamp(column.type):
        return pc.strftime(column, format="%Y-%m-%dT%H:%M:%S" + ("%z" if column.type.tz else ""))
    if pa.types.is_duration(column.type):
        column = column.cast(pa.int64())
    return column.cast(pa.string())


def _valid(column: Column, faults: dict[int, Fault]) -> Column:
    """Parquet says that a string is UTF-8, and nobody checks."""
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        raw = column.cast(pa.binary()).to_pylist()
        text = [None if value is None else value.decode("utf-8", "replace") for value in raw]
        bad = (i for i, value in enumerate(raw) if value is not None and value != (text[i] or "").encode())
        bad_encoding(bad, faults)
        return pa.array(text, pa.string())
    return column


def _values(column: Column, faults: dict[int, Fault]) -> list[Any]:
    try:
        values: list[Any] = column.to_pylist()
    except ValueError:  # somewhere within is a string that is not UTF-8, or a time that Python cannot hold
        values = [_value(column[i], i, faults) for i in range(len(column))]
    return values


def _value(scalar: Any, index: int, faults: dict[int, Fault]) -> Any:
    try:
        return scalar.as_py()
    except ValueError:
        bad_encoding([index], faults)
        return None


def _json_value(value: Any, kind: DataType) -> Any:
    """`value` of a nested or unusual type, as what `kind` holds."""
    if value is None:
        return None
    if isinstance(value, dict) and pa.types.is_struct(kind):
        return {f.name: _json_value(value.get(f.name), f.type) for f in kind}
    if isinstance(value, list | tuple) and pa.types.is_list(kind):
        return [_json_value(_pair(item, kind.value_type), kind.value_type) for item in value]
    if isinstance(value, float) and pa.types.is_floating(kind):
        return value if math.isfinite(value) else None
    return _as_text(value) if pa.types.is_string(kind) else value


def _pair(item: Any, kind: DataType) -> Any:
    """An entry of a map, which comes as a tuple."""
    return (
        dict(zip(("key", "value"), item, strict=True)) if isinstance(item, tuple) and pa.types.is_struct(kind) else item
    )


def _as_text(value: Any) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
