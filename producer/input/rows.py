"""Rows as every format gives them; their checks and numbers; and tables of a bounded size.

Checks run on whole columns, and faults are held by row index: a batch without faults costs no Python per row. Covers no
file format (`formats`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import compute

from contract.errors import BulkqaError
from contract.remedy import Remedy, Set

# The types that pyarrow declares differ from version to version, and some are missing.
pc: Any = compute
#: An Arrow array.
Column = Any

#: A cell that only divides a table's header from its rows.
_RULER = r"^\s*(?::?-{2,}:?|={2,})\s*$"
#: What a row takes besides its text: numbers, offsets, validity.
ROW_OVERHEAD = 64


class Fault(NamedTuple):
    """Why a row is rejected."""

    code: str
    message: str
    raw: str | None = None


_BAD_ENCODING = Fault(
    "bad_encoding",
    "the row is not valid UTF-8; invalid bytes were replaced by \N{REPLACEMENT CHARACTER}",
)


@dataclass(slots=True)
class Rows:
    """Consecutive rows, column by column, and the faults of some by index. The first fault of a row stands."""

    id: Column
    question: Column
    context: Column
    passthrough: Column | None
    lines: Sequence[int] | NDArray[np.int64] | None
    faults: dict[int, Fault] = field(default_factory=dict)

    def reject(self, indices: Iterable[int], fault: Fault) -> None:
        """Give rows a fault, unless they have one."""
        for index in indices:
            self.faults.setdefault(int(index), fault)


def strings(values: Sequence[str | None], faults: dict[int, Fault]) -> Column:
    """A string column. In values that are not UTF-8 bad bytes are replaced, and their rows are rejected."""
    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError:
        return pa.array([_repaired(value, i, faults) for i, value in enumerate(values)], pa.string())


def _repaired(value: str | None, index: int, faults: dict[int, Fault]) -> str | None:
    if value is None:
        return None
    try:
        value.encode()
    except UnicodeEncodeError:
        faults.setdefault(index, _BAD_ENCODING)
        # The bytes of the file, or those of a lone surrogate that JSON spelled out.
        raw = b"".join(_bytes(c) for c in value)
        return raw.decode("utf-8", "replace")
    return value


def _bytes(character: str) -> bytes:
    return character.encode("utf-8", "surrogateescape" if "\udc80" <= character <= "\udcff" else "surrogatepass")


def reject_encoding(rows: Iterable[int], faults: dict[int, Fault]) -> None:
    """Give rows the fault of bytes that are not UTF-8, unless they have another."""
    for index in rows:
        faults.setdefault(index, _BAD_ENCODING)


def where(mask: Column) -> Iterable[int]:
    """The indices at which a boolean column is true."""
    indices: Iterable[int] = np.flatnonzero(pc.fill_null(mask, False).to_numpy(zero_copy_only=False))  # noqa: FBT003
    return indices


class Ids:
    """Which row has which id, for a file of any size: a temporary database, on disk once it outgrows its cache."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "locking_mode=EXCLUSIVE", "cache_size=-32768"):
            self._db.execute(f"PRAGMA {pragma}")
        self._db.execute("CREATE TABLE ids (id TEXT PRIMARY KEY, row INTEGER) WITHOUT ROWID")
        self._db.execute("BEGIN")

    def close(self) -> None:
        """Drop the database."""
        self._db.close()

    def repeated(self, ids: Sequence[str], rows: Sequence[int]) -> dict[int, int]:
        """Add ids with their row numbers. Returns the rows whose id an earlier row has, with that earlier row."""
        try:
            added = self._db.executemany("INSERT OR IGNORE INTO ids VALUES (?, ?)", zip(ids, rows, strict=True))
            if added.rowcount == len(rows):
                return {}
            owners = {row: self._owner(id_) for row, id_ in zip(rows, ids, strict=True)}
        except sqlite3.Error as error:
            raise BulkqaError(
                f"the ids of the input cannot be written to a temporary file: {error}",
                Remedy(
                    "Make room for temporary files, set TMPDIR to a folder with room, or go without ids: ", Set(id="")
                ),
            ) from error
        return {row: owner for row, owner in owners.items() if owner != row}

    def _owner(self, id_: str) -> int:
        return int(self._db.execute("SELECT row FROM ids WHERE id = ?", (id_,)).fetchone()[0])


class Checker:
    """Makes tables in the schema of a job's chunks, numbers the rows and rejects those that cannot be scored."""

    def __init__(self, schema: pa.Schema, question: str, context: str, *, with_ids: bool) -> None:
        self.rows = 0
        self.schema = schema
        self.file = ""  #: the file of the rows to come, if there are several: messages name it
        self.encoding_hint = ""  #: for the messages of its rows that are not UTF-8
        self._names = {"question": question, "context": context}
        self._ids = Ids() if with_ids else None

    def close(self) -> None:
        """Drop the ids."""
        if self._ids:
            self._ids.close()

    def table(self, rows: Rows) -> pa.Table:
        """The rows as a table in the schema of a chunk, numbered on from those before. Rejected rows have a code and a
        message."""
        for name, column in (("question", rows.question), ("context", rows.context)):
            self._check_text(rows, name, column)
        self._reject_repeated_header(rows)
        count = len(rows.question)
        rows.id = pc.if_else(pc.or_(pc.equal(rows.id, ""), pc.utf8_is_space(rows.id)), None, rows.id)
        if self._ids:
            self._check_ids(self._ids, rows)
        columns = [
            pa.array(np.arange(self.rows, self.rows + count)),
            pa.nulls(count, pa.int64()) if rows.lines is None else pa.array(rows.lines, pa.int64()),
            rows.id,
            rows.question,
            rows.context,
            *_fault_columns(self._worded(rows.faults), count),
        ]
        if rows.passthrough is not None:
            columns.append(rows.passthrough)
        self.rows += count
        return pa.table(columns, schema=self.schema)

    def _check_text(self, rows: Rows, name: str, column: Column) -> None:
        column_name = self._names[name]
        if column.null_count:
            fault = Fault("missing_field", f"no value for the {name} (column {column_name!r})")
            rows.reject(where(column.is_null()), fault)
        blank = pc.or_(pc.equal(pc.binary_length(column), 0), pc.utf8_is_space(column))
        if pc.any(blank).as_py():
            rows.reject(where(blank), Fault(f"empty_{name}", f"the {name} (column {column_name!r}) is empty"))

    def _reject_repeated_header(self, rows: Rows) -> None:
        """Reject a header that comes again, as in files that were joined, and the ruler of a table."""
        mask = pc.or_(pc.equal(rows.question, self._names["question"]), pc.match_substring_regex(rows.question, _RULER))
        if not pc.any(mask).as_py():
            return
        for index in where(mask):
            question, context = rows.question[index].as_py(), rows.context[index].as_py() or ""
            if question == self._names["question"] and context.strip() == self._names["context"]:
                rows.reject([index], Fault("not_a_row", "the header again, as where files were joined"))
            elif context and not context.strip(" \t:=-"):
                rows.reject([index], Fault("not_a_row", "the ruler of a table"))

    def _worded(self, faults: dict[int, Fault]) -> dict[int, Fault]:
        """The faults with what is known of the file."""
        if not faults or not (self.file or self.encoding_hint):
            return faults
        before = f"{self.file}: " if self.file else ""
        hint = {_BAD_ENCODING.message: self.encoding_hint}
        return {
            row: fault._replace(message=before + fault.message + hint.get(fault.message, ""))
            for row, fault in faults.items()
        }

    def _check_ids(self, ids: Ids, rows: Rows) -> None:
        """Rejected rows do not count: their ids may be garbage, and a fixed row below them should be accepted."""
        values = rows.id.to_pylist()
        numbers: Sequence[int] = range(self.rows, self.rows + len(values))
        if rows.faults or rows.id.null_count:
            numbers = [
                n for n, value in zip(numbers, values, strict=True) if value and n - self.rows not in rows.faults
            ]
            values = [values[number - self.rows] for number in numbers]
        for row, owner in ids.repeated(values, numbers).items():
            index = row - self.rows
            fault = Fault("duplicate_id", f"row {owner} has the id {_short(rows.id[index].as_py())} already")
            rows.faults[index] = fault


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:80] + "...")


def _fault_columns(faults: dict[int, Fault], count: int) -> list[Column]:
    """The columns code, message and raw."""
    if not faults:
        return [pa.nulls(count, pa.string())] * 3
    none = (None, None, None)
    by_row: Any = zip(*(faults.get(i, none) for i in range(count)), strict=True)
    return [pa.array(column, pa.string()) for column in by_row]


def sizes(table: pa.Table) -> np.ndarray[Any, Any]:
    """The bytes of each row in memory."""
    total = np.full(table.num_rows, ROW_OVERHEAD, np.int64)
    for column in table.combine_chunks().columns:
        for chunk in column.chunks:
            total += weights(chunk)
    return total


def weights(column: Column) -> Any:
    """The bytes of each value of an array of any type, as if no two values shared memory."""
    kind, types = column.type, pa.types
    if isinstance(column, pa.ExtensionArray):
        return weights(column.storage)
    if types.is_dictionary(kind):
        entries = np.append(weights(column.dictionary), 0)
        return entries[pc.fill_null(column.indices, len(entries) - 1).to_numpy(zero_copy_only=False)]
    if types.is_struct(kind):
        return sum((weights(child) for child in column.flatten()), np.zeros(len(column), np.int64))
    if types.is_map(kind):
        pairs = pa.StructArray.from_arrays([column.keys, column.items], names=["key", "value"])
        within = np.append(0, np.cumsum(weights(pairs)))  # of all pairs; a slice has its own offsets into them
        return np.diff(within[column.offsets.to_numpy()]) + 4
    if types.is_nested(kind):
        ends = np.cumsum(pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False))
        within = np.append(0, np.cumsum(weights(column.flatten())))
        return np.diff(within[ends], prepend=0) + 4
    if types.is_fixed_size_binary(kind) or types.is_decimal(kind):
        return np.full(len(column), kind.byte_width)
    if types.is_null(kind) or types.is_primitive(kind):
        return np.full(len(column), 0 if types.is_null(kind) else 8)
    if types.is_string_view(kind) or types.is_binary_view(kind):
        column = column.cast(pa.large_binary())
    return pc.fill_null(pc.binary_length(column), 0).to_numpy(zero_copy_only=False).astype(np.int64) + 4


def bounded(tables: Iterable[pa.Table], max_rows: Callable[[int], int], max_bytes: int) -> Iterator[pa.Table]:
    """The same rows cut into tables of at most `max_rows` of their number and `max_bytes`, each as full as it can be.

    A row of more than `max_bytes` is a table of its own. The cuts do not depend on how the rows came.
    """
    held: list[pa.Table] = []
    number = rows = size = 0
    for table in tables:
        ends = np.cumsum(sizes(table))
        start = 0
        while start < table.num_rows:
            before = int(ends[start - 1]) if start else 0
            fit = int(np.searchsorted(ends, before + max_bytes - size, side="right")) - start
            take = min(max(fit, 0 if held else 1), max_rows(number) - rows, table.num_rows - start)
            if take:
                held.append(table.slice(start, take))
                rows += take
                start += take
                size += int(ends[start - 1]) - before
            if start < table.num_rows or rows == max_rows(number):
                yield _joined(held)
                held, number, rows, size = [], number + 1, 0, 0
    if held:
        yield _joined(held)


def _joined(held: list[pa.Table]) -> pa.Table:
    """One piece of memory a column: the same bytes in a chunk file however the rows came."""
    return pa.concat_tables(held).combine_chunks()
