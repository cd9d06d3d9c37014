"""A workbook of Excel (.xlsx) with one sheet of rows, written as it comes: a zip archive of XML.

Text stays text: nothing is taken for a formula, a date or a number that it is not. Written by hand: a sheet of plain
cells takes little, and the library that reads workbooks is not installed everywhere.
"""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Iterable, Sequence
from typing import Any, BinaryIO
from xml.sax.saxutils import escape

from contract.errors import UsageError

#: What Excel reads, at most: rows with the header, columns, and UTF-16 code units in a cell.
ROWS, COLUMNS, CELL = 1_048_576, 16_384, 32_767
_REMEDY = "Take the answers as CSV or Parquet."

_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_RELS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
#: All files of the archive but the sheet.
_FILES = {
    "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    f'<Override PartName="/xl/workbook.xml" ContentType="{_TYPE}.sheet.main+xml"/>'
    f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{_TYPE}.worksheet+xml"/></Types>',
    "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">'
    f'<Relationship Id="rId1" Type="{_RELS}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
    "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_RELS}">'
    '<sheets><sheet name="predictions" sheetId="1" r:id="rId1"/></sheets></workbook>',
    "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">'
    f'<Relationship Id="rId1" Type="{_RELS}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
}
#: Characters that XML cannot hold, or changes; and what looks like their escape.
_ODD = re.compile(r"[\x00-\x08\x0b-\x1f\ufffe\uffff]|_(?=x[0-9A-Fa-f]{4}_)")
#: The largest integer that a number of Excel holds exactly.
_EXACT = 1 << 53


def write(file: BinaryIO, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a workbook. Cells are text, numbers or None. Raises UsageError for more than a sheet holds."""
    if len(header) > COLUMNS:
        raise UsageError(f"{len(header):,} columns are more than the {COLUMNS:,} of a sheet", _REMEDY)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, text in _FILES.items():
            archive.writestr(name, _HEAD + text)
        with archive.open("xl/worksheets/sheet1.xml", "w", force_zip64=True) as sheet:
            sheet.write(f'{_HEAD}<worksheet xmlns="{_MAIN}"><sheetData>'.encode())
            sheet.write(_row(header, header).encode())
            for number, row in enumerate(rows, 2):
                if number > ROWS:
                    raise UsageError(f"there are more rows than the {ROWS - 1:,} of a sheet", _REMEDY)
                sheet.write(_row(row, header).encode())
            sheet.write(b"</sheetData></worksheet>")


def _row(cells: Sequence[Any], header: Sequence[str]) -> str:
    return f"<row>{''.join(_cell(value, name, cells) for value, name in zip(cells, header, strict=True))}</row>"


def _cell(value: Any, column: str, row: Sequence[Any]) -> str:
    """Cells have no reference: each is right of the one before it."""
    if value is None:
        return "<c/>"
    if (isinstance(value, float) and math.isfinite(value)) or (isinstance(value, int) and abs(value) <= _EXACT):
        return f"<c><v>{value!r}</v></c>"
    text = str(value)
    if len(text.encode("utf-16-le", "surrogatepass")) // 2 > CELL:
        raise UsageError(
            f"row {row[0]}: {column} has {len(text):,} characters, and a cell of a workbook holds {CELL:,}", _REMEDY
        )
    text = _ODD.sub(lambda odd: f"_x{ord(odd[0]):04X}_", text)
    return f'<c t="inlineStr"><is><t xml:space="preserve">{escape(text)}</t></is></c>'
