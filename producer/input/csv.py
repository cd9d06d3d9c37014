"""Text into records: physical lines, and CSV, each row with its line number and what is wrong with it.

Memory is bounded by the longest row allowed, whatever the input: a line or a quoted field that goes on is cut.
The CSV grammar is the standard library's, in strict mode. What is added here is recovery: **after a failed record only
its first line is lost, and reading goes on with its second**: an unbalanced quote never swallows its neighbours. A
record over several lines is ambiguous when it parses: it may be a row with newlines in its fields, or a stray quote
that ran into the rows below. The rule:

1. With the right number of fields it is a row. (Valid CSV is always read as it is written.)
2. With another number it is read again from its second line on. If that finds a row with the right number of fields, or
   ends inside a quote, the quote of the first line was a stray one; otherwise it is one row, of a wrong field count.

A line ends with `\\n`, `\\r\\n` or `\\r`. Lines in which nothing is wrong take a shortcut to the same records
(`blocks`). Covers no JSON (`jsonl`) and no checks of what the fields hold (`rows`).
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple

from producer.input.blocks import Block, parse

#: A batch of records ends after so many rows or bytes: large enough for columns to pay, small enough for the cache.
BATCH_ROWS = 1024
BATCH_BYTES = 4 << 20
#: About so many bytes make a block: what is made of it stays in the cache.
_BLOCK_BYTES = 1 << 20
#: So much is kept of the text of a row that could not be parsed, in characters.
RAW_LIMIT = 2_000


class Fault(NamedTuple):
    """Why a row is rejected."""

    code: str
    message: str
    raw: str | None = None


@dataclass(slots=True)
class Batch:
    """Consecutive records, all of one width, the line that each starts on, and the faults by index.

    Bytes that are not UTF-8 are in the strings as lone surrogates (PEP 383): whoever makes columns of them will notice.
    """

    records: list[list[str | None]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    faults: dict[int, Fault] = field(default_factory=dict)

    def reject(self, record: list[str | None], line: int, fault: Fault) -> None:
        self.faults[len(self.records)] = fault
        self.records.append(record)
        self.lines.append(line)


class Lines:
    """The lines of a stream with their ends, one by one or in blocks. Of a line over `limit` bytes at least limit + 1
    are given, not all."""

    def __init__(self, blocks: Iterable[bytes], limit: int) -> None:
        self._whole = _whole_lines(blocks, limit)
        self._lines: Iterator[bytes] = iter(())

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        while (line := next(self._lines, None)) is None:
            self._lines = iter(next(self._whole).splitlines(keepends=True))  # at the end, StopIteration
        return line

    def block(self, size: int) -> bytes:
        """Whole lines in one piece, about so many bytes; none at the end."""
        taken = [b"".join(self._lines)]
        held = len(taken[0])
        while held < size and (more := next(self._whole, b"")):
            taken.append(more)
            held += len(more)
        return b"".join(taken)

    def put_back(self, lines: Iterable[bytes]) -> None:
        """Have lines come again, before all others."""
        self._lines = chain(lines, self._lines)


def _whole_lines(blocks: Iterable[bytes], limit: int) -> Iterator[bytes]:
    """The same bytes cut at ends of lines."""
    rest = b""
    skipping = False  # the line under way was given already, cut: what is left of it is dropped
    for block in blocks:
        data = rest + block
        # A \r that ends the block may be half of a \r\n: it stays with the rest.
        end = 1 + max(data.rfind(b"\n"), data.rfind(b"\r", 0, -1))
        whole, rest = data[:end], data[end:]
        if skipping and whole:
            whole = b"".join(whole.splitlines(keepends=True)[1:])
            skipping = False
        if skipping:
            rest = rest[-1:]
        elif len(rest) > limit:
            whole += rest[: limit + 1] + b"\n"
            rest = rest[-1:]
            skipping = True
        if whole:
            yield whole
    if rest and not skipping:
        yield rest


def decoded(line: bytes) -> str:
    return line.decode("utf-8", "surrogateescape")


def raw_text(lines: list[bytes]) -> str:
    """The text of a row as far as it is kept. Of UTF-8, a character takes four bytes at most."""
    start = b"".join(lines)[: 4 * RAW_LIMIT] if len(lines) > 1 else lines[0][: 4 * RAW_LIMIT]
    return start.decode("utf-8", "replace").rstrip("\r\n")[:RAW_LIMIT]


def too_large(line: bytes, limit: int) -> Fault:
    """Of what is over the limit, how much there is depends on how the file was cut into reads: it is not shown."""
    return Fault("row_too_large", f"the row has more than {limit:,} bytes", raw_text([line[:limit]]))


class _TooLarge(Exception):
    """The record under way has more bytes than a row may have."""


class _StrayQuote(Exception):
    """The record under way is one line with an unbalanced quote, and rows below it. The text says how that shows."""


class CsvRecords:
    """The records of a CSV file, in batches."""

    def __init__(self, lines: Lines, delimiter: str, limit: int) -> None:
        self._lines = lines
        self._delimiter = delimiter
        self._limit = limit
        self._line = 1  # the line that the record under way starts on
        self._pending: list[bytes] = []  # the lines of the record under way
        self._pushed: deque[bytes] = deque()  # lines to be read again
        self._fed = 0
        self._failed_on = 0  # the line on which the last record that failed did
        self._failure = ""
        # The module's own limit is the process's, 128 KiB by default. Ours is on the row, and is held by _feed.
        csv.field_size_limit(max(csv.field_size_limit(), limit))

    def header(self) -> list[str]:
        """The names in the first record that is not blank; none if there is none. Raises csv.Error."""
        try:
            for fields in self._reader():
                self._line += len(self._pending)
                self._pending.clear()
                if any(name.strip() for name in fields):
                    return [name.strip() for name in fields]
        except _TooLarge as error:
            raise csv.Error("it does not end") from error
        return []

    def batches(self, width: int) -> Iterator[Batch | Block]:
        done = False
        while not done:
            if block := self._block(width):
                yield block
                continue
            batch = Batch()
            done = self._fill(batch, width)
            if batch.records:
                yield batch

    def _block(self, width: int) -> Block | None:
        """The next records, if nothing is wrong with any; else none, and the lines are left to `_fill`."""
        if self._pushed or self._line < self._failed_on:
            return None
        data = self._lines.block(_BLOCK_BYTES)
        block = parse(data, self._delimiter, width, self._limit, self._line)
        if block is None:
            self._pushed.extend(data.splitlines(keepends=True))
        else:
            self._line += block.height
            self._lines.put_back(data[block.size :].splitlines(keepends=True))
        return block

    def _fill(self, batch: Batch, width: int) -> bool:
        """Read until the batch is full (False) or the file ends (True)."""
        until = self._fed + BATCH_BYTES
        while len(batch.records) < BATCH_ROWS and self._fed < until:
            try:
                if self._read(batch, width, until):
                    return True
            except _TooLarge:
                why = f"and not closed within {self._limit:,} bytes, the most a row may have"
                self._give_up(batch, width, self._remembered(why))
            except _StrayQuote as error:
                self._give_up(batch, width, str(error))
            except csv.Error as error:
                self._give_up(batch, width, self._remembered(_in_words(error)))
        return False

    def _read(self, batch: Batch, width: int, until: int) -> bool:
        """The loop that every other row passes: what is not needed for a good row on one line is left to _odd."""
        pending, records, starts = self._pending, batch.records, batch.lines
        for fields in self._reader():
            if len(fields) == width and len(pending) == 1:
                records.append(fields)  # type: ignore[arg-type]
                starts.append(self._line)
                self._line += 1
            else:
                self._odd(batch, fields, width)
                self._line += len(pending)
            pending.clear()
            if len(records) >= BATCH_ROWS or self._fed >= until:
                return False
        return True

    def _reader(self) -> Iterator[list[str]]:
        return csv.reader(self._feed(), delimiter=self._delimiter, strict=True)

    def _feed(self) -> Iterator[str]:
        """The lines for csv.reader, which asks for no line before it needs it: `_pending` is always one record's."""
        pending, limit = self._pending, self._limit
        size = 0
        for line in chain(self._again(), self._lines):
            size = size + len(line) if pending else len(line)
            pending.append(line)
            if size > limit:
                raise _TooLarge
            if self._line < self._failed_on and len(pending) > 1:
                # The record that failed there was inside quotes when this line began, and so is this one: it would fail
                # there too. Said at once, so that no line is read more than a few times.
                raise _StrayQuote(self._failure)
            self._fed += len(line)
            yield line.decode("utf-8", "surrogateescape")

    def _again(self) -> Iterator[bytes]:
        while self._pushed:
            yield self._pushed.popleft()

    def _odd(self, batch: Batch, fields: list[str], width: int) -> None:
        """A record over several lines, with a wrong number of fields, or a blank line, which is no record."""
        found = len(fields)
        if found == width:
            batch.records.append(list(fields))
            batch.lines.append(self._line)
        elif found > 1 or (found == 1 and fields[0].strip()):
            if len(self._pending) > 1 and _hides_a_row(self._pending[1:], width, self._delimiter):
                raise _StrayQuote("and takes in rows below")
            code = "missing_field" if found < width else "extra_field"
            fault = Fault(code, f"{_fields(found)}, the header has {width}", raw_text(self._pending))
            batch.reject([*fields[:width], *[None] * (width - found)], self._line, fault)

    def _remembered(self, why: str) -> str:
        self._failed_on = self._line + len(self._pending) - 1
        self._failure = why
        return why

    def _give_up(self, batch: Batch, width: int, why: str) -> None:
        """Reject the first line of the record under way; the others are read again."""
        first, *others = self._pending
        if len(first) > self._limit:
            fault = too_large(first, self._limit)
        else:
            fault = Fault("parse_error", f"unbalanced quote: opened on this line {why}", raw_text([first]))
        batch.reject([None] * width, self._line, fault)
        self._pushed.extendleft(reversed(others))
        self._pending.clear()
        self._line += 1


def _fields(number: int) -> str:
    return "1 field" if number == 1 else f"{number} fields"


def _in_words(error: csv.Error) -> str:
    if _at_the_end(error):
        return "and never closed"
    return 'and followed by text after it was closed (inside a quoted field a quote is written twice: "")'


def _at_the_end(error: csv.Error) -> bool:
    """Whether the input ended inside quotes. csv.Error has no codes, only this text."""
    return "unexpected end" in str(error)


def _hides_a_row(lines: list[bytes], width: int, delimiter: str) -> bool:
    """Whether the lines hold a row of the right width, or the start of one that goes on after them."""
    reader = csv.reader(map(decoded, lines), delimiter=delimiter, strict=True)
    while True:
        try:
            return any(len(fields) == width for fields in reader)
        except csv.Error as error:  # after which the reader goes on with the next line
            if _at_the_end(error):
                return True


def split_header(header: bytes, delimiter: str) -> list[str]:
    """The names in a header line, for another delimiter than the one asked for."""
    try:
        return [name.strip() for name in next(csv.reader([decoded(header)], delimiter=delimiter, strict=True), [])]
    except csv.Error:
        return []
