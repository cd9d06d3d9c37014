"""The lines of a text file with their ends. Memory is bounded by the longest row allowed, whatever the input.

A file has one line end, which its beginning shows: `\\n` or `\\r\\n`, or else `\\r` or `\\r\\n`. Any other `\\r` or
`\\n` is text: pandas, for one, writes a lone `\\r` within a field as it is, even at the end of the last one. Covers no
quotes beyond the header (`csv`).
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain

_NEWLINE, _RETURN = b"\n", b"\r"
#: A quoted text, or an end of a line.
_ENDS = re.compile(rb'"[^"]*(?:"|\Z)|\r+\n|\r|\n')
_ALL_ENDS = re.compile(rb"\r+\n|\r|\n")
_LINES_OF_RETURNS = re.compile(rb"[^\r]*(?:\r\n?|\Z)")
_BLANK = re.compile(rb"[ \t\r\n]*")
_BLOCK = 1 << 18


def line_end(head: bytes, *, quoted: bool = True) -> bytes:
    """The line end of the header, unless most of the lines below end otherwise: `\\n`, `\\r` or `\\r\\n`, with any
    number of returns. `quoted`: an end within quotes does not count."""
    ends = [match[0] for match in (_ENDS if quoted else _ALL_ENDS).finditer(head.lstrip()) if match[0][:1] != b'"']
    if not ends:
        return _RETURN if _RETURN in head and _NEWLINE not in head else _NEWLINE
    if ends[0] == _RETURN and 2 * ends.count(_RETURN) >= len(ends):
        return _RETURN
    counts = Counter(end for end in ends if end != _RETURN)
    return counts.most_common(1)[0][0]  # of equal counts, the first


class Lines:
    """The lines of a stream with their ends, one by one or in blocks. A line over `limit` bytes is cut somewhere beyond
    it. `quoted`: a quote may enclose a field, and with it an end of a line."""

    def __init__(self, blocks: Iterable[bytes], limit: int, *, quoted: bool = True) -> None:
        blocks = iter(blocks)
        head = next(blocks, b"")
        while len(head) <= min(limit, _BLOCK) and (more := next(blocks, b"")):
            head += more
        self.own = line_end(head[:_BLOCK], quoted=quoted)
        self.quoted = quoted
        self.end = self.own[-1:]  #: the last byte of it
        self._whole = self._whole_lines(chain([head], blocks), limit)
        self._lines: Iterator[bytes] = iter(())

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        while (line := next(self._lines, None)) is None:
            self._lines = iter(self.split(next(self._whole)))  # at the end, StopIteration
        return line

    def split(self, data: bytes) -> list[bytes]:
        """The lines of some bytes, with their ends."""
        if self.end == _NEWLINE:
            return io.BytesIO(data).readlines()
        return [line for line in _LINES_OF_RETURNS.findall(data) if line]

    def body(self, line: bytes) -> bytes:
        """A line without its end. Returns beyond the file's own line end are text, unless a quote precedes them."""
        if self.end == _RETURN:
            return line[: -2 if line.endswith(b"\r\n") else -1 if line.endswith(_RETURN) else None]
        body = line.removesuffix(self.own if line.endswith(self.own) else _NEWLINE)
        bare = body.rstrip(_RETURN)
        return bare if (self.quoted and bare.endswith(b'"')) or not line.endswith(self.own) else body

    def block(self, size: int) -> bytes:
        """Whole lines in one piece of about `size` bytes; none at the end."""
        taken = [b"".join(self._lines)]
        held = len(taken[0])
        while held < size and (more := next(self._whole, b"")):
            taken.append(more)
            held += len(more)
        return b"".join(taken)

    def put_back(self, lines: Iterable[bytes]) -> None:
        """Give lines again, before all others."""
        self._lines = chain(lines, self._lines)

    def pass_blank(self) -> int:
        """Skip the blank lines that come next. Returns how many."""
        passed = 0
        while data := self.block(1):
            text = len(data) - len(data.lstrip())
            start = text if text == len(data) else data.rfind(self.end, 0, text) + 1
            passed += data.count(self.end, 0, start)
            if start < len(data):
                self.put_back(self.split(data[start:]))
                break
        return passed

    def numbered(self, number: int = 1) -> Iterator[tuple[int, bytes]]:
        """The lines that are not blank, each with its number. Blank ones are skipped at the speed of reading."""
        while data := self.block(_BLOCK):
            at = 0
            while at < len(data):
                blank = data.rfind(self.end, at, _BLANK.match(data, at).end()) + 1  # type: ignore[union-attr]
                if blank:
                    number += data.count(self.end, at, blank)
                    at = blank
                    continue
                end = data.find(self.end, at) + 1 or len(data)
                line = data[at:end]
                if not line.isspace():
                    yield number, line
                at = end
                number += 1

    def _whole_lines(self, blocks: Iterable[bytes], limit: int) -> Iterator[bytes]:
        """The same bytes cut at ends of lines."""
        rest = b""
        skipping = False  # the line under way was cut and given: the rest of it is dropped
        for block in blocks:
            data = rest + block
            # A \r that ends the block may be half of a \r\n: it stays with the rest.
            end = 1 + (data.rfind(_NEWLINE) if self.end == _NEWLINE else data.rfind(_RETURN, 0, -1))
            if end and self.end == _RETURN and data[end : end + 1] == _NEWLINE:
                end += 1
            whole, rest = data[:end], data[end:]
            if skipping and whole:
                whole = b"".join(self.split(whole)[1:])
                skipping = False
            if skipping:
                rest = rest[-1:]
            elif len(rest) > limit:
                whole += rest[: limit + 1].removesuffix(_RETURN) + self.end
                rest = rest[-1:]
                skipping = True
            if whole:
                yield whole
        if rest and not skipping:
            yield rest
