"""A CSV file: its delimiter and columns are read from its first lines."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace

from contract.errors import InputError
from producer.input.columns import ColumnNames, refuse_wide
from producer.input.formats.csv.escapes import doubled
from producer.input.formats.csv.header import named_delimiter, wrong_header
from producer.input.formats.csv.parser import CsvRecords
from producer.input.formats.datafile import DataFile
from producer.input.formats.fields import TextFields
from producer.input.formats.lines import Lines
from producer.input.options import ReadOptions
from producer.input.raw import bad_encoding, empty


def csv_file(blocks: Iterator[bytes], label: str, options: ReadOptions) -> DataFile:
    """Read the header. Raises InputError if it is missing, damaged, or lacks a column."""
    if options.escape:
        blocks = doubled(blocks, options.escape, options.max_row_bytes)
    lines = Lines(blocks, options.max_row_bytes)
    number = 1 + lines.pass_blank()
    first = next(lines, b"")
    delimiter = named_delimiter(first)
    if delimiter is None:
        lines.put_back([first])
    else:  # Excel's line above the header
        number += 1 + lines.pass_blank()
        first = next(lines, b"")
        lines.put_back([first])
    delimiter = delimiter or options.delimiter
    records = CsvRecords(lines, delimiter, options.max_row_bytes, number)
    columns = _columns(records, first, label, replace(options, delimiter=delimiter))
    fields = TextFields(columns)
    return DataFile("csv", columns, fields.schema, records.batches(fields), delimiter)


def _columns(records: CsvRecords, line: bytes, label: str, options: ReadOptions) -> ColumnNames:
    """The columns that the next record names; `line` is where it begins."""
    try:
        names = records.header() if options.header else records.peek()
        "".join(names).encode()
    except UnicodeEncodeError as error:
        raise bad_encoding(label, "the header is in another encoding", "WINDOWS-1252") from error
    except csv.Error as error:
        message = f"{label}: the header has an unbalanced quote, or is not a header"
        raise InputError("unreadable", message, 'Inside a quoted name write a quote twice: ""') from error
    if not names:
        raise empty(label)
    refuse_wide(label, len(names))
    if not options.header:
        return _numbered(len(names), label, options)
    if wrong := wrong_header(label, line, names, options):
        raise wrong
    named = names if names[-1] else names[:-1]
    trailing = len(following := records.peek()) == len(named) + 1 and not following[-1]
    return ColumnNames(label, named if trailing else names, options, trailing=trailing)


def _numbered(width: int, label: str, options: ReadOptions) -> ColumnNames:
    """Without a header, columns are called by their numbers; of two, the first holds the questions."""
    if width == 2 and (options.question, options.context) == ("question", "context"):
        options = replace(options, question="1", context="2")
    return ColumnNames(label, map(str, range(1, width + 1)), options)
