"""CSV into rows, each with its line number and what is wrong with it.

The CSV grammar is the standard library's, in strict mode. This adds recovery: **after a failed record only its first
line is lost, and reading goes on with its second**, so an unbalanced quote never swallows its neighbours. A record over
several lines is ambiguous when it parses: it may be a row with newlines in its fields, or a stray quote that ran into
the rows below. The rules:

1. With the right number of fields it is a row. (Valid CSV is always read as it is written.)
2. With another number it is read again from its second line on. If that finds a row with the right number of fields, or
   ends inside a quote, the quote of the first line was a stray one; otherwise it is one row with a wrong field count.
3. A field of blanks and then a quote can be read in two ways. It is a quoted field, if that gives the right number of
   fields and takes in no row below; else text, if its quotes are balanced; else it is an error of its line.

Well-formed lines take a shortcut to the same records (`blocks`). Covers no checks of what the fields hold (`rows`).
"""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain

from producer.input.formats.csv.blocks import Block, parse
from producer.input.formats.fields import TextFields
from producer.input.formats.lines import Lines
from producer.input.formats.records import BATCH_BYTES, BATCH_ROWS, RecordBatch, decoded, raw_text, too_large
from producer.input.rows import Fault, Rows

#: Bytes of a block, about: its columns stay in the cache.
_BLOCK_BYTES = 1 << 20
_MARKS = {ord("\r"): "\udc0d", ord("\n"): "\udc0a"}
_MARKED = {0xDC0D: "\r", 0xDC0A: "\n"}
_BLANK_LINES = 100  # after which the next ones are skipped at once
_SPACED_QUOTE = re.compile(r'[ \t]+"')
_TEXT_HINT = "if quotes are text in this file, set the quote option to none"
_ESCAPE_HINT = "; if a backslash escapes quotes in this file, set the escape option to a backslash"


def _marked(line: bytes, body: bytes | None = None) -> str:
    """A line for csv.reader, in which every \\r and \\n ends a record: those within the body become lone surrogates
    that no decoding makes."""
    body = line.rstrip(b"\r\n") if body is None else body
    if b"\r" in body or b"\n" in body:
        return decoded(body).translate(_MARKS) + line[len(body) :].decode()
    return decoded(line)


def _restored(fields: list[str]) -> list[str]:
    return [field.translate(_MARKED) if "\udc0d" in field or "\udc0a" in field else field for field in fields]


def _reader(lines: Iterable[str], delimiter: str, *, quoted: bool) -> Iterator[list[str]]:
    return csv.reader(lines, delimiter=delimiter, strict=True, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE)


class _TooLarge(Exception):
    """The record under way has more bytes than a row may have."""


class _StrayQuote(Exception):
    """The record under way is one line with an unbalanced quote, and the rows below it. The text says why."""


class _SpacedQuote(Exception):
    """The record under way has a field of blanks and then a quote."""


class CsvRecords:
    """The records of a CSV file, in batches. Not `quoted`: quotes are text, and each line is a record."""

    def __init__(self, lines: Lines, delimiter: str, limit: int, line: int = 1, *, quoted: bool = True) -> None:
        self._lines = lines
        self._delimiter = delimiter
        self._quoted = quoted
        self._rows = 0
        self._unbalanced = 0  # rows that have a quote too many or too few
        self._takes_in = 0  # the line of a quote that runs over the end of it, and over what looks like a row
        self._limit = limit
        blank = re.escape(" \t".replace(delimiter, ""))
        self._spaced = re.compile(rf'(?:^|{re.escape(delimiter)})[{blank}]+"')
        self._as_text = 0  # the line in which a quote after blanks is text
        self._blank_is_none = not delimiter.isspace()
        self._line = line  # the line that the record under way starts on
        self._pending: list[bytes] = []  # the lines of the record under way
        self._pushed: deque[bytes] = deque()  # lines to be read again
        self._fed = 0
        self._failed_on = 0  # the line on which the last record that failed did
        self._failure = ""
        # The module's limit is the process's, on a field, 128 KiB by default. Ours is on the row: see _feed.
        csv.field_size_limit(max(csv.field_size_limit(), limit))

    def header(self) -> list[str]:
        """The names in the first record that is not blank; none at the end of the file. Raises csv.Error."""
        try:
            self._as_text = self._line
            for fields in self._reader():
                self._line += len(self._pending)
                self._pending.clear()
                self._as_text = self._line
                if any(name.strip() for name in fields):
                    self._as_text = 0
                    return [name.strip() for name in fields]
        except _TooLarge as error:
            raise csv.Error("it does not end") from error
        return []

    def peek(self) -> list[str]:
        """The fields of the next record, which comes again; none if it cannot be parsed."""
        self._as_text = self._line
        try:
            fields = next(self._reader(), [])
        except (csv.Error, _TooLarge, _SpacedQuote):
            fields = []
        self._as_text = 0
        if self._pushed:
            self._pushed.extendleft(reversed(self._pending))
        else:
            self._lines.put_back(tuple(self._pending))
        self._pending.clear()
        return fields

    def notes(self) -> Iterator[str]:
        """What the rows so far show of their quotes. A tab in prose is rare, and a comma is not."""
        tab, many = self._delimiter == "\t", 2 * self._unbalanced > self._rows
        if self._takes_in and (tab or self._delimiter == "|" or self._unbalanced):
            what = "a quote runs over the end of its line, and takes in what may be a row of its own"
            yield f"line {self._takes_in}: {what}; {_TEXT_HINT}"
        if self._unbalanced and (tab or many):
            rows = "most rows have" if many else "there are rows with"
            yield f"{rows} unbalanced quotes; {_TEXT_HINT}"

    def batches(self, fields: TextFields) -> Iterator[Rows]:
        """All rows: in blocks where nothing is wrong, else record by record."""
        done = False
        while not done:
            if block := self._block(fields.width):
                self._rows += len(block.lines)
                yield fields.columnar(block.columns.__getitem__, block.lines, {})
                continue
            batch = RecordBatch()
            done = self._fill(batch, fields.width)
            if batch.records:
                self._rows += len(batch.records)
                yield fields.rows(batch)

    def _block(self, width: int) -> Block | None:
        """The next records, if all are well-formed; else None, and the lines are left to `_fill`."""
        if self._pushed or self._line < self._failed_on:
            return None
        self._line += self._lines.pass_blank() if self._blank_is_none else 0
        data = self._lines.block(_BLOCK_BYTES)
        block = parse(data, self._delimiter, width, self._limit, self._line, self._lines.own, quoted=self._quoted)
        if block is None:
            self._pushed.extend(self._lines.split(data))
        else:
            if block.height != len(block.lines) and not self._takes_in:
                self._look_into(block, data[: block.size], width)
            self._line += block.height
            self._lines.put_back(self._lines.split(data[block.size :]))
        return block

    def _look_into(self, block: Block, data: bytes, width: int) -> None:
        """Look at the records over several lines in a block, if any field holds a delimiter at all."""
        if data.count(self._delimiter.encode()) == (width - 1) * len(block.lines):
            return
        lines = self._lines.split(data)
        starts = (block.lines - self._line).tolist()
        for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
            self._look_at(lines[start:end], self._line + start, width)

    def _look_at(self, lines: list[bytes], line: int, width: int) -> None:
        """Remember a record of several lines if one behind the first has the delimiters of a row."""
        delimiter = self._delimiter.encode()
        if not self._takes_in and any(each.count(delimiter) == width - 1 for each in lines[1:]):
            self._takes_in = line

    def _fill(self, batch: RecordBatch, width: int) -> bool:
        """Read until the batch is full (False) or the file ends (True)."""
        until = self._fed + BATCH_BYTES
        while len(batch.records) < BATCH_ROWS and self._fed < until:
            try:
                if self._read(batch, width, until):
                    return True
            except _TooLarge:
                why = f"and not closed within {self._limit:,} bytes, the most a row may have"
                self._give_up(batch, width, self._remembered(why))
            except _SpacedQuote:
                self._either(batch, width)
            except _StrayQuote as error:
                self._give_up(batch, width, str(error))
            except csv.Error as error:
                self._give_up(batch, width, self._remembered(_in_words(error)))
        return False

    def _read(self, batch: RecordBatch, width: int, until: int) -> bool:
        """The loop for all rows that are not in blocks. Whatever is not a good row on one line is left to _odd."""
        pending, records, starts = self._pending, batch.records, batch.lines
        for fields in self._reader():
            if len(fields) == width and len(pending) == 1:
                records.append(fields)
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
        return map(_restored, _reader(self._feed(), self._delimiter, quoted=self._quoted))

    def _feed(self) -> Iterator[str]:
        """The lines for csv.reader. It asks for no line before it needs it: `_pending` always belongs to one record."""
        pending, limit = self._pending, self._limit
        size = blank = 0
        for line in chain(self._again(), self._lines):
            if not pending and self._blank_is_none and line.isspace():
                self._line += 1
                blank += 1
                if blank > _BLANK_LINES and not self._pushed:
                    self._line += self._lines.pass_blank()
                continue
            blank = 0
            size = size + len(line) if pending else len(line)
            pending.append(line)
            if size > limit:
                raise _TooLarge
            if self._line < self._failed_on and len(pending) > 1:
                # The record that failed there was inside quotes when this line began, and so is this one: it would fail
                # there too. It fails at once, so that no line is read more than a few times.
                raise _StrayQuote(self._failure)
            self._fed += len(line)
            text = _marked(line, self._lines.body(line))
            if (
                self._quoted
                and b'"' in line
                and len(pending) == 1
                and self._line != self._as_text
                and self._spaced.search(text)
            ):
                raise _SpacedQuote
            yield text

    def _again(self) -> Iterator[bytes]:
        while self._pushed:
            yield self._pushed.popleft()

    def _either(self, batch: RecordBatch, width: int) -> None:
        """A record in which blanks precede a quote: see rule 3. Within a quoted field they are text."""
        first = self._pending[0]
        self._pending.clear()
        for skipping in (False, True):
            taken: list[bytes] = []
            fields = self._alone(first, taken, skipping=skipping)
            if fields and len(fields) == width and not self._may_be_other(fields, taken, width, skipping=skipping):
                batch.records.append(list(fields))
                batch.lines.append(self._line)
                self._line += len(taken)
                return
            self._pushed.extendleft(reversed(taken[1:]))
        if _balanced(first, self._delimiter):
            self._as_text = self._line
            self._pushed.appendleft(first)
            return
        self._unbalanced += 1
        why = "unbalanced quote, with blanks before it: remove them, or close the quote"
        batch.reject([None] * width, self._line, Fault("parse_error", why, raw_text([first])))
        self._line += 1

    def _may_be_other(self, fields: list[str], taken: list[bytes], width: int, *, skipping: bool) -> bool:
        """Whether a record can also be read the other way: with the blanks before its quotes, or without."""
        if skipping:
            return _hides_a_row(taken[1:], width, self._delimiter)
        return any(map(_SPACED_QUOTE.match, fields))

    def _alone(self, first: bytes, taken: list[bytes], *, skipping: bool) -> list[str] | None:
        """The fields of a record; None if it cannot be parsed. `skipping` ignores blanks before a quote. `taken` gets
        its lines."""

        def lines() -> Iterator[str]:
            size = 0
            for line in chain([first], self._again(), self._lines):
                taken.append(line)
                size += len(line)
                if size > self._limit:
                    return
                yield _marked(line, self._lines.body(line))

        try:
            reader = csv.reader(lines(), delimiter=self._delimiter, strict=True, skipinitialspace=skipping)
            fields = next(reader, None)
        except csv.Error:
            return None
        return fields and _restored(fields)

    def _odd(self, batch: RecordBatch, fields: list[str], width: int) -> None:
        """A record over several lines, or with a wrong number of fields, or a blank line, which is not a record."""
        count = len(fields)
        if count == width:
            self._look_at(self._pending, self._line, width)
            batch.records.append(list(fields))
            batch.lines.append(self._line)
        elif count > 1 or (count == 1 and fields[0].strip()):
            if len(self._pending) > 1 and _hides_a_row(self._pending[1:], width, self._delimiter):
                raise _StrayQuote("and takes in rows below")
            code = "missing_field" if count < width else "extra_field"
            fault = Fault(code, f"{_fields(count)}, the header has {width}", raw_text(self._pending))
            batch.reject([*fields[:width], *[None] * (width - count)], self._line, fault)

    def _remembered(self, why: str) -> str:
        self._failed_on = self._line + len(self._pending) - 1
        self._failure = why
        return why

    def _give_up(self, batch: RecordBatch, width: int, why: str) -> None:
        """Reject the first line of the record under way; the others are read again."""
        first, *others = self._pending
        if len(first) > self._limit:
            fault = too_large(first, self._limit)
        else:
            hint = _ESCAPE_HINT if b'\\"' in first else f"; {_TEXT_HINT}" if self._delimiter == "\t" else ""
            self._unbalanced += 1
            fault = Fault("parse_error", f"unbalanced quote: opened on this line {why}{hint}", raw_text([first]))
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


def _balanced(line: bytes, delimiter: str) -> bool:
    """Whether the quotes are even in each field of blanks and then a quote."""
    try:
        fields = next(csv.reader([_marked(line)], delimiter=delimiter, strict=True), [])
    except csv.Error:
        return True  # another field is quoted, and decides how the line is read
    return all(field.count('"') % 2 == 0 for field in fields if _SPACED_QUOTE.match(field))


def _hides_a_row(lines: list[bytes], width: int, delimiter: str) -> bool:
    """Whether the lines hold a row of the right width, or the start of one that goes on after them."""
    reader = csv.reader(map(_marked, lines), delimiter=delimiter, strict=True)
    while True:
        try:
            return any(len(fields) == width for fields in reader)
        except csv.Error as error:  # after which the reader goes on with the next line
            if _at_the_end(error):
                return True


def split_header(header: bytes, delimiter: str, *, quoted: bool = True) -> list[str]:
    """The names in a line, if that is a header with this delimiter."""
    try:
        names = next(_reader([_marked(header)], delimiter, quoted=quoted), [])
        return [name.strip() for name in _restored(names)]
    except csv.Error:
        return []
