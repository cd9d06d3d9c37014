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
from producer.input.columns import listed
from producer.input.formats.csv.parser import BATCH_BYTES, BATCH_ROWS, Batch
from producer.input.memory import Bound
from producer.input.rows import Fault
from producer.input.stored import unsupported

_AS_CSV = "Save the sheet as CSV (UTF-8)."
#: The most rows that a sheet has. A number beyond it is a forgery, and the rows up to it would be made one by one.
_LAST_ROW = 1 << 20
_DAMAGE = (
    OSError, EOFError, KeyError, ValueError, TypeError, AttributeError, IndexError, zipfile.BadZipFile, ParseError,
)  # fmt: skip
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
        self.names = self._header()

    @property
    def remedy(self) -> str:
        """What to do where it is not this sheet that is wanted."""
        others = [title for title in self._sheets if title != self.sheet]
        return f"Or another sheet: --sheet NAME, of {listed(others)}" if others else ""

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
        raise InputError("unreadable", message, "Name one: --sheet NAME, or its number")

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
                if any(text and not text.isspace() for text in texts):
                    yield number, texts
            raise ValueError(f"more than {_LAST_ROW:,} rows")
        except (*_DAMAGE, MemoryError) as error:
            raise self._unreadable(error) from error

    def _header(self) -> list[str]:
        _, first = next(self._rows, (0, []))
        names = [(name or "").strip() for name in first]
        while names and not names[-1]:
            names.pop()
        return names

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
