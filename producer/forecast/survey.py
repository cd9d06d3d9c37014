"""The work of an input, added up while it is read: row by row from the bytes of its texts, corrected by a sample.

Memory does not grow with the input: three sums a chunk, and a sample of rows. Rows that were rejected cost nothing, nor
do those whose text came before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as _pc

from contract.forecast.work import Cost, Work
from contract.format.job import Options
from contract.reuse import keys
from producer.forecast.windows import Numbers, work_of

pc: Any = _pc

#: How many tokens each of some texts has.
Count = Callable[[list[str]], list[int]]

#: Rows whose texts are tokenized: tokens a byte are then known within one percent.
SAMPLE = 500
#: Of the first rows, those that say what a byte is worth until all were read.
_FIRST = 64
#: Texts that are remembered, to know those that come again.
_LOOKED_AT = 1 << 16
#: Characters of a text that are tokenized, at most.
_CHARACTERS = 4000


@dataclass(frozen=True, slots=True)
class Surveyed:
    """The work of an input, as a whole and by chunk."""

    total: Work
    chunks: tuple[Work, ...]
    rows: int  #: without those that were rejected

    def seconds(self, cost: Cost) -> tuple[float, ...]:
        """Seconds of one thread that each chunk takes."""
        return tuple(round(cost.seconds(chunk), 4) for chunk in self.chunks)

    def without(self, shares: Sequence[float]) -> Surveyed:
        """The same less that share of each chunk: of rows that need not be scored."""
        chunks = tuple(chunk.times(1.0 - share) for chunk, share in zip(self.chunks, shares, strict=True))
        return Surveyed(sum(chunks, Work()), chunks, self.rows)

    def grown(self, factor: float, chunk_rows: int) -> Surveyed:
        """`factor` times as much of the same, in chunks of this many rows."""
        total, rows = self.total.times(factor), round(self.rows * factor)
        count = max(1, math.ceil(rows / chunk_rows))
        return Surveyed(total, (total.times(1 / count),) * count, rows)


class Survey:
    """Sees every chunk of an input, in order."""

    def __init__(self, options: Options, cost: Cost, longest: int = 0, count: Count | None = None) -> None:
        """`count` counts tokens; without it, `cost` says how many bytes one has."""
        self._options, self._longest, self._count = options, longest, count
        self._per_byte = 1.0 / cost.bytes_per_token
        self._chunks: list[Numbers] = []
        self._rows = 0
        self._repeats = _Repeats()
        self._random = np.random.default_rng(0)
        self._keys = np.zeros(0)  # of the rows in the sample: those of the lowest keys
        self._lengths = np.zeros((0, 2))  # and their bytes
        self._texts: list[tuple[str, str]] = []

    def add(self, chunk: pa.Table, row_keys: bytes | None = None) -> None:
        """The next chunk, in the schema of chunks. `row_keys`: of its rows (`contract.reuse.keys`), if known."""
        rows = np.flatnonzero(pc.is_null(chunk["code"]).to_numpy())
        lengths = np.stack([_bytes(chunk[name])[rows] for name in ("question", "context")], axis=-1)
        if not self._rows and len(rows) and self._count:
            self._per_byte = _ratio(self._count, _texts(chunk, rows[:_FIRST]), lengths[:_FIRST]) or self._per_byte
        own = np.frombuffer(row_keys or keys.of_table(chunk), "<u8")[:: keys.SIZE // 8][rows]
        self._chunks.append(self._work(lengths * self._per_byte).sum(axis=0) * self._repeats.new(own))
        self._rows += len(rows)
        if self._count:
            self._draw(chunk, rows, lengths)

    def finish(self) -> Surveyed:
        """What all chunks take. Once, when the last was added."""
        factors = self._corrections()
        chunks = tuple(Work(*(chunk * factors).tolist()) for chunk in self._chunks)
        return Surveyed(sum(chunks, Work()), chunks, self._rows)

    def _work(self, tokens: Numbers) -> Numbers:
        return work_of(tokens[:, 0], tokens[:, 1], self._options, self._longest)

    def _draw(self, chunk: pa.Table, rows: Numbers, lengths: Numbers) -> None:
        """Have some of these rows in the sample, in which every row so far is as likely as any other."""
        keys = self._random.random(len(rows))
        most = np.sort(self._keys)[-1] if len(self._keys) == SAMPLE else 1.0
        new = np.flatnonzero(keys < most)
        new = new[np.argsort(keys[new])[:SAMPLE]]
        joined = np.append(self._keys, keys[new])
        best = np.argsort(joined)[:SAMPLE]
        texts = self._texts + _texts(chunk, rows[new])
        self._keys, self._texts = joined[best], [texts[place] for place in best]
        self._lengths = np.concatenate([self._lengths, lengths[new]])[best]

    def _corrections(self) -> Numbers:
        """What each of the three sums is to be multiplied by: what it is over the sample by tokens, over what it is by
        bytes."""
        if not (self._count and self._texts):
            return np.ones(3)
        by_bytes = self._work(self._lengths * self._per_byte).sum(axis=0)
        by_tokens = self._work(self._lengths * _per_byte(self._count, self._texts)).sum(axis=0)
        corrections: Numbers = np.where(by_bytes > 0, by_tokens / np.maximum(by_bytes, 1e-9), 1.0)
        return corrections


class _Repeats:
    """Which rows are the first of their text: the others are not scored. Of many it looks at a share, by their keys."""

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._mask = 0  # of the bits of a key that are 0 in those that are looked at

    def new(self, row_keys: Numbers) -> float:
        """The share of the next rows, given by their keys, that are the first of their text."""
        picked = row_keys[(row_keys & np.uint64(self._mask)) == 0].tolist()
        fresh = set(picked) - self._seen
        self._seen |= fresh
        while len(self._seen) > _LOOKED_AT:
            self._mask = 2 * self._mask + 1
            self._seen = {key for key in self._seen if not key & self._mask}
        return len(fresh) / len(picked) if picked else 1.0


def _ratio(count: Count, texts: list[tuple[str, str]], lengths: Numbers) -> float:
    """Tokens a byte of all of these texts together."""
    return float((lengths * _per_byte(count, texts)).sum() / max(1.0, lengths.sum()))


def _per_byte(count: Count, texts: list[tuple[str, str]]) -> Numbers:
    """Tokens a byte of each question and context, (n, 2), by the beginning of those that are long."""
    flat = [text[:_CHARACTERS] for pair in texts for text in pair]
    sizes = np.array([len(text.encode("utf-8", "replace")) for text in flat])
    ratios: Numbers = np.array(count(flat)) / np.maximum(1, sizes)
    return ratios.reshape(-1, 2)


def _texts(chunk: pa.Table, rows: Numbers) -> list[tuple[str, str]]:
    """Question and context of some rows."""
    picked = chunk.select(["question", "context"]).take(pa.array(rows, pa.int64()))
    questions, contexts = (picked[name].to_pylist() for name in ("question", "context"))
    return [
        (question or "", (context or "")[:_CHARACTERS]) for question, context in zip(questions, contexts, strict=True)
    ]


def _bytes(column: pa.ChunkedArray) -> Numbers:
    """The bytes of each text of a column, 0 for none."""
    if pa.types.is_dictionary(column.type):
        once = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
        entries = np.append(_bytes(pa.chunked_array([once.dictionary])), 0)
        lengths: Numbers = entries[pc.fill_null(once.indices, len(entries) - 1).to_numpy(zero_copy_only=False)]
    else:
        lengths = pc.fill_null(pc.binary_length(column), 0).to_numpy().astype(np.float64)
    return lengths
