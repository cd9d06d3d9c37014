"""What rows of a new job carry over: its keys against those of older jobs, then outcomes beside the chunks.

The new keys are in memory a million at a time. The old ones stream by, chunk by chunk, and a part is read if it has an
outcome that is still missing. So memory is bounded; the disk holds 16 bytes a new row, and the outcomes of a million.
"""

from __future__ import annotations

import os
import tempfile
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from json import loads
from typing import IO

import numpy as np

from contract.format.part import Footer
from contract.ledger.stored import Part
from contract.reuse.carried import Way, encode, outcome_of
from producer.reuse.sources import Keys, Source
from producer.reuse.wanted import RowKeys, Wanted


@dataclass(frozen=True, slots=True)
class Carry:
    """The outcomes beside the chunks of a job."""

    digests: tuple[str, ...]  #: of the files, by chunk, empty where there is none; nothing if there is none at all
    counts: tuple[int, ...]  #: of the rows in each chunk that carry one

    @property
    def rows(self) -> int:
        """How many rows carry an outcome."""
        return sum(self.counts)

    def shares(self, rows: Sequence[int]) -> list[float]:
        """The share of each chunk's rows that carry one, given its rows."""
        return [carrying / count for carrying, count in zip(self.counts, rows, strict=True)]


def carry(
    sources: Sequence[Source], row_keys: RowKeys, rows: Sequence[int], create: Callable[[int, bytes], None]
) -> Carry:
    """Give the rows of a new job the outcomes that `sources` have for them: `create` writes the file beside a chunk.
    `rows`: of each new chunk."""
    digests: list[str] = []
    counts: list[int] = []
    first = 0
    for wanted, chunks in row_keys.portions(rows):
        with _Outcomes(wanted) as outcomes:
            for source in sources:
                with suppress(FileNotFoundError):  # it is being removed
                    _search(source, outcomes)
            begin = 0
            for count in chunks:
                data = encode(outcomes.of_rows(begin, count, first + begin))
                carrying = data.count(b"\n") - 1
                if carrying:
                    create(len(digests), data)
                digests.append(sha256(data).hexdigest() if carrying else "")
                counts.append(carrying)
                begin += count
        first += sum(chunks)
    return Carry(tuple(digests) if any(counts) else (), tuple(counts))


def _search(source: Source, outcomes: _Outcomes) -> None:
    """Take over what a job has of the outcomes that are wanted."""
    for number, old in source.chunk_keys():
        hits = outcomes.missing(old)
        if not hits:
            continue
        part = source.stored.part(number)
        if not isinstance(part, Part) or not (way := way_of(part.footer, source.model.digest)):
            continue
        lines, how = part.lines.splitlines(), outcomes.number_of(way)
        for place, each in hits:
            if outcome := outcome_of(loads(lines[place].decode())):
                outcomes.settle(each, how, outcome)


def way_of(footer: Footer, digest: str, *, whole: bool = False) -> Way | None:
    """How the outcomes of a part were computed; None if they are not to be reused. `whole`: also those that were
    computed in batches, or by versions that do not say how."""
    if footer.model != digest or not (whole or (footer.batch_invariant and footer.numerics)):
        return None
    computed = footer.scored + footer.repeated + footer.reused
    seconds = round((footer.cpu_seconds + footer.saved_seconds) / computed, 4) if computed else 0.0
    return Way(footer.rule, footer.numerics, footer.batch_invariant, seconds)


class _Outcomes:
    """The outcomes that were found for keys, in a file."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._ways: dict[Way, int] = {}
        # Where the outcome of each key is in the file, its size, and its way. Arrays of Python's own: numpy's take ten
        # times as long to set one value.
        self._begins, self._sizes, self._how = array("q"), array("i"), array("i")
        for values in (self._begins, self._sizes, self._how):
            values.frombytes(bytes(values.itemsize * len(wanted)))
        self._end = 0
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed on exit

    def __enter__(self) -> _Outcomes:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def missing(self, old: Keys) -> list[tuple[int, int]]:
        """(place among the old keys, number of the wanted key) of those that are wanted and not found yet."""
        places, numbers = self._wanted.hits(old)
        missing = np.frombuffer(self._sizes, np.int32)[numbers] == 0
        places, numbers = places[missing], numbers[missing]
        return list(zip(places.tolist(), numbers.tolist(), strict=True))

    def number_of(self, way: Way) -> int:
        """The number of a way, for `settle`."""
        return self._ways.setdefault(way, len(self._ways))

    def settle(self, number: int, how: int, outcome: bytes) -> None:
        """The outcome of a key was found."""
        if not self._sizes[number]:  # an old chunk may have a row twice
            self._begins[number], self._sizes[number], self._how[number] = self._end, len(outcome), how
            self._file.write(outcome)
            self._end += len(outcome)

    def of_rows(self, begin: int, count: int, first: int) -> Iterator[tuple[int, Way, bytes]]:
        """The outcomes of some rows: `first` is the number of the first, `begin` its place among all here."""
        self._file.flush()
        ways, file = list(self._ways), self._file.fileno()
        for row, number in enumerate(self._wanted.of_row[begin : begin + count].tolist(), first):
            if size := self._sizes[number]:
                yield row, ways[self._how[number]], os.pread(file, size, self._begins[number])
