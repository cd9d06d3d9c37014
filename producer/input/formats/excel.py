"""A sheet of an Excel workbook (.xlsx) into rows: each cell as the text that a CSV of the sheet would have.

Read by openpyxl, an extra, row by row and in bounded memory; a workbook's table of texts is held whole. Formulas have
the values that they had when the workbook was saved. A text that spells a character as XML has to, `_x000D_`, is taken
for that character: openpyxl makes no difference. Covers no formats of numbers, no merged cells, no .xls.
"""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain, islice
from pathlib import Path
from typing import Any

from contract.errors import InputError
from contract.remedy import Remedy, Set
from producer.input.columns import ColumnNames, above_header, header_place, listed, near, refuse_wide
from producer.input.formats.datafile import DataFile
from producer.input.formats.fields import TextFields
from producer.input.formats.records import BATCH_BYTES, BATCH_ROWS, RecordBatch, over_limit
from producer.input.memory import Bound
from producer.input.options import ReadOptions
from producer.input.raw import SAVE_SHEET, WRONG_FILE, unsupported
from producer.input.rows import Fault, Rows

#: The most rows that a sheet has. A higher number is forged, and all rows up to it would be made one by one.
_LAST_ROW = 1 << 20
#: What openpyxl raises for damage. A SyntaxError is one of XML, of whichever parser is installed.
_DAMAGE = (
    OSError, EOFError, KeyError, ValueError, TypeError, AttributeError, IndexError, zipfile.BadZipFile, SyntaxError,
)  # fmt: skip
#: In how many rows the header is looked for.
_TOP = 20
#: A character that XML cannot hold, as Excel writes it.
_ESCAPED = re.compile("_x([0-9A-Fa-f]{4})_")

Row = tuple[int, list[str | None]]


def is_workbook(path: Path) -> bool:
    """Whether a zip archive is an Excel workbook."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.startswith("xl/workbook.") for name in archive.namelist())
    except (OSError, ValueError, zipfile.BadZipFile):
        return False


def _unpacked_size(path: Path) -> int:
    """As its directory says, which is the most that is read."""
    with zipfile.ZipFile(path) as archive:
        return sum(member.file_size for member in archive.infolist())


def excel_sheet(path: Path, label: str, options: ReadOptions, bound: Bound, resources: ExitStack) -> DataFile:
    """The sheet that the options name, or the first one. Raises InputError if it cannot be read or lacks a column."""
    options.limits.check_ratio(label, path.stat().st_size, _unpacked_size(path))
    sheet = _Sheet(path, label, options, bound, resources)
    if not sheet.names:
        remedy = sheet.other_sheet(options) or WRONG_FILE
        raise InputError("empty_file", f"{label}: the sheet {sheet.title!r} is empty", remedy)
    refuse_wide(label, len(sheet.names))
    try:
        columns = ColumnNames(label, sheet.names, options)
    except InputError as error:
        error.found |= {"sheets": list(sheet.titles), "sheet": sheet.title}
        if not _has_columns(sheet.names, options):
            error.remedy = _of_sheets(error.remedy, sheet.other_sheet(options))
        raise
    fields = TextFields(columns)
    batches = sheet.batches(fields, options.max_row_bytes)
    return DataFile(
        "xlsx", columns, fields.schema, batches, sheet=sheet.title, sheets=sheet.titles, notes=lambda: sheet.notes
    )


def _of_sheets(names: Remedy | str | None, sheet: Remedy | None) -> Remedy | str | None:
    """A sheet that has the columns is the remedy; if it is only another sheet, it is the second choice."""
    if sheet is None or sheet.settings:
        return sheet or names
    return Remedy(names or "", ". ", sheet)


def _has_columns(names: list[str], options: ReadOptions) -> bool:
    return near(options.question, names) is not None and near(options.context, names) is not None


class _Sheet:
    """A sheet under way. `names` are those in its first row that is not blank, or in a header below a title."""

    def __init__(self, path: Path, label: str, options: ReadOptions, bound: Bound, resources: ExitStack) -> None:
        self._label = label
        self._bound = bound
        self._book = self._opened(path, resources)
        resources.callback(self._book.close)
        self._sheets: dict[str, Any] = {sheet.title: sheet for sheet in self._book.worksheets}
        visible = [title for title, sheet in self._sheets.items() if sheet.sheet_state == "visible"]
        if not self._sheets:
            raise unsupported(label, "an Excel workbook without a sheet", SAVE_SHEET)
        self.title = self._named(options.sheet) if options.sheet else (visible or [*self._sheets])[0]
        self.titles = tuple(self._sheets)
        rows = (row for row in self._read(self._sheets[self.title]) if row[0] > options.skip_lines)
        head = [*islice(rows, _TOP)]
        above = header_place([_header(texts) for _, texts in head], (options.question, options.context)) or 0
        self.notes = [above_header(above)] if above else []
        self.names = _header(head[above][1]) if head else []
        self._rows: Iterator[Row] = chain(head[above + 1 :], rows)

    def other_sheet(self, options: ReadOptions) -> Remedy | None:
        """The remedy if another sheet is meant: the first that has the columns, or else any; None if there is none."""
        others = [title for title in self._sheets if title != self.title]
        for title in others:
            if _has_columns(self._names_of(self._sheets[title]), options):
                return Remedy("Read the sheet that has these columns: ", Set(sheet=title))
        return Remedy("Or read another sheet with ", Set("sheet"), f": {listed(others)}") if others else None

    def _names_of(self, sheet: Any) -> list[str]:
        """The header of a sheet, if it is near the top."""
        try:
            with self._bound:
                sheet.reset_dimensions()
                rows = [[_text(cell) for cell in row] for row in sheet.iter_rows(max_row=_TOP, values_only=True)]
        except (*_DAMAGE, MemoryError):
            return []
        return _header(next(filter(_has_text, rows), []))

    def _opened(self, path: Path, resources: ExitStack) -> Any:
        try:
            import openpyxl
        except ImportError as error:
            remedy = f"Install what reads it: pip install 'bulkqa[excel]'. Or: {SAVE_SHEET}"
            raise unsupported(self._label, "an Excel workbook, and openpyxl is not installed", remedy) from error
        try:
            file = resources.enter_context(path.open("rb"))  # openpyxl leaves a damaged one open
            with self._bound, warnings.catch_warnings(action="ignore"):  # about parts that are not cells
                return openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
        except (*_DAMAGE, MemoryError) as error:
            raise self._unreadable(error) from error

    def _named(self, name: str) -> str:
        """The title of a sheet, of its name or its number."""
        if name in self._sheets:
            return name
        if name.isdecimal() and 0 < int(name) <= len(self._sheets):
            return [*self._sheets][int(name) - 1]
        message = f"{self._label}: there is no sheet {name!r}. Sheets found: {listed(self._sheets)}"
        meant = near(name, [*self._sheets])
        remedy = Remedy("Read it with: ", Set(sheet=meant)) if meant else Remedy("Name one with ", Set("sheet"))
        raise InputError("unreadable", message, remedy)

    def _read(self, sheet: Any) -> Iterator[Row]:
        """The rows that are not blank, by number. The size that the sheet claims is ignored."""
        try:
            sheet.reset_dimensions()
            cells = sheet.iter_rows(values_only=True)
            for number in range(1, _LAST_ROW + 2):
                with self._bound:
                    row = next(cells, None)
                if row is None:
                    return
                texts = [_text(cell) for cell in row]
                if _has_text(texts):
                    yield number, texts
            raise ValueError(f"more than {_LAST_ROW:,} rows")
        except (*_DAMAGE, MemoryError) as error:
            raise self._unreadable(error) from error

    def batches(self, fields: TextFields, limit: int) -> Iterator[Rows]:
        """All rows below the header, each of at most `limit` bytes."""
        width = len(self.names)
        batch, size = RecordBatch(), 0
        for number, texts in self._rows:
            record = (texts + [None] * width)[:width]
            row_size = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts if text)
            if row_size > limit:
                batch.reject([None] * width, number, over_limit(limit))
            elif any(texts[width:]):
                batch.reject(record, number, Fault("extra_field", f"a cell beyond the {width} columns of the header"))
            else:
                batch.records.append(record)
                batch.lines.append(number)
            size += row_size
            if len(batch.records) >= BATCH_ROWS or size >= BATCH_BYTES:
                yield fields.rows(batch)
                batch, size = RecordBatch(), 0
        if batch.records:
            yield fields.rows(batch)

    def _unreadable(self, error: BaseException) -> InputError:
        if isinstance(error, MemoryError):
            what = f"{self._label}: an Excel workbook that does not fit into {self._bound.budget >> 20} MiB of memory"
            more = f"Or allow more, in bytes: BULKQA_READ_MEMORY={4 * self._bound.budget}"
            return InputError("unreadable", what, f"{SAVE_SHEET} {more}")
        return InputError("unreadable", f"{self._label}: an Excel workbook that is damaged: {error}", SAVE_SHEET)


def _has_text(texts: list[str | None]) -> bool:
    return any(text and not text.isspace() for text in texts)


def _header(texts: list[str | None]) -> list[str]:
    names = [(name or "").strip() for name in texts]
    while names and not names[-1]:
        names.pop()
    return names


def _text(cell: Any) -> str | None:
    """A cell as Excel writes it to CSV, but with numbers and dates in full."""
    if cell is None:
        return None
    if isinstance(cell, str):
        return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), cell) if "_x" in cell else cell
    if isinstance(cell, bool):
        return str(cell).upper()
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1 << 53:
        return str(int(cell))
    return cell.isoformat() if hasattr(cell, "isoformat") else str(cell)
