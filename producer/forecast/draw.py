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

from contract.forecast.work import Sample
from contract.format import chunk
from contract.format.job import Options
from contract.settings import Settings
from producer.forecast.outlook import Outlook
from producer.forecast.quote import CHUNK_ROWS
from producer.forecast.survey import Surveyed
from producer.input.open import Input, grown
from producer.input.rows import bounded
from producer.shuffle import Sampling

pc: Any = _pc


class Draw:
    """The rows of an input that make a job: a sample if one is asked for, else all of them. Of documents the input has
    only those that were drawn."""

    def __init__(self, source: Input, sampling: Sampling | None, options: Options, outlook: Outlook) -> None:
        self._source, self._sampling, self._outlook = source, sampling, outlook
        self._whole = outlook.survey(options)
        self._rows = self._origins = 0  # of the whole input; of lists of contexts each is an origin of rows
        self._groups: int | None = None  # in the sample
        #: The numbers of the drawn rows in the input, as `Input.origins` counts them; None: all.
        self.drawn: NDArray[Any] | None = None

    def tables(self, settings: Settings, progress: Callable[[Input], None] | None) -> Iterator[pa.Table]:
        """The rows as chunks, numbered on from 0."""
        tables = self._source.tables(settings.chunk_rows, settings.chunk_bytes)
        if self._sampling and self._source.documents is None:
            sample = self._sample(tables, self._sampling, progress)
            tables = bounded([sample], lambda number: settings.chunk_rows or grown(number), settings.chunk_bytes)
        for table in tables:
            yield table
            if progress:
                progress(self._source)

    def fields(self, surveyed: Surveyed) -> dict[str, Any]:
        """What the manifest of a sample has besides. `surveyed`: the work of its rows."""
        if self._sampling is None:
            return {}
        sampling, documents = self._sampling, self._source.documents
        if documents is not None:  # the others were not read: they are like these
            factor = documents.of / len(documents.index)
            rest = self._outlook.forecast(surveyed.grown(factor - 1.0, CHUNK_ROWS))
            of = documents.of * len(documents.questions.groups)
            return {"sample": Sample(sampling.rows, of, rest, sampling.seed)}
        whole, groups = self._whole.finish(), self._source.groups
        share = surveyed.rows / max(1, whole.rows)
        rest = self._outlook.forecast(whole.without([share] * len(whole.chunks)))
        return {
            "sample": Sample(sampling.rows, self._rows, rest, sampling.seed),
            "groups": groups and replace(groups, count=self._groups or 0),
        }

    def _sample(
        self, tables: Iterator[pa.Table], sampling: Sampling, progress: Callable[[Input], None] | None
    ) -> pa.Table:
        """The rows of the lowest keys, those of a group together."""
        held, keys, origins = self._source.schema.empty_table(), np.zeros(0, np.uint64), np.zeros(0, np.int64)
        for table in tables:
            self._whole.add(table)
            self._rows += table.num_rows
            held = pa.concat_tables([held, table])
            keys, origins = np.append(keys, _keys(table, sampling)), np.append(origins, self._numbered(table))
            mask = _lowest(keys, sampling.rows)
            held, keys, origins = held.filter(pa.array(mask)), keys[mask], origins[mask]
            if progress:
                progress(self._source)
        self.drawn = np.unique(origins)
        if self._source.groups is not None:
            self._groups = pc.count_distinct(held["group"]).as_py()
        place = held.schema.get_field_index("row")
        return held.set_column(place, held.schema.field(place), pa.array(np.arange(held.num_rows)))

    def _numbered(self, table: pa.Table) -> NDArray[Any]:
        """The number in the input of each row; those of a list have one."""
        begins = np.ones(table.num_rows, np.int64)
        if chunk.PASSAGE.name in table.column_names:
            begins = pc.fill_null(pc.equal(table["passage"], 0), True).to_numpy().astype(np.int64)  # noqa: FBT003
        numbers = self._origins - 1 + np.cumsum(begins)
        self._origins += int(begins.sum())
        return numbers


def _lowest(keys: NDArray[Any], count: int) -> NDArray[Any]:
    """Which rows have the `count` lowest keys; more if the last key has several rows."""
    if len(keys) <= count:
        return np.ones(len(keys), np.bool_)
    lowest: NDArray[Any] = keys <= np.partition(keys, count - 1)[count - 1]
    return lowest


def _keys(table: pa.Table, sampling: Sampling) -> NDArray[Any]:
    """A number for each row that its place in the input decides, or its group if it has one."""
    numbers = table["row"].to_numpy().astype(np.uint64)
    if chunk.GROUP.name in table.column_names:
        groups = table["group"].combine_chunks().dictionary_encode()
        hashes = [_hash(group) for group in groups.dictionary.to_pylist()]
        has_group = groups.is_valid().to_numpy(zero_copy_only=False)
        places = pc.fill_null(groups.indices, 0).to_numpy(zero_copy_only=False)
        numbers[has_group] = np.array(hashes, np.uint64)[places[has_group]]
    return sampling.keys(numbers)


def _hash(group: str) -> int:
    return int.from_bytes(blake2b(group.encode("utf-8", "surrogatepass"), digest_size=8).digest())
