"""How many rows of an input would reuse an earlier outcome, before a job is made of it: by their keys and the footers
of older parts. A part is read only if some of its rows have a processing error."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from json import loads
from typing import Any

import numpy as np
import pyarrow as pa

from contract.format.part import Footer
from contract.ledger.stored import Part, read_footer
from contract.reuse.carried import LASTING, outcome_of
from producer.reuse.carry import way_of
from producer.reuse.sources import Source
from producer.reuse.wanted import Numbers, RowKeys, Wanted


class Reusable:
    """Sees every chunk of an input, in order. Without sources it counts none."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources, self._keys = sources, RowKeys()
        self._rows: list[int] = []

    def add(self, table: pa.Table) -> bytes:
        """The keys of the next chunk."""
        self._rows.append(table.num_rows)
        return self._keys.add(table)

    def finish(self) -> tuple[int, list[float]]:
        """How many rows would reuse an earlier outcome, and which share of each chunk they are. Once."""
        if not self._sources:
            return 0, [0.0] * len(self._rows)
        counts = []
        for wanted, chunks in self._keys.portions(self._rows):
            settled = np.zeros(len(wanted), np.bool_)
            for source in self._sources:
                with suppress(FileNotFoundError):  # it is being removed
                    _settle(source, wanted, settled)
            ends = np.cumsum(chunks)[:-1]
            counts += [int(chunk.sum()) for chunk in np.split(settled[wanted.of_row], ends)]
        return sum(counts), [count / max(1, rows) for count, rows in zip(counts, self._rows, strict=True)]

    def close(self) -> None:
        """Drop the keys."""
        self._keys.close()


def _settle(source: Source, wanted: Wanted, settled: Any) -> None:
    """Mark the wanted keys of which a job has an outcome."""
    for number, old in source.chunk_keys():
        places, numbers = wanted.hits(old)
        missing = ~settled[numbers]
        if missing.any():
            places, numbers = places[missing], numbers[missing]
            settled[numbers[_lasting(source, number, places)]] = True


def _lasting(source: Source, number: int, places: Numbers) -> Any:
    """Which rows of an older chunk, given by their places, have an outcome that may be reused."""
    footer = read_footer(source.stored.storage, source.stored.id, number)
    none = np.zeros(len(places), np.bool_)
    if not isinstance(footer, Footer) or way_of(footer, source.model.digest) is None:
        return none
    if footer.codes.keys() <= set(LASTING):
        return ~none
    part = source.stored.part(number)
    if not isinstance(part, Part):
        return none
    lines = part.lines.splitlines()
    return np.array([outcome_of(loads(lines[place])) is not None for place in places])
