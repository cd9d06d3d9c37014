"""Batches of Parquet into rows, cut to a bounded size."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from contract.format import chunk
from producer.input.columns import ColumnNames
from producer.input.formats.parquet.convert import converted, is_list_of_texts, json_type, lists_of
from producer.input.rows import ROW_OVERHEAD, Column, Fault, Rows, pc, sizes, weights, where

_BATCH_BYTES = 4 << 20
#: A longer id is what makes its row too large.
_ID_BYTES = 1000


class RowCutter:
    """Makes rows of at most `limit` bytes of batches of the columns of a file."""

    def __init__(self, columns: ColumnNames, types: pa.Schema, limit: int) -> None:
        self._question = columns.question
        self._context = columns.context
        self._id = columns.id
        self._group = columns.group
        self._limit = limit
        self._passthrough = [(name, json_type(types.field(name).type)) for name in columns.others]
        self._fields = [pa.field(*item) for item in self._passthrough]
        self.has_lists = is_list_of_texts(types.field(columns.context).type)
        names = (columns.id, columns.question, columns.context, *columns.others)
        self._names = [name for name in dict.fromkeys(names) if name is not None]
        self.schema = chunk.schema(self._fields)
        self.size = 0  #: of the rows so far, in memory

    def rows(self, batch: pa.RecordBatch) -> Iterator[Rows]:
        """The rows of a batch, a few MiB at a time: once decoded, a text that was held once may be many. What is too
        large is not converted."""
        size = ROW_OVERHEAD + sum(weights(batch.column(name)) for name in self._names)
        self.size += int(size.sum())
        large = size > self._limit
        ends = np.cumsum(size)
        start = 0
        while start < batch.num_rows:
            if large[start]:
                yield self._too_large(batch.slice(start, 1), int(size[start]))
                start += 1
                continue
            before = int(ends[start - 1]) if start else 0
            stop = max(start + 1, int(np.searchsorted(ends, before + _BATCH_BYTES, side="right")))
            if large[start:stop].any():
                stop = start + int(large[start:stop].argmax())
            yield self._rows(batch.slice(start, stop - start))
            start = stop

    def _too_large(self, row: pa.RecordBatch, size: int) -> Rows:
        """A row over the limit keeps its id and group, unless that is what is large."""
        text = pa.string()

        def column(name: str | None) -> Column:
            is_small = name is not None and weights(row.column(name))[0] <= _ID_BYTES
            return converted(row.column(name), text, {}) if is_small else pa.nulls(1, text)

        return Rows(
            id=column(self._id),
            question=pa.nulls(1, text),
            context=pa.nulls(1, text),
            passthrough=pa.nulls(1, pa.struct(self._fields)) if self._fields else None,
            lines=None,
            faults={0: _over(size, self._limit)},
            group=column(self._group) if self._group is not None else None,
        )

    def _rows(self, batch: pa.RecordBatch) -> Rows:
        faults: dict[int, Fault] = {}
        count = batch.num_rows
        text = pa.string()

        def texts(name: str | None) -> Column:
            return pa.nulls(count, text) if name is None else converted(batch.column(name), text, faults)

        passthrough = [converted(batch.column(name), kind, faults) for name, kind in self._passthrough]
        rows = Rows(
            id=texts(self._id),
            question=texts(self._question),
            context=texts(None if self.has_lists else self._context),
            passthrough=pa.StructArray.from_arrays(passthrough, fields=self._fields) if self._fields else None,
            lines=None,
            faults=faults,
            group=None if self._group is None else texts(self._group),
            lists=lists_of(batch.column(self._context)) if self.has_lists else None,
        )
        return _without_large(rows, self._limit)


def _over(size: int, limit: int) -> Fault:
    return Fault("row_too_large", f"the row has {size:,} bytes, more than {limit:,}")


def _without_large(rows: Rows, limit: int) -> Rows:
    """Rows that are over the limit only once they are text, such as base64, keep their id and group alone."""
    columns = {"id": rows.id, "question": rows.question, "context": rows.context}
    if rows.passthrough is not None:
        columns["passthrough"] = rows.passthrough
    size = sizes(pa.table(columns)) + (0 if rows.lists is None else rows.lists.sizes())
    large = size > limit
    if not large.any():
        return rows
    for index in where(pa.array(large)):
        rows.faults[int(index)] = _over(int(size[index]), limit)
    mask = pa.array(large)
    rows.question, rows.context = (pc.if_else(mask, None, column) for column in (rows.question, rows.context))
    rows.id = _without_long(rows.id, mask)
    rows.group = None if rows.group is None else _without_long(rows.group, mask)
    if rows.passthrough is not None:
        rows.passthrough = pc.if_else(mask, None, rows.passthrough)
    if rows.lists is not None:
        rows.lists.drop(large)
    return rows


def _without_long(column: Column, mask: Column) -> Column:
    return pc.if_else(pc.and_(mask, pc.greater(pc.binary_length(column), _ID_BYTES)), None, column)
