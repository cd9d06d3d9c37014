"""INT96, the timestamps of Impala, Hive and older Spark: nanoseconds in any year, which no unit of Arrow holds.

They are read as nanoseconds, or as microseconds if a year is too far for these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from producer.input.rows import Column, pc

#: In the metadata of a field: the column was INT96 in its file, and its unit was chosen by the values.
INT96 = b"bulkqa.int96"
_ROWS = 1 << 14
#: Rows to look at. A file of more that has no other column of size is refused later.
_MOST_ROWS = 1 << 26
#: Microseconds from 1970 that nanoseconds reach.
_REACH = ((1 << 63) - 1) // 1000


def open_exact(
    open_as: Callable[[str], pq.ParquetFile], bound: AbstractContextManager[Any]
) -> tuple[pq.ParquetFile, pa.Schema]:
    """A file with the best unit for its INT96, and its columns. `open_as` opens it with a unit."""
    nanos = open_as("ns")
    columns = [nanos.schema.column(number) for number in range(len(nanos.schema))]
    paths = [column.path for column in columns if column.physical_type == "INT96"]
    if not paths:
        return nanos, nanos.schema_arrow
    micros = open_as("us")
    file = nanos if _fit(micros, paths, bound) else micros
    fields = [int96_field(field) if field.name in paths else field for field in file.schema_arrow]
    return file, pa.schema(fields, metadata=file.schema_arrow.metadata)


def int96_field(field: pa.Field[Any]) -> pa.Field[Any]:
    """The field with the mark."""
    return field.with_metadata({INT96: b"1"})


def _fit(micros: pq.ParquetFile, paths: list[str], bound: AbstractContextManager[Any]) -> bool:
    """Whether all values can be nanoseconds."""
    seen = 0
    batches = micros.iter_batches(_ROWS, columns=paths, use_threads=False)
    while seen < _MOST_ROWS:
        with bound:
            batch = next(batches, None)
        if batch is None:
            return True
        seen += batch.num_rows
        if any((np.abs(ticks) >= _REACH).any() for ticks in _ticks(batch)):
            return False
    return False


def _ticks(batch: pa.RecordBatch) -> Iterator[NDArray[np.int64]]:
    for column in batch.columns:
        yield from _leaves(column)


def _leaves(column: Column) -> Iterator[NDArray[np.int64]]:
    """The numbers in a column of timestamps, or of lists or structs of them."""
    if pa.types.is_timestamp(column.type):
        yield pc.fill_null(column.cast(pa.int64()), 0).to_numpy(zero_copy_only=False)
    elif pa.types.is_map(column.type):
        for half in (column.keys, column.items):
            yield from _leaves(half)
    elif pa.types.is_nested(column.type):
        flat = column.flatten()
        for each in flat if isinstance(flat, list) else [flat]:
            yield from _leaves(each)
