"""A spreadsheet for people to fill in: written as Excel opens it, and read as Excel saves it."""

from __future__ import annotations

import io
import re
from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from contract.errors import InputError, UsageError
from contract.format import chunk, csvfile
from contract.format.job import Row
from producer.input.formats.encodings import likely_encodings
from producer.input.open import open_input
from producer.input.options import ReadOptions
from producer.results import workbook

#: Bytes by which an encoding is known.
_HEAD = 1 << 16
_DELIMITERS = (",", ";", "\t", "|")


def check_new(path: Path) -> None:
    """Raise UsageError for a file that exists."""
    if path.exists():
        raise _exists(path)


def _exists(path: Path) -> UsageError:
    return UsageError(f"{path} exists, and may have been filled in", "Name another file.")


def write(path: Path, name: str, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Write a file to fill in: a workbook for .xlsx, with a sheet of that name, else CSV, which Excel reads as UTF-8.
    Raises UsageError if it exists or cannot be written."""
    file = io.BytesIO()
    if path.suffix.lower() == ".xlsx":
        workbook.write(file, workbook.Sheet(name, header, rows))
    else:
        file.write(BOM_UTF8 + csvfile.encode([header, *rows], ","))
    try:
        with path.open("xb") as target:
            target.write(file.getvalue())
    except FileExistsError:
        raise _exists(path) from None
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}", "Name another file.") from error


def read(path: str) -> Iterator[Row]:
    """The rows of a file that was filled in. Their number and verdict are question and context, because a row has to
    have these. Raises InputError if the file cannot be read."""
    refused, encoding = None, _encoding(path)
    for delimiter in _DELIMITERS:
        options = ReadOptions(
            question="row", context="verdict", id="", answers="", delimiter=delimiter, encoding=encoding
        )
        try:
            with open_input(path, options) as file:
                for table in file.tables(1 << 12, 1 << 26):
                    yield from chunk.rows(table)
            return
        except InputError as error:
            refused = refused or error
    assert refused is not None  # noqa: S101 - for the type checker: there are delimiters
    if refused.code == "missing_column":  # no option names another one here
        raise InputError(refused.code, refused.message, "Leave the header as it was written, and fill in its rows.")
    raise refused


def _encoding(path: str) -> str | None:
    """The encoding of a file that is not UTF-8, as Excel saves CSV in most countries; None: it says so itself."""
    try:
        with Path(path).open("rb") as file:
            return next(iter(likely_encodings(file.read(_HEAD))), None)
    except OSError:
        return None  # whoever opens it says why


def place(row: Row) -> str:
    """Where a row is in its file, for people."""
    return f"line {row.line}" if row.line else f"row {row.row + 1}"


def number(row: Row) -> int:
    """The number of the row of a job that a row of the file is about. Raises UsageError if it has none."""
    if (found := whole(row.question)) is None:
        raise no_number(place(row), row.question)
    return found


def whole(value: Any) -> int | None:
    """A whole number from 0 on; None if it is not one, or ambiguous: 1.000 is one or a thousand."""
    match = re.fullmatch(r"\s*(\d+)(?:[.,]0)?\s*", str(value), re.ASCII)
    return int(match[1]) if match else None


def no_number(place: str, value: Any) -> UsageError:
    """The error for a row of the file that does not say which row of a job it is about."""
    return UsageError(f"{place} of the labels: {value!r} is not a row number")
