"""A sheet of an Excel workbook (.xlsx) into records: each cell as the text that a CSV of the sheet would have.

Read by openpyxl, an extra, row by row and in bounded memory: of a workbook its table of texts is held as a whole.
Formulas count as what they were when the workbook was saved. A text that spells
a character as XML has to, `_x000D_`, is taken for it: openpyxl tells no difference. Covers no formats of numbers, no
merged cells, no .xls.
"""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

from contract.errors import InputError
from contract.remedy import Remedy, Set
from producer.input.columns import listed, near
from producer.input.formats.csv.parser import BATCH_BYTES, BATCH_ROWS, Batch
from producer.input.memory import Bound
from producer.input.raw import unsupported
from producer.input.rows import Fault

_AS_CSV = "Save the sheet as CSV (UTF-8)."
#: The most rows that a sheet has. A number beyond it is a forgery, and the rows up to it would be made one by one.
_LAST_ROW = 1 << 20
_DAMAGE = (
    OSError, EOFError, KeyError, ValueError, TypeError, AttributeError, IndexError, zipfile.BadZipFile, ParseError,
)  # fmt: skip
#: In how many rows the header of another sheet is looked for.
_TOP = 20
#: A character that XML cannot hold, as Excel writes it.
_ESCAPED = re.compile("_x([0-9A-Fa-f]{4})_")

Row = tuple[int, list[str | None]]


def is_workbook(path: Path) -> bool:
    """Whether a zip archive is a workbook of Excel."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.startswith("xl/workbook.") for name in archive.namelist())
    except (OSError, ValueError, zipfile.BadZipFile):
        return False


class ExcelRecords:
    """The records of a sheet. `names` are those in its first row that is not blank."""

    def __init__(self, path: Path, label: str, sheet: str | None, bound: Bound, resources: ExitStack) -> None:
        self._label = label
        self._bound = bound
        self._book = self._opened(path, resources)
        resources.callback(self._book.close)
        self._sheets: dict[str, Any] = {found.title: found for found in self._book.worksheets}
        shown = [title for title, found in self._sheets.items() if found.sheet_state == "visible"] or [*self._sheets]
        if not shown:
            raise unsupported(label, "an Excel workbook without a sheet", _AS_CSV)
        self.sheet = self._named(sheet) if sheet else shown[0]
        self._rows = self._read(self._sheets[self.sheet])
        self.names = _header(next(self._rows, (0, []))[1])

    def other_sheet(self, question: str, context: str) -> Remedy | None:
        """What to do if another sheet is meant: the first that has these columns, else any; None if there is none."""
        others = [title for title in self._sheets if title != self.sheet]
        for title in others:
            names = self._names_of(self._sheets[title])
            if near(question, names) is not None and near(context, names) is not None:
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
            remedy = f"Install what reads it: pip install 'bulkqa[excel]'. Or: {_AS_CSV}"
            raise unsupported(self._label, "an Excel workbook, and openpyxl is not installed", remedy) from error
        try:
            file = resources.enter_context(path.open("rb"))  # of a damaged one, openpyxl leaves it open
            with self._bound, warnings.catch_warnings(action="ignore"):  # of parts that are no cells
                return openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
        except (*_DAMAGE, MemoryError) as error:
            raise self._unreadable(error) from error

    def _named(self, sheet: str) -> str:
        if sheet in self._sheets:
            return sheet
        if sheet.isdecimal() and 0 < int(sheet) <= len(self._sheets):
            return [*self._sheets][int(sheet) - 1]
        message = f"{self._label}: there is no sheet {sheet!r}. Sheets found: {listed(self._sheets)}"
        meant = near(sheet, [*self._sheets])
        remedy = Remedy("Read it with: ", Set(sheet=meant)) if meant else Remedy("Name one with ", Set("sheet"))
        raise InputError("unreadable", message, remedy)

    def _read(self, sheet: Any) -> Iterator[Row]:
        """The rows that are not blank, by number. What the sheet says of its size is not believed."""
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

    def batches(self, limit: int) -> Iterator[Batch]:
        """All rows below the header, each of at most `limit` bytes."""
        width = len(self.names)
        batch, size = Batch(), 0
        for number, texts in self._rows:
            record = (texts + [None] * width)[:width]
            bytes_ = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts if text)
            if bytes_ > limit:
                batch.reject([None] * width, number, Fault("row_too_large", f"the row has more than {limit:,} bytes"))
            elif any(texts[width:]):
                batch.reject(record, number, Fault("extra_field", f"a cell behind the {width} columns of the header"))
            else:
                batch.records.append(record)
                batch.lines.append(number)
            size += bytes_
            if len(batch.records) >= BATCH_ROWS or size >= BATCH_BYTES:
                yield batch
                batch, size = Batch(), 0
        if batch.records:
            yield batch

    def _unreadable(self, error: BaseException) -> InputError:
        if isinstance(error, MemoryError):
            what = f"{self._label}: an Excel workbook that does not fit into {self._bound.budget >> 20} MiB of memory"
            more = f"Or allow more, in bytes: BULKQA_READ_MEMORY={4 * self._bound.budget}"
            return InputError("unreadable", what, f"{_AS_CSV} {more}")
        return InputError("unreadable", f"{self._label}: an Excel workbook that is damaged: {error}", _AS_CSV)


def _has_text(texts: list[str | None]) -> bool:
    return any(text and not text.isspace() for text in texts)


def _header(texts: list[str | None]) -> list[str]:
    names = [(name or "").strip() for name in texts]
    while names and not names[-1]:
        names.pop()
    return names


def _text(cell: Any) -> str | None:
    """A cell as Excel writes it into a CSV, but numbers and dates in full."""
    if cell is None:
        return None
    if isinstance(cell, str):
        return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), cell) if "_x" in cell else cell
    if isinstance(cell, bool):
        return str(cell).upper()
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1 << 53:
        return str(int(cell))
    return cell.isoformat() if hasattr(cell, "isoformat") else str(cell)
