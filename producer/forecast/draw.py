"""A sample of an input in place of all of it: some rows, the same ones each time, and what the rest will take."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import blake2b
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as _pc
from numpy.typing import NDArray

from contract.errors import UsageError
from contract.forecast.work import Sample
from contract.format import chunk
from contract.format.job import Options
from contract.remedy import Remedy, Set
from contract.settings import Settings
from producer.forecast.outlook import Outlook
from producer.forecast.survey import Surveyed
from producer.input.open import Input, grown
from producer.input.rows import bounded
from producer.shuffle import STEP, mixed

pc: Any = _pc

#: Of every sample: the same rows are drawn again.
_SEED = 1


class Draw:
    """The rows of an input that make a job: a sample if a number of rows is asked for, else all of them.

    Raises UsageError for an input that a sample cannot be drawn from.
    """

    def __init__(self, source: Input, count: int | None, options: Options, outlook: Outlook) -> None:
        if count is not None:
            _check(source)
        self._source, self._count, self._outlook = source, count, outlook
        self._whole = outlook.survey(options)
        self._rows = 0  # of the whole input
        self._groups: int | None = None  # in the sample
        #: The numbers of the drawn rows in the input; None: all.
        self.drawn: NDArray[Any] | None = None

    def tables(self, settings: Settings, progress: Callable[[Input], None] | None) -> Iterator[pa.Table]:
        """The rows as chunks, numbered on from 0."""
        tables = self._source.tables(settings.chunk_rows, settings.chunk_bytes)
        if self._count is not None:
            sample = self._sample(tables, self._count, progress)
            tables = bounded([sample], lambda number: settings.chunk_rows or grown(number), settings.chunk_bytes)
        for table in tables:
            yield table
            if progress:
                progress(self._source)

    def fields(self, surveyed: Surveyed) -> dict[str, Any]:
        """What the manifest of a sample has besides. `surveyed`: the work of its rows."""
        if self._count is None:
            return {}
        whole, groups = self._whole.finish(), self._source.groups
        share = surveyed.rows / max(1, whole.rows)
        rest = self._outlook.forecast(whole.without([share] * len(whole.chunks)))
        return {
            "sample": Sample(self._count, self._rows, rest),
            "groups": groups and replace(groups, count=self._groups or 0),
        }

    def _sample(self, tables: Iterator[pa.Table], count: int, progress: Callable[[Input], None] | None) -> pa.Table:
        """The rows of the lowest keys, those of a group together."""
        held, keys = self._source.schema.empty_table(), np.zeros(0, np.uint64)
        for table in tables:
            self._whole.add(table)
            self._rows += table.num_rows
            held, keys = _lowest(pa.concat_tables([held, table]), np.append(keys, _keys(table)), count)
            if progress:
                progress(self._source)
        self.drawn = held["row"].to_numpy()
        if self._source.groups is not None:
            self._groups = pc.count_distinct(held["group"]).as_py()
        place = held.schema.get_field_index("row")
        return held.set_column(place, held.schema.field(place), pa.array(np.arange(held.num_rows)))


def _check(source: Input) -> None:
    if source.documents is not None:
        raise UsageError("a sample is drawn from the rows of a file, not from documents", "Name fewer documents.")
    if chunk.PASSAGE.name in source.schema.names:
        remedy = Remedy("Leave out ", Set("sample"), ".")
        raise UsageError("no sample is drawn from a file whose contexts are lists of texts", remedy)


def _lowest(table: pa.Table, keys: NDArray[Any], count: int) -> tuple[pa.Table, NDArray[Any]]:
    """The rows of the `count` lowest keys, in their order; more if the last key has several rows."""
    if len(keys) <= count:
        return table, keys
    mask = keys <= np.partition(keys, count - 1)[count - 1]
    return table.filter(pa.array(mask)), keys[mask]


def _keys(table: pa.Table) -> NDArray[Any]:
    """A number for each row that its place in the input decides, or its group if it has one."""
    numbers = table["row"].to_numpy().astype(np.uint64)
    if chunk.GROUP.name in table.column_names:
        groups = table["group"].combine_chunks().dictionary_encode()
        hashes = [_hash(group) for group in groups.dictionary.to_pylist()]
        has_group = groups.is_valid().to_numpy(zero_copy_only=False)
        places = pc.fill_null(groups.indices, 0).to_numpy(zero_copy_only=False)
        numbers[has_group] = np.array(hashes, np.uint64)[places[has_group]]
    return mixed(numbers + np.uint64(_SEED * STEP))


def _hash(group: str) -> int:
    return int.from_bytes(blake2b(group.encode("utf-8", "surrogatepass"), digest_size=8).digest())
