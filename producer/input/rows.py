"""Rows as every format gives them, and tables of a bounded size.

Faults are held by row index: a batch without faults costs no Python per row. Covers no file format (`formats`) and no
checks (`checks`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import compute

# The types that pyarrow declares differ from version to version, and some are missing.
pc: Any = compute
#: An Arrow array.
Column = Any

#: What a row takes besides its text: numbers, offsets, validity.
ROW_OVERHEAD = 64


class Fault(NamedTuple):
    """Why a row is rejected."""

    code: str
    message: str
    raw: str | None = None


BAD_ENCODING = Fault(
    "bad_encoding",
    "the row is not valid UTF-8; invalid bytes were replaced by \N{REPLACEMENT CHARACTER}",
)


@dataclass(slots=True)
class Lists:
    """Contexts that are lists of texts: all texts one after another, and the faults of some by index."""

    lengths: NDArray[np.int64]  #: texts of each row; -1 if its context is no list
    texts: Column
    faults: dict[int, Fault] = field(default_factory=dict)
    starts: NDArray[np.int64] = field(init=False)  #: of each row among the texts

    def __post_init__(self) -> None:
        ends = np.cumsum(np.maximum(self.lengths, 0))
        self.starts = ends - np.maximum(self.lengths, 0)

    def sizes(self) -> NDArray[np.int64]:
        """The bytes of each row's list in memory."""
        before: NDArray[np.int64] = np.append(0, np.cumsum(weights(self.texts)))
        return before[self.starts + np.maximum(self.lengths, 0)] - before[self.starts]

    def drop(self, rows: NDArray[np.bool_]) -> None:
        """Take the lists away from rows."""
        self.lengths = np.where(rows, -1, self.lengths)


@dataclass(slots=True)
class Rows:
    """Consecutive rows, column by column, and the faults of some by index. The first fault of a row stands."""

    id: Column
    question: Column
    context: Column
    passthrough: Column | None
    lines: Sequence[int] | NDArray[np.int64] | None
    faults: dict[int, Fault] = field(default_factory=dict)
    group: Column | None = None  #: None if there is no column of groups
    lists: Lists | None = None  #: contexts that are lists, instead of those above
    passage: Column | None = None  #: once each text of a list is a row: its place in there
    document: Column | None = None  #: names, where contexts are texts of documents

    def reject(self, indices: Iterable[int], fault: Fault) -> None:
        """Give rows a fault, unless they have one."""
        for index in indices:
            self.faults.setdefault(int(index), fault)


def short(text: str) -> str:
    """A text for a message."""
    return repr(text if len(text) <= 80 else text[:80] + "...")


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
        faults.setdefault(index, BAD_ENCODING)
        # The bytes of the file, or those of a lone surrogate that JSON spelled out.
        raw = b"".join(_bytes(c) for c in value)
        return raw.decode("utf-8", "replace")
    return value


def _bytes(character: str) -> bytes:
    return character.encode("utf-8", "surrogateescape" if "\udc80" <= character <= "\udcff" else "surrogatepass")


def reject_encoding(rows: Iterable[int], faults: dict[int, Fault]) -> None:
    """Give rows the fault of bytes that are not UTF-8, unless they have another."""
    for index in rows:
        faults.setdefault(index, BAD_ENCODING)


def where(mask: Column) -> Iterable[int]:
    """The indices at which a boolean column is true."""
    indices: Iterable[int] = np.flatnonzero(pc.fill_null(mask, False).to_numpy(zero_copy_only=False))  # noqa: FBT003
    return indices


def sizes(table: pa.Table) -> np.ndarray[Any, Any]:
    """The bytes of each row in memory."""
    total = np.full(table.num_rows, ROW_OVERHEAD, np.int64)
    for column in table.combine_chunks().columns:
        for chunk in column.chunks:
            total += _once(chunk) if pa.types.is_dictionary(chunk.type) else weights(chunk)
    return total


def _once(column: Column) -> Any:
    """The bytes of each value of a dictionary, at the first row that has it."""
    indices, first = np.unique(pc.fill_null(column.indices, -1).to_numpy(zero_copy_only=False), return_index=True)
    total = np.full(len(column), 4, np.int64)
    entries = np.append(weights(column.dictionary), 0)  # -1, no value, is the last
    total[first] += entries[indices]
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
    A text in a dictionary counts once a table.

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
                if any(pa.types.is_dictionary(field.type) for field in table.schema):
                    table, start = table.slice(start), 0  # its texts count again
                    ends = np.cumsum(sizes(table))
    if held:
        yield _joined(held)


def _joined(held: list[pa.Table]) -> pa.Table:
    """One piece of memory a column: the same bytes in a chunk file however the rows came."""
    return pa.concat_tables(held).unify_dictionaries().combine_chunks()
