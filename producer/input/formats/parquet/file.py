"""A Parquet file: decoded in batches, in bounded memory.

Covers no checks of what the text fields hold (`rows`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from contract.errors import InputError
from contract.remedy import Remedy, Set
from producer.input.columns import ColumnNames, refuse_wide
from producer.input.formats.datafile import DataFile
from producer.input.formats.parquet.convert import is_list_of_texts, is_text
from producer.input.formats.parquet.int96 import open_exact
from producer.input.formats.parquet.rows import RowCutter
from producer.input.memory import Bound
from producer.input.options import Limits, ReadOptions
from producer.input.raw import WRONG_FILE, encrypted, reason
from producer.input.rows import Rows

#: A file that holds one long text once, for many questions, may expand to a thousand times its size.
_EXPANDED, _RATIO = 4 << 30, 10_000
#: Limits on the directory of a file: bytes of a text, entries of a list. That of 10,000 columns has texts of 3 MiB.
_DIRECTORY_TEXT, _DIRECTORY_ENTRIES = 8 << 20, 1 << 17
_DIRECTORY_TOO_LARGE = ("Exceeded size limit", "bad_alloc", "too deeply nested")
_CONVERT_TEXT = Remedy("Convert it, or name other columns with ", Set("question"), " and ", Set("context"), ".")
_CONVERT_ID = Remedy("Convert it, name another with ", Set("id"), ", or go without ids: ", Set(id=""))
_CONVERT_GROUP = Remedy("Convert it, or name another with ", Set("group_by"), ".")
#: Rows decoded at once; if memory does not suffice, the next number of them.
_AT_ONCE = (1024, 64, 4, 1)
_RUN_ROWS = 16_384
# IndexError: a value refers to a missing entry of its dictionary.
_ERRORS = (pa.ArrowException, OSError, ValueError, EOFError, MemoryError, IndexError)


class _TooLargeError(ValueError):
    """Data that cannot be decoded in bounded memory. The text says why, the remedy what to do."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


def parquet_file(path: Path, label: str, options: ReadOptions, bound: Bound, resources: ExitStack) -> DataFile:
    """Read the directory. Raises InputError if it is damaged or too large, or lacks a column of the right type."""
    try:
        file = resources.enter_context(pa.OSFile(str(path), "rb"))
    except (OSError, pa.ArrowException) as error:
        raise InputError("unreadable", f"{label}: {reason(error)}", "Check the permissions.") from error
    decoder = _Decoder(file, label, bound)
    resources.callback(decoder.close)
    refuse_wide(label, len(decoder.types.names))
    columns = ColumnNames(label, decoder.types.names, options)
    decoder.check_types(columns)
    cutter = RowCutter(columns, decoder.types, options.max_row_bytes)
    batches = decoder.batches(cutter, options.limits)
    return DataFile(
        "parquet",
        columns,
        cutter.schema,
        batches,
        types=decoder.types,
        progress=decoder.progress,
        has_lists=cutter.has_lists,
    )


class _Decoder:
    """Decodes a file in no more memory than `bound` allows."""

    def __init__(self, file: Any, label: str, bound: Bound) -> None:
        self._label = label
        self._source = file
        self._bound = bound
        try:
            self._file, self.types = open_exact(self._opened, bound)
        except _ERRORS as error:
            raise self._unreadable(error) from error
        self._rows: int = self._file.metadata.num_rows
        self._done = 0

    def _opened(self, int96: str) -> pq.ParquetFile:
        """The file, with `int96` as the unit of such timestamps."""
        with self._bound:
            # Buffered and not read ahead: a column chunk of a gigabyte is read through a megabyte.
            return pq.ParquetFile(
                self._source,
                buffer_size=1 << 20,
                pre_buffer=False,
                coerce_int96_timestamp_unit=int96,
                thrift_string_size_limit=_DIRECTORY_TEXT,
                thrift_container_size_limit=_DIRECTORY_ENTRIES,
            )

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def progress(self) -> float:
        """The share of the rows that were given."""
        return self._done / self._rows

    def check_types(self, columns: ColumnNames) -> None:
        """Refuse columns that cannot hold a text or an id, and a file without rows. A column without one value has the
        type null."""
        for name in (columns.question, columns.context):
            kind = self.types.field(name).type
            if name == columns.context and is_list_of_texts(kind):
                continue
            text = is_text(kind.value_type if pa.types.is_dictionary(kind) else kind)
            if not text and not pa.types.is_null(kind):
                raise self._wrong_type(name, "string", _CONVERT_TEXT)
        for column, remedy in ((columns.id, _CONVERT_ID), (columns.group, _CONVERT_GROUP)):
            if column is not None and pa.types.is_nested(self.types.field(column).type):
                raise self._wrong_type(column, "string or integer", remedy)
        if not self._rows:
            raise InputError("empty_file", f"{self._label}: columns and no rows", WRONG_FILE)

    def _wrong_type(self, name: str, expected: str, remedy: Remedy) -> InputError:
        message = f"{self._label}: the column {name!r} is of type {self.types.field(name).type}, not {expected}"
        return InputError("unsupported_format", message, remedy)

    def batches(self, cutter: RowCutter, limits: Limits) -> Iterator[Rows]:
        """All rows. Raises InputError if they cannot be decoded, or not in bounded memory."""
        try:
            for groups in self._runs():
                for batch in self._decoded(groups):
                    for rows in cutter.rows(batch):
                        self._done += len(rows.question)
                        yield rows
                    self._refuse_bomb(cutter.size)
                    limits.check_ratio(self._label, self._source.size(), cutter.size)
        except _ERRORS as error:
            raise self._unreadable(error, f" after row {self._done:,}") from error

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
        """The rows of some row groups, as many at a time as memory allows: a text held once may be in every row."""
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
        column = next((name for name in self.types.names if self._is_too_large(name, groups, done)), None)
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
                f"{self._source.size():,} bytes expand to over {size:,}, and {_RATIO:,} times as many are allowed",
                "If that is intended, write it as CSV or JSON Lines.",
            )

    def _unreadable(self, error: Exception, where: str = "") -> InputError:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        if isinstance(error, _TooLargeError):
            message = f"{self._label}: Parquet too large to be decoded{where}: {error}"
            return InputError("unreadable", message, error.remedy)
        if "encrypt" in why.lower() or "decrypt" in why.lower():
            return encrypted(self._label)
        if isinstance(error, MemoryError) or any(words in why for words in _DIRECTORY_TOO_LARGE):
            message = f"{self._label}: Parquet too large to be decoded{where}: the directory at its end is: {why}"
            return InputError("unreadable", message, "Write it with fewer row groups and columns, and less metadata.")
        return InputError(
            "unreadable",
            f"{self._label}: damaged or truncated Parquet{where}: {why}",
            "Copy or write the file again.",
        )
