"""What Parquet would take in memory, told before it is decoded: a few kilobytes can stand for terabytes.

The directory at the end of a file says how large its columns are, and may lie. The header before each page cannot: it
is what the decoder goes by. So the headers of a few row groups at a time are read here, and from them it follows how
many rows may be decoded at once, or that not even one may. What makes memory of little: pages that decompress a
thousandfold, one dictionary entry or prefix that a million rows refer to, and a row whose list has a billion entries.

Covers no decoding (`parquet`).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from producer.input.thrift import BINARY, I32, I64, LIST, STRUCT, Compact, DamagedError, Fields

#: So much is decoded at once, beside the pages it comes from.
BUDGET = 32 << 20
#: What pages, dictionaries and what is copied out of them take. Writers aim at one MiB a page, but look only every 1024
#: rows whether it is full.
PAGES_LIMIT = 192 << 20
#: What a row takes, for it to be an error of the row; with more, the file cannot be read.
ROW_LIMIT = 64 << 20
#: The directory of a file: that of ten thousand row groups of ten columns is as large.
DIRECTORY_LIMIT = 16 << 20
#: Rows decoded at once.
BATCH_ROWS = 4096

_HEADER, _HEADER_LIMIT = 1 << 12, 1 << 24  # the latter is the decoder's own
_SMALL = 1 << 22  # not worth a closer look
_DATA, _DICTIONARY, _DATA_V2 = 0, 2, 3
_RLE, _DELTA_BYTE_ARRAY = 3, 7
_CODECS = {0: "none", 1: "snappy", 2: "gzip", 4: "brotli", 6: "zstd", 7: "lz4_raw"}
_SCHEMA = 1 << 16  # columns
_SMALLER_PAGES = "Write it with smaller pages, such as write_batch_size=16 of pyarrow, or as CSV or JSON Lines."
_SMALLER_ROWS = "Shorten what is in {!r}, or leave that column out."
_LEVELS = 4  # bytes for where an entry of a list belongs
_LENGTH = struct.Struct("<I").unpack_from  # of a text, before it


class TooLargeError(ValueError):
    """What cannot be decoded in bounded memory. The text says why, the remedy what to do."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


class _Chunk(NamedTuple):
    """Where a column is in a row group."""

    at: int
    size: int
    values: int
    codec: str


class _Group(NamedTuple):
    rows: int
    chunks: list[_Chunk]


class EncryptedError(ValueError):
    pass


def directory(file: Any) -> list[_Group]:
    """The row groups of a file. Raises TooLargeError, DamagedError, EncryptedError.

    It is read here before the decoder reads it, which would take many times its size in memory, and which ends the
    process if one asks it where a column is that is encrypted or missing.
    """
    end = file.read_at(8, max(0, file.size() - 8))
    size = int.from_bytes(end[:4], "little")
    if end[4:] == b"PARE":
        raise EncryptedError
    if end[4:] != b"PAR1" or size > file.size() - 8:
        raise DamagedError("its end is not that of a Parquet file")
    if size > DIRECTORY_LIMIT:
        raise TooLargeError(
            f"the directory at its end has {size:,} bytes, and {DIRECTORY_LIMIT:,} is the most",
            "Write it with fewer row groups and columns, and without metadata.",
        )
    reader = Compact(file.read_at(size, file.size() - 8 - size))
    groups: list[_Group] = []
    try:
        for number, kind in reader.fields():
            if number == 4 and kind == LIST:
                groups = [_group(reader, entry) for entry in reader.entry_kinds()]
            else:
                before = reader.entries
                reader.value(kind, 8)
                if number == 2 and reader.entries - before > _SCHEMA:
                    raise DamagedError(f"more than {_SCHEMA:,} columns")
    except IndexError:
        raise DamagedError("its directory is cut off") from None
    return groups


def _group(reader: Compact, kind: int) -> _Group:
    if kind != STRUCT:
        raise DamagedError("no row groups")
    chunks: list[_Chunk] = []
    rows = 0
    for number, field_kind in reader.fields():
        if number == 1 and field_kind == LIST:
            chunks = [_chunk(reader.value(entry, 8)) for entry in reader.entry_kinds()]
        else:
            value = reader.value(field_kind, 8)
            rows = value if (number, field_kind) == (3, I64) else rows
    return _Group(rows, chunks)


def _chunk(found: Any) -> _Chunk:
    fields: Fields = found if isinstance(found, dict) else {}
    if {(8, STRUCT), (9, BINARY)} & fields.keys():
        raise EncryptedError
    about = fields.get((3, STRUCT))
    if about is None:
        raise DamagedError("a row group without some of the columns")
    values, size, at = (_number(about, number, I64) for number in (5, 7, 9))
    dictionary = about.get((11, I64), 0)
    return _Chunk(dictionary if 0 < dictionary < at else at, size, values, _CODECS.get(about.get((4, I32)), ""))


def _number(fields: Fields, number: int, kind: int) -> int:
    found: int = fields.get((number, kind), -1)
    if found < 0:
        raise DamagedError("a column or a page without its size")
    return found


@dataclass(slots=True)
class _Leaf:
    """What is known of one column of values over some row groups."""

    width: int  #: bytes of a value in memory, without text
    sizes: list[int] = field(default_factory=list)  #: unpacked, by data page
    values: list[int] = field(default_factory=list)  #: by data page
    stored: int = 0  #: bytes of the largest page in the file
    dictionary: int = 0  #: bytes of the largest
    shared: int = 0  #: bytes of the longest text that many values may share
    per_row: int = 1  #: most values of a row

    def held(self) -> int:
        """What its pages take: one of each kind, and as much again for what is copied out of them."""
        return 2 * (max(self.sizes, default=0) + self.dictionary)

    def bytes(self, rows: int) -> int:
        """What so many rows take when decoded, at most, where a page's values are all of one size."""
        if not self.sizes:
            return 0
        sizes, values = np.array(self.sizes, np.float64), np.maximum(np.array(self.values, np.float64), 1)
        count = min(float(rows) * self.per_row, values.sum())
        taken = np.concatenate([[0], np.cumsum(np.minimum(sizes, count * sizes / values))])
        ends = np.cumsum(values)
        # From the last value of each page on: up to and with the page in which so many values end.
        last = np.minimum(np.searchsorted(ends, ends + count - 1), len(ends) - 1)
        return int(count * (self.width + self.shared) + (taken[last + 1] - taken[:-1]).max())


class Pages:
    """The pages of an open Parquet file, `groups` of which are its directory. A row may have `row_limit` bytes."""

    def __init__(self, file: Any, metadata: Any, groups: list[_Group], row_limit: int) -> None:
        self._file = file
        self._groups = groups
        self._row = max(ROW_LIMIT, row_limit)
        self._held = max(PAGES_LIMIT, 4 * row_limit)
        self._columns = [metadata.schema.column(i) for i in range(metadata.num_columns)]
        if any(len(group.chunks) != len(self._columns) for group in groups):
            raise DamagedError("a row group without some of the columns")
        made_by = (metadata.created_by or "").lower()
        # Until 1.8 parquet-mr let the first prefix of a page go on from the page before, and so does the decoder.
        self._carries = "parquet-mr" in made_by and not re.search(r"version 1\.([89]|\d\d)\b", made_by)

    def batches(self) -> Iterator[tuple[list[int], int]]:
        """Row groups that are read together, and how many of their rows at once. Raises TooLargeError, DamagedError."""
        numbers: list[int] = []
        rows = 0
        for number, group in enumerate(self._groups):
            numbers.append(number)
            rows += max(0, group.rows)
            if rows >= BATCH_ROWS or len(numbers) >= BATCH_ROWS:
                yield numbers, self._rows_at_once(numbers)
                numbers, rows = [], 0
        if numbers:
            yield numbers, self._rows_at_once(numbers)

    def _rows_at_once(self, numbers: list[int]) -> int:
        leaves = [self._leaf(place, numbers) for place in range(len(self._columns))]
        # A large page that is large in the file as well is no bomb: text packs four- to eightfold. Columns may point
        # to one page, which still is stored once.
        held = max(self._held, 16 * min(sum(leaf.stored for leaf in leaves), self._file.size()))
        self._refuse([leaf.held() for leaf in leaves], held, "its pages take", _SMALLER_PAGES)
        self._refuse([leaf.bytes(1) for leaf in leaves], max(self._row, held // 4), "a single row takes", _SMALLER_ROWS)
        rows = BATCH_ROWS
        while rows > 1 and sum(leaf.bytes(rows) for leaf in leaves) > BUDGET:
            rows //= 2
        return rows

    def _refuse(self, needed: list[int], limit: int, what: str, remedy: str) -> None:
        if sum(needed) > limit:
            largest = self._columns[max(range(len(needed)), key=needed.__getitem__)].path
            raise TooLargeError(
                f"{what} up to {sum(needed) >> 20:,} MiB of memory when decoded, and {limit >> 20:,} MiB is the most; "
                f"most of it is of the column {largest!r}",
                remedy.format(largest),
            )

    def _leaf(self, place: int, numbers: list[int]) -> _Leaf:
        column = self._columns[place]
        width = {"FIXED_LEN_BYTE_ARRAY": max(column.length, 8), "INT96": 12}.get(column.physical_type, 8)
        nested = column.max_repetition_level > 0
        leaf = _Leaf(width + _LEVELS if nested else width)
        levels: list[_Levels] = []
        for number in numbers:
            self._scan(leaf, self._groups[number].chunks[place], column, levels)
        if nested:
            leaf.per_row = max(1, sum(leaf.values))
            if leaf.bytes(1) > _SMALL:
                leaf.per_row = _longest(self._file, levels, leaf.per_row)
        return leaf

    def _scan(self, leaf: _Leaf, chunk: _Chunk, column: Any, levels: list[_Levels]) -> None:
        """Add the pages of a column in a row group, in the order and as far as the decoder reads them."""
        at, end, seen = chunk.at, chunk.at + chunk.size, 0
        text = column.physical_type == "BYTE_ARRAY"
        bits = column.max_repetition_level.bit_length()
        while at < end and seen < chunk.values:
            header, at = self._header(at)
            kind, unpacked, stored = (_number(header, number, I32) for number in (1, 2, 3))
            size = max(unpacked, stored) if chunk.codec == "none" else unpacked
            leaf.stored = max(leaf.stored, stored)
            if kind == _DICTIONARY:
                leaf.dictionary = max(leaf.dictionary, size)
                if text and size > leaf.shared:
                    leaf.shared = max(leaf.shared, self._longest_text(at, stored, size, chunk.codec))
            elif kind in (_DATA, _DATA_V2):
                page = header.get((5 if kind == _DATA else 8, STRUCT), {})
                count = _number(page, 1, I32)
                seen += count
                leaf.sizes.append(size)
                leaf.values.append(count)
                if text and page.get((2 if kind == _DATA else 4, I32)) == _DELTA_BYTE_ARRAY:
                    leaf.shared = max(leaf.shared, sum(leaf.sizes) if self._carries else size)
                if kind == _DATA:
                    codec = chunk.codec if page.get((4, I32)) == _RLE else ""
                    levels.append(_Levels(at, stored, unpacked, codec, bits, count, prefixed=True))
                elif bits:
                    length = _number(page, 6, I32)
                    levels.append(_Levels(at, length, length, "none", bits, count, prefixed=False))
            at += stored

    def _header(self, at: int) -> tuple[Fields, int]:
        """The header of the page at an offset, and where the page begins."""
        length = _HEADER
        while True:
            data = _read(self._file, length, at)
            reader = Compact(data)
            try:
                return reader.struct(), at + reader.at
            except IndexError:
                if len(data) < length or length >= _HEADER_LIMIT:
                    raise DamagedError(f"no page header at byte {at:,}") from None
                length *= 16

    def _longest_text(self, at: int, stored: int, size: int, codec: str) -> int:
        """Of a dictionary, whose texts have their length before them. Where that is not to be told, its whole size."""
        if size > self._held or size * BATCH_ROWS <= _SMALL:
            return size
        data = _unpacked(_read(self._file, stored, at), codec, size)
        longest = place = 0
        last = len(data or b"") - 4
        while data and place <= last:
            (length,) = _LENGTH(data, place)
            if length > longest:
                longest = length
            place += 4 + length
        return min(longest, size) if data else size


def _read(file: Any, count: int, at: int) -> bytes:
    """So many bytes, as far as there are any: room for them is made before they are read."""
    count = min(count, file.size() - at)
    return bytes(file.read_at(count, at)) if count > 0 else b""


def _unpacked(data: bytes, codec: str, size: int) -> bytes | None:
    """None if it is damaged, which the decoder will say, or packed in a way that is not told from the outside."""
    if codec == "none":
        return data
    if not codec:
        return None
    try:
        return bytes(pa.Codec(codec).decompress(data, decompressed_size=size, asbytes=True))
    except (pa.ArrowException, OSError):
        return None


# How long lists are: repetition levels, of which a row begins at each 0


class _Levels(NamedTuple):
    """Where those of a page are."""

    at: int
    stored: int
    size: int
    codec: str
    bits: int
    values: int
    prefixed: bool


def _longest(file: Any, pages: list[_Levels], total: int) -> int:
    """Most values of a row. `total`, if that cannot be told."""
    longest = run = 0
    for page in pages:
        if page.size > PAGES_LIMIT:
            return total
        data = _unpacked(_read(file, page.stored, page.at), page.codec, page.size)
        if data is None:
            return total
        if page.prefixed:
            data = data[4 : 4 + int.from_bytes(data[:4], "little")]
        for found in _runs(data, page.bits, page.values):
            run += found.before
            if found.after:
                longest = max(longest, run, found.between)
                run = found.after
    return max(longest, run)


class _Run(NamedTuple):
    """Some levels. In `before` there are all of them if no row begins among them."""

    before: int  #: how many are before the first that begins a row,
    between: int  #: at most from one to the next,
    after: int  #: and from the last on; 0: none does


def _runs(data: bytes, bits: int, count: int) -> Iterator[_Run]:
    reader = Compact(data)
    try:
        while count > 0:
            head = reader.varint()
            if head & 1:
                size = (head >> 1) * bits
                packed = np.frombuffer(data[reader.at : reader.at + size], np.uint8)
                reader.skip(size)
                levels = np.unpackbits(packed, bitorder="little").reshape(-1, bits)[:count]
                length = len(levels)
                zeros = np.flatnonzero(~levels.any(axis=1))
                if zeros.size:
                    first, last = int(zeros[0]), int(zeros[-1])
                    yield _Run(first, int(np.diff(zeros).max(initial=0)), length - last)
                else:
                    yield _Run(length, 0, 0)
            else:
                length = min(head >> 1, count)
                begin = data[reader.at] == 0
                reader.skip(-(-bits // 8))
                if length:
                    yield _Run(0, 1, 1) if begin else _Run(length, 0, 0)
            if not length:
                return
            count -= length
    except IndexError:
        return  # the decoder will say that they end too early
