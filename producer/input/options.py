"""How a file is to be read and to what it may expand, and the checks of both."""

from __future__ import annotations

import codecs
import sys
from dataclasses import dataclass, replace
from typing import Annotated

from contract.errors import InputError, UsageError
from contract.format.option import AtLeast, Help, Local, OneOf, check_bounds
from contract.remedy import Remedy, Set

FORMATS = ("csv", "parquet", "jsonl", "json")
QUOTES = ("double", "none")

#: Bytes that may come of the smallest file.
FREE = 1 << 20
_SPELLED = {"\\t": "\t", "tab": "\t"}  # a tab is hard to type in a shell


@dataclass(frozen=True, slots=True)
class Limits:
    """To what a file may expand. A server limits uploads; a user's own file has only the limits of its format."""

    ratio: int = sys.maxsize  #: bytes that may come of each byte of the file; `FREE` bytes may come of any
    rows: int = sys.maxsize
    text: int = sys.maxsize  #: bytes of all rows

    def check_ratio(self, label: str, stored: int, size: int) -> None:
        """Raise InputError if `stored` bytes of a file may not expand to `size`."""
        if size > FREE and size > self.ratio * stored:
            raise InputError(
                "unreadable",
                f"{label}: its {stored:,} bytes expand to over {size:,}, and {self.ratio:,} times as many are allowed",
                "Send it unpacked, as CSV or JSON Lines. Whoever runs the server can allow more: "
                "BULKQA_API_UPLOAD_RATIO",
            )

    def check_rows(self, label: str, rows: int, size: int) -> None:
        """Raise InputError if a file has more rows, or bytes of rows, than allowed."""
        over = f"{self.rows:,} rows" if rows > self.rows else f"{self.text:,} bytes of rows" if size > self.text else ""
        if over:
            setting = "BULKQA_API_UPLOAD_ROWS" if rows > self.rows else "BULKQA_API_UPLOAD_TEXT"
            remedy = f"Split it into several files. Whoever runs the server can allow more: {setting}"
            raise InputError("unreadable", f"{label}: it has more than {over}, the most that are accepted", remedy)


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How a file is to be read."""

    question: Annotated[str, Help("column of the questions")] = "question"
    context: Annotated[str, Help("column of the contexts")] = "context"
    id: Annotated[str | None, Help("column of the ids; '' for none [default: id, if there is one]")] = None
    answers: Annotated[
        str | None, Help("column of reference answers, for EM and F1; '' for none [default: answers, if there is one]")
    ] = None
    group_by: Annotated[
        str | None,
        Help("column of groups: rows with the same value are passages for one question, which gets one answer"),
    ] = None
    delimiter: Annotated[str, Help("character between the fields of a CSV file; \\t for a tab")] = "|"
    max_row_bytes: Annotated[int, Help("bytes in a row, with its line end; a larger one is rejected"), Local()] = (
        1 << 20
    )
    escape: Annotated[
        str | None, Help("character that escapes a quote, \\ in Spark's files [default: a quote is doubled]")
    ] = None
    quote: Annotated[
        str,
        Help("whether quotes in a CSV file enclose fields (double), or are text (none), as in many files with tabs"),
        OneOf(QUOTES),
    ] = "double"
    header: Annotated[bool, Help("without a header line, the columns of a CSV file are named 1, 2, 3 ...")] = True
    skip_lines: Annotated[
        int, Help("lines to skip above the header of a CSV file, or rows above that of a sheet"), AtLeast(0)
    ] = 0
    encoding: Annotated[str | None, Help("encoding of a text file, such as cp1252 or utf-16 [default: UTF-8]")] = None
    sheet: Annotated[str | None, Help("sheet of an Excel workbook, by name or number [default: the first shown]")] = (
        None
    )
    format: Annotated[str | None, Help("format of the file [default: by its content]"), OneOf(FORMATS)] = None
    text: Annotated[
        str | None,
        Help("column of the texts if documents are the rows of a table; id is then the column of their names"),
    ] = None
    limits: Limits = Limits()
    one_column: bool = False  #: question and context are one column: of questions, or of the texts of documents


def checked(options: ReadOptions) -> ReadOptions:
    """The options, with a tab for its spelling. Raises InputError or UsageError for an invalid one."""
    delimiter = _SPELLED.get(options.delimiter, options.delimiter)
    if len(delimiter) != 1 or delimiter in '"\r\n\0':
        raise InputError(
            "bad_delimiter",
            f"the delimiter is {options.delimiter!r}: it must be one character, and not a quote or line end",
            Remedy("For example: ", Set(delimiter=","), " or, for a tab, ", Set(delimiter="\t")),
        )
    if options.escape is not None and (
        len(options.escape) != 1 or not options.escape.isascii() or options.escape in f'"\r\n\0{delimiter}'
    ):
        raise InputError(
            "bad_delimiter",
            f"the escape is {options.escape!r}: it must be one ASCII character, and not a quote, line end or delimiter",
            Remedy("For example: ", Set(escape="\\")),
        )
    if options.quote not in QUOTES:
        raise UsageError(f"unknown quote {options.quote!r}", Remedy("If quotes are text: ", Set(quote="none")))
    if options.quote == "none" and options.escape is not None:
        raise UsageError(
            "an escape has no use if quotes are text", Remedy("Leave out ", Set("quote"), " or ", Set("escape"), ".")
        )
    if options.format not in (None, *FORMATS):
        raise InputError("unsupported_format", f"unknown format {options.format!r}", f"One of: {', '.join(FORMATS)}")
    check_bounds(options)
    if options.max_row_bytes < 1:
        raise UsageError(f"the largest row must be at least one byte, not {options.max_row_bytes}")
    _known_encoding(options.encoding)
    return replace(options, delimiter=delimiter)


def _known_encoding(name: str | None) -> None:
    try:
        if name and not codecs.lookup(name)._is_text_encoding:
            raise LookupError
    except (LookupError, ValueError) as error:
        known = "For example: WINDOWS-1252, ISO-8859-1, UTF-16, GB18030, SHIFT_JIS"
        raise InputError("bad_encoding", f"unknown encoding {name!r}", known) from error
