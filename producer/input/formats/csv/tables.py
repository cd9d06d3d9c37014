"""Tables for people, of Markdown, psql and MySQL, as CSV: without rulers, edges and padding.

A line stays a line, so that the numbers of rows are those of the file. Covers no cells over several lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain

from producer.input.formats.lines import Lines
from producer.input.options import ReadOptions

_RULER = re.compile(rb"[ \t]*[|+]?[ \t]*:?-+:?[ \t]*(?:[|+][ \t]*:?-+:?[ \t]*)+[|+]?[ \t]*")
#: What psql and MySQL print below a table.
_FOOTER = re.compile(rb"\(\d+ rows?\)|\d+ rows? in set\b.*")
_BAR = re.compile(rb"(?<!\\)\|")


def plain(blocks: Iterator[bytes], options: ReadOptions) -> Iterator[bytes]:
    """The text as CSV, if it is such a table; else as it is. The first block has to hold its first lines."""
    if options.delimiter != "|" or options.escape or options.quote == "none" or not options.header:
        return blocks
    head = next(blocks, b"")
    blocks = chain([head], blocks)
    lines = [line for line in head[: options.max_row_bytes].splitlines()[:20] if line.strip()][:3]
    if len(lines) > 1 and _RULER.fullmatch(lines[0]) and lines[0].lstrip().startswith(b"+"):  # MySQL's
        lines = lines[1:]
    if len(lines) < 2 or not _RULER.fullmatch(lines[1]):
        return blocks
    edges, dashes = lines[0].lstrip().startswith(b"|"), re.findall(b"-+", lines[1])
    if len(_cells(lines[0])) != len(dashes) or (not edges and len(min(dashes)) < 3):  # a row may be "-|-|-"
        return blocks
    return _rows(Lines(blocks, options.max_row_bytes), edges=edges)


def _rows(lines: Lines, *, edges: bool) -> Iterator[bytes]:
    for line in lines:
        body = line.strip()
        if not body or _RULER.fullmatch(body) or _FOOTER.fullmatch(body):
            yield b"\n"
        else:
            cells = _cells(line, edges=edges)
            yield b"|".join(b'"%s"' % cell.replace(b'"', b'""') for cell in cells) + b"\n"


def _cells(line: bytes, *, edges: bool = True) -> list[bytes]:
    cells = _BAR.split(line.strip() if edges else line)
    if edges:
        cells = cells[not cells[0] : len(cells) - (len(cells) > 1 and not cells[-1])]
    return [cell.strip().replace(rb"\|", b"|") for cell in cells]
