"""INT96, the timestamps of Impala, Hive and older Spark: nanoseconds in any year, which no unit of Arrow holds.

They are read as microseconds, which Spark writes, or as nanoseconds if a value has some and no year is too far.
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

_ROWS = 1 << 14
#: Rows to look at. A file of more that has no other column of size is refused later.
_MOST_ROWS = 1 << 26
#: Microseconds from 1970 that nanoseconds reach.
_REACH = ((1 << 63) - 1) // 1000


def open_exact(open_as: Callable[[str], pq.ParquetFile], bound: AbstractContextManager[Any]) -> pq.ParquetFile:
    """A file with the best unit for its INT96. `open_as` opens it with a unit."""
    micros = open_as("us")
    columns = [micros.schema.column(number) for number in range(len(micros.schema))]
    paths = [column.path for column in columns if column.physical_type == "INT96"]
    if not paths:
        return micros
    nanos = open_as("ns")
    return nanos if _fits_better(nanos, micros, paths, bound) else micros


def _fits_better(
    nanos: pq.ParquetFile, micros: pq.ParquetFile, paths: list[str], bound: AbstractContextManager[Any]
) -> bool:
    """Whether all values can be nanoseconds, and one has to."""
    seen, needed = 0, False
    batches = [file.iter_batches(_ROWS, columns=paths, use_threads=False) for file in (micros, nanos)]
    while seen < _MOST_ROWS:
        with bound:
            batch, precise = (next(each, None) for each in batches)
        if batch is None or precise is None:
            return needed
        seen += batch.num_rows
        for us, ns in zip(_ticks(batch), _ticks(precise), strict=True):
            if (np.abs(us) >= _REACH).any():
                return False
            needed = needed or bool((us * 1000 != ns).any())
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
