"""What rows of a new job carry over: its keys against those of older jobs, then outcomes beside the chunks.

The new keys are sorted in memory, a million at a time. The old ones stream by, chunk by chunk, and a part is read if it
has an outcome that is still missing. So memory is bounded; the disk holds 16 bytes a new row, and the outcomes of a
million.
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
import pyarrow as pa
from numpy.typing import NDArray

from contract.format.part import Footer
from contract.ledger.stored import Part
from contract.reuse import keys
from contract.reuse.carried import Way, encode, outcome_of
from contract.storage import Storage
from contract.storage.digest import Digest
from contract.storage.protocol import BLOCK
from producer.reuse.sources import Keys, Source, halves

#: Rows of the new job whose keys are in memory at once.
_AT_ONCE = 1 << 20
#: Bytes of keys that are in memory before they go to a file.
_SPOOLED = 1 << 20


class RowKeys:
    """The keys of a job's rows while it is submitted."""

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(_SPOOLED)  # noqa: SIM115 - closed by `close`

    def add(self, table: pa.Table) -> bytes:
        """The keys of the next chunk."""
        own = keys.of_table(table)
        self._file.write(own)
        return own

    def store(self, storage: Storage, key: str) -> str:
        """Write them as an object. Returns its digest."""
        self._file.seek(0)
        digest = Digest()
        storage.create(key, digest.over(iter(lambda: self._file.read(BLOCK), b"")), durable=False)
        return digest.sha256

    def of(self, first: int, rows: int) -> Keys:
        """Those of some rows."""
        self._file.seek(first * keys.SIZE)
        return halves(self._file.read(rows * keys.SIZE))

    def close(self) -> None:
        """Drop them."""
        self._file.close()


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
    sources: Sequence[Source],
    row_keys: RowKeys,
    rows: Sequence[int],
    create: Callable[[int, bytes], None],
    *,
    whole: bool = False,
) -> Carry:
    """Give the rows of a new job the outcomes that `sources` have for them: `create` writes the file beside a chunk.

    `rows`: of each new chunk. `whole`: also outcomes that were computed in batches, or by versions that do not say how.
    """
    digests: list[str] = []
    counts: list[int] = []
    first = 0
    for chunks in _portions(rows):
        with _Wanted(row_keys.of(first, sum(chunks))) as wanted:
            for source in sources:
                with suppress(FileNotFoundError):  # it is being removed
                    _search(source, wanted, whole=whole)
            begin = 0
            for count in chunks:
                data = encode(wanted.outcomes(begin, count, first + begin))
                outcomes = data.count(b"\n") - 1
                if outcomes:
                    create(len(digests), data)
                digests.append(sha256(data).hexdigest() if outcomes else "")
                counts.append(outcomes)
                begin += count
        first += sum(chunks)
    return Carry(tuple(digests) if any(counts) else (), tuple(counts))


def _portions(rows: Sequence[int]) -> Iterator[list[int]]:
    """The rows of consecutive chunks, as many as are in memory at once, at least one."""
    portion: list[int] = []
    for count in rows:
        if portion and sum(portion) + count > _AT_ONCE:
            yield portion
            portion = []
        portion.append(count)
    if portion:
        yield portion


def _search(source: Source, wanted: _Wanted, *, whole: bool) -> None:
    """Take over what a job has of the outcomes that are wanted."""
    for number, old in source.chunk_keys():
        hits = wanted.missing(old)
        if not hits:
            continue
        part = source.stored.part(number)
        if not isinstance(part, Part) or not (way := way_of(part.footer, source.model.digest, whole=whole)):
            continue
        lines, how = part.lines.splitlines(), wanted.number_of(way)
        for place, each in hits:
            if outcome := outcome_of(loads(lines[place].decode())):
                wanted.settle(each, how, outcome)


def way_of(footer: Footer, digest: str, *, whole: bool) -> Way | None:
    """How the outcomes of a part were computed; None if they are not to be reused."""
    if footer.model != digest or not (whole or (footer.batch_invariant and footer.numerics)):
        return None
    computed = footer.scored + footer.repeated + footer.reused
    seconds = round((footer.cpu_seconds + footer.saved_seconds) / computed, 4) if computed else 0.0
    return Way(footer.rule, footer.numerics, footer.batch_invariant, seconds)


class _Wanted:
    """The keys of some new rows, and the outcomes that were found for them, in a file."""

    def __init__(self, own: Keys) -> None:
        order = np.argsort(own[:, 0], kind="stable")
        ordered = own[order]
        new = np.ones(len(own), np.bool_)
        new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
        self._keys = ordered[new]  # distinct; two with an equal first half stay neighbours, and the second is not found
        self._of_row: NDArray[np.int32] = np.empty(len(own), np.int32)
        self._of_row[order] = np.cumsum(new, dtype=np.int32) - 1
        self._ways: dict[Way, int] = {}
        # Where the outcome of each key is in the file, its size, and its way. Arrays of Python's own: numpy's take ten
        # times as long to set one value.
        self._begins, self._sizes, self._how = array("q"), array("i"), array("i")
        for values in (self._begins, self._sizes, self._how):
            values.frombytes(bytes(values.itemsize * len(self._keys)))
        self._end = 0
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed on exit

    def __enter__(self) -> _Wanted:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def missing(self, old: Keys) -> list[tuple[int, int]]:
        """(place among the old keys, number of the wanted key) of those that are wanted and not found yet."""
        if not len(self._keys):
            return []
        near = np.minimum(np.searchsorted(self._keys[:, 0], old[:, 0]), len(self._keys) - 1)
        missing = np.frombuffer(self._sizes, np.int32)[near] == 0
        hits = np.flatnonzero((self._keys[near] == old).all(axis=1) & old.any(axis=1) & missing)
        return list(zip(hits.tolist(), near[hits].tolist(), strict=True))

    def number_of(self, way: Way) -> int:
        """The number of a way, for `settle`."""
        return self._ways.setdefault(way, len(self._ways))

    def settle(self, number: int, how: int, outcome: bytes) -> None:
        """The outcome of a key was found."""
        if not self._sizes[number]:  # an old chunk may have a row twice
            self._begins[number], self._sizes[number], self._how[number] = self._end, len(outcome), how
            self._file.write(outcome)
            self._end += len(outcome)

    def outcomes(self, begin: int, count: int, first: int) -> Iterator[tuple[int, Way, bytes]]:
        """The outcomes of some rows: `first` is the number of the first, `begin` its place among all here."""
        self._file.flush()
        ways, file = list(self._ways), self._file.fileno()
        for row, number in enumerate(self._of_row[begin : begin + count].tolist(), first):
            if size := self._sizes[number]:
                yield row, ways[self._how[number]], os.pread(file, size, self._begins[number])
