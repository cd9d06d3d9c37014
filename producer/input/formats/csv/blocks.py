"""Well-formed CSV in whole blocks: numpy finds the ends of records, pyarrow the fields. A shortcut past `parser`.

A block is taken only if csv.reader would read the same records without an error: UTF-8, every quote at the edge of a
field or doubled within one, every record with as many fields as the header. Any other block is left to `parser`, which
reads it row by row, finds what is wrong and goes on behind it.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
from numpy.typing import NDArray

_NEWLINE, _RETURN, _QUOTE = b'\n\r"'


@dataclass(frozen=True, slots=True)
class Block:
    """The complete records at the start of some lines."""

    columns: list[Any]  #: an Arrow string array for each field
    lines: NDArray[np.int64]  #: the line that each record starts on
    height: int  #: lines that they take
    size: int  #: bytes that they take, with a line end behind the last


def parse(
    data: bytes, delimiter: str, width: int, limit: int, line: int, end: bytes = b"\r\n", *, quoted: bool = True
) -> Block | None:
    """The records of `width` fields, each of at most `limit` bytes, in whole lines that end in `end`. `line` is the
    number of the first. Not `quoted`: quotes are text.

    None if they are not well-formed, or no record ends. Bytes behind the last whole record are left over.
    """
    if (
        end[-1:] == b"\r" or len(delimiter.encode()) > 1 or b"\0" in data or data.startswith(codecs.BOM_UTF8)
    ):  # Arrow reads these otherwise
        return None
    if not data.endswith(b"\n"):  # the last line of a file
        data += b"\n"
    text = np.frombuffer(data, np.uint8)
    newlines = np.flatnonzero(text == _NEWLINE)
    ends = _ends(text, newlines, ord(delimiter)) if quoted and b'"' in data else newlines
    if ends is None or not len(ends) or (b"\r" in data and not _only_in_line_ends(text)):
        return None
    if end == b"\n" and _returns_are_text(text, ends, quoted=quoted):
        return None
    ends = ends + 1
    starts = np.append(0, ends[:-1])
    if (ends - starts).max() > limit:
        return None
    size = int(ends[-1])
    height = int(np.searchsorted(newlines, size))
    table = _table(memoryview(data)[:size], delimiter, width, quoted=quoted, newlines_in_values=height != len(ends))
    if table is None or table.num_rows != len(ends):  # a blank line is no record
        return None
    lines = line + np.searchsorted(newlines, starts)
    return Block([column.combine_chunks() for column in table.columns], lines, height, size)


def _ends(text: NDArray[np.uint8], newlines: NDArray[np.int64], delimiter: int) -> NDArray[np.int64] | None:
    """The newlines outside quotes; None if a quote before the last of them is neither at an edge of its field nor
    doubled."""
    quotes = np.flatnonzero(text == _QUOTE)
    ends = newlines[np.searchsorted(quotes, newlines) % 2 == 0]
    quotes = quotes[: np.searchsorted(quotes, ends[-1])] if len(ends) else quotes[:0]
    opening, closing = quotes[0::2], quotes[1::2]
    opens = np.isin(text[opening - 1], [delimiter, _NEWLINE])  # index -1 is the last byte, a newline
    closes = np.isin(text[closing + 1], [delimiter, _NEWLINE, _RETURN])
    doubled = opening[1:] == closing[:-1] + 1
    opens[1:] |= doubled
    closes[:-1] |= doubled
    return ends if opens.all() and closes.all() else None


def _only_in_line_ends(text: NDArray[np.uint8]) -> bool:
    """Whether a newline follows every carriage return. A lone one would end a line as well."""
    return bool((text[np.flatnonzero(text == _RETURN) + 1] == _NEWLINE).all())


def _returns_are_text(text: NDArray[np.uint8], ends: NDArray[np.int64], *, quoted: bool) -> bool:
    """Whether a return ends a record, without a quote before it: in a file whose lines end in newlines it is text."""
    ends = ends[ends > 1]
    return bool(((text[ends - 1] == _RETURN) & ((text[ends - 2] != _QUOTE) | (not quoted))).any())


def _table(data: memoryview, delimiter: str, width: int, *, quoted: bool, newlines_in_values: bool) -> pa.Table | None:
    names = [str(number) for number in range(width)]
    try:
        return pacsv.read_csv(
            pa.BufferReader(data),
            pacsv.ReadOptions(use_threads=False, block_size=len(data) + 1, column_names=names),
            pacsv.ParseOptions(delimiter=delimiter, quote_char=quoted and '"', newlines_in_values=newlines_in_values),
            pacsv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False),
        )
    except pa.ArrowInvalid:  # another number of fields, or bytes that are not UTF-8
        return None
