"""A CSV file: its delimiter and columns are read from its first lines."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

from contract.errors import InputError
from contract.remedy import Remedy, Set
from producer.input.columns import ColumnNames, above_header, refuse_wide
from producer.input.formats.csv.escapes import doubled
from producer.input.formats.csv.header import lines_of_title, named_delimiter, wrong_header
from producer.input.formats.csv.parser import CsvRecords
from producer.input.formats.csv.tables import plain
from producer.input.formats.datafile import DataFile
from producer.input.formats.fields import TextFields
from producer.input.formats.lines import Lines
from producer.input.options import ReadOptions
from producer.input.raw import bad_encoding, empty

#: Lines among which the header is looked for, if there is a title above it.
_HEAD = 20


def csv_file(blocks: Iterator[bytes], label: str, options: ReadOptions, encodings: tuple[str, ...] = ()) -> DataFile:
    """Read the header. `encodings`: what the text may be in, if not UTF-8. Raises InputError if the header is missing,
    damaged, or lacks a column."""
    blocks = plain(blocks, options)
    if options.escape:
        blocks = doubled(blocks, options.escape, options.max_row_bytes)
    lines = Lines(blocks, options.max_row_bytes, quoted=options.quote != "none")
    number = 1 + sum(1 for _ in islice(lines, options.skip_lines))
    if number <= options.skip_lines:
        message = f"{label}: it has fewer than {options.skip_lines + 1} lines"
        raise InputError("empty_file", message, Remedy("Skip fewer: ", Set("skip_lines")))
    number += lines.pass_blank()
    first = next(lines, b"")
    delimiter = named_delimiter(first)
    if delimiter is None:
        lines.put_back([first])
    else:  # Excel's line above the header
        number += 1 + lines.pass_blank()
    options = replace(options, delimiter=delimiter or options.delimiter)
    head = [*islice(lines, _HEAD)]
    above = lines_of_title(head, options) if options.header else 0
    lines.put_back(head[above:])
    number += above
    records = CsvRecords(lines, options.delimiter, options.max_row_bytes, number, quoted=options.quote != "none")
    columns = _columns(records, head[above:], number, label, options, encodings)
    fields = TextFields(columns)

    def notes() -> Iterator[str]:
        yield from [above_header(above)] if above else []
        yield from records.notes()

    return DataFile("csv", columns, fields.schema, records.batches(fields), options.delimiter, notes=notes)


def _columns(
    records: CsvRecords, head: Sequence[bytes], number: int, label: str, options: ReadOptions, encodings: Sequence[str]
) -> ColumnNames:
    """The columns that the next record names; `head` are the lines from where it begins, on line `number`."""
    try:
        names = records.header() if options.header else records.peek()
        "".join(names).encode()
    except UnicodeEncodeError as error:
        raise bad_encoding(label, "the header is in another encoding", *encodings) from error
    except csv.Error as error:
        message = f"{label}: the header has an unbalanced quote, or is not a header"
        remedy = Remedy('Inside a quoted name write a quote twice: "". Or, if quotes are text: ', Set(quote="none"))
        raise InputError("unreadable", message, remedy) from error
    if not names:
        raise empty(label)
    refuse_wide(label, len(names))
    if not options.header:
        return _numbered(len(names), label, options)
    if wrong := wrong_header(label, head, number, names, options):
        raise wrong
    named = names if names[-1] else names[:-1]
    trailing = len(following := records.peek()) == len(named) + 1 and not following[-1]
    return ColumnNames(label, named if trailing else names, options, trailing=trailing)


def _numbered(width: int, label: str, options: ReadOptions) -> ColumnNames:
    """Without a header, columns are called by their numbers; of two, the first holds the questions."""
    if width == 2 and (options.question, options.context) == ("question", "context"):
        options = replace(options, question="1", context="2")
    return ColumnNames(label, map(str, range(1, width + 1)), options)
