"""Thrift's compact protocol, in which Parquet describes itself, as far as numbers go: texts and lists are passed over.

Written here because no library hands out the headers of pages. Covers not what the fields mean (`pages`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

#: Entries of all lists together: more than there are in a directory of 16 MiB that was meant well.
ENTRIES = 1 << 21

_TRUE, _FALSE, _BYTE, _DOUBLE, BINARY, LIST, _SET, STRUCT = 1, 2, 3, 7, 8, 9, 10, 12
_BITS = {4: 16, (I32 := 5): 32, (I64 := 6): 64}

#: A struct: values by number and kind. A decoder passes over a field of another kind than it knows.
Fields = dict[tuple[int, int], Any]


class DamagedError(ValueError):
    """What is no Parquet. The text says why."""


class Compact:
    """Reads one value after another. Raises IndexError where the bytes end too early, DamagedError for nonsense."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        self.entries = 0  # of all lists so far

    def struct(self, depth: int = 8) -> Fields:
        """The fields of a struct that are numbers or structs. Of one that comes twice, what a decoder makes of it."""
        if not depth:
            raise DamagedError("nested without end")
        found: Fields = {}
        for field in self.fields():
            value = self.value(field[1], depth)
            found[field] = found.get(field, {}) | value if isinstance(value, dict) else value
        return found

    def fields(self) -> Iterator[tuple[int, int]]:
        """The number and kind of each field of a struct. Whoever asks reads the value before the next."""
        number = 0
        while head := self.byte():
            number = number + (head >> 4) if head >> 4 else self.zigzag(16)
            yield number, head & 15

    def entry_kinds(self) -> Iterator[int]:
        """The kind of each entry of a list. Whoever asks reads the entry before the next."""
        head = self.byte()
        count = head >> 4 if head < 0xF0 else self.varint()
        for _ in range(count):
            self.entries += 1
            if self.entries > ENTRIES:
                raise DamagedError(f"more than {ENTRIES:,} entries of lists")
            yield head & 15

    def value(self, kind: int, depth: int) -> Any:
        if kind in (_TRUE, _FALSE):
            return None
        if kind in _BITS:
            return self.zigzag(_BITS[kind])
        if kind == STRUCT:
            return self.struct(depth - 1)
        if kind in (LIST, _SET) and depth:
            for entry in self.entry_kinds():
                if entry in (_TRUE, _FALSE):
                    self.skip(1)
                else:
                    self.value(entry, depth - 1)
            return None
        if kind in (_BYTE, _DOUBLE, BINARY):
            return self.skip({_BYTE: 1, _DOUBLE: 8}.get(kind) or self.varint())
        raise DamagedError("no Thrift")

    def byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def varint(self) -> int:
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
            if shift > 63:
                raise DamagedError("a number without end")

    def zigzag(self, bits: int) -> int:
        value = self.varint()
        if value >> bits:  # which a decoder would cut, and go on with another number than ours
            raise DamagedError("a number that is too large")
        return (value >> 1) ^ -(value & 1)

    def skip(self, count: int) -> None:
        self.at += count
        if self.at > len(self.data):
            raise IndexError
