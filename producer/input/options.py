"""How a file is to be read, and what of that cannot be."""

from __future__ import annotations

import codecs
from dataclasses import dataclass, replace

from contract.errors import InputError, UsageError
from contract.remedy import Remedy, Set

FORMATS = ("csv", "parquet", "jsonl", "json")

_SPELLED = {"\\t": "\t", "tab": "\t"}  # a tab as it is written where a shell makes it hard


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How a file is to be read."""

    question: str = "question"
    context: str = "context"
    id: str | None = None  #: None: the column "id" if there is one; "": no id column
    answers: str | None = None  #: reference answers: None: the column "answers" if there is one; "": none
    delimiter: str = "|"
    max_row_bytes: int = 1 << 20  #: with its line end; a row of more is rejected
    escape: str | None = None  #: of a quote within quotes, such as a backslash; None: a quote is doubled
    header: bool = True  #: of a CSV file; without one, columns are called 1, 2, 3 ...
    encoding: str | None = None  #: of a text file, by a name that Python knows; None: UTF-8
    sheet: str | None = None  #: of an Excel workbook, by its name or its number from 1; None: the first that is shown
    format: str | None = None  #: csv, parquet, jsonl or json (a document); None: told by content


def checked(options: ReadOptions) -> ReadOptions:
    """The options with a tab for its spelling. Raises InputError, UsageError for what cannot be."""
    delimiter = _SPELLED.get(options.delimiter, options.delimiter)
    if len(delimiter) != 1 or delimiter in '"\r\n\0':
        raise InputError(
            "bad_delimiter",
            f"the delimiter is {options.delimiter!r}: it must be one character, and no quote or line end",
            Remedy("Set ", Set("delimiter"), " to a comma, for example, or to '\\t' for a tab."),
        )
    if options.escape is not None and (
        len(options.escape) != 1 or not options.escape.isascii() or options.escape in f'"\r\n\0{delimiter}'
    ):
        raise InputError(
            "bad_delimiter",
            f"the escape is {options.escape!r}: it must be one ASCII character, and no quote, line end or delimiter",
            Remedy("Set ", Set("escape"), " to a backslash, for example."),
        )
    if options.format not in (None, *FORMATS):
        raise InputError("unsupported_format", f"unknown format {options.format!r}", f"One of: {', '.join(FORMATS)}")
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
