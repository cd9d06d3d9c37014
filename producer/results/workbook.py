"""A workbook of Excel (.xlsx) of sheets of rows, written as they come: a zip archive of XML.

Text stays text: nothing is taken for a formula, a date or a number that it is not. Written by hand: a sheet of plain
cells takes little, and the library that reads workbooks is not installed everywhere.
"""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, BinaryIO, NamedTuple
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
#: Characters that XML cannot hold, or changes; and what looks like their escape.
_ODD = re.compile(r"[\x00-\x08\x0b-\x1f\ufffe\uffff]|_(?=x[0-9A-Fa-f]{4}_)")
#: The largest integer that a number of Excel holds exactly.
_EXACT = 1 << 53


class Marked(NamedTuple):
    """A text of which a part is in bold."""

    before: str
    part: str
    after: str

    def __str__(self) -> str:
        return "".join(self)


class Sheet(NamedTuple):
    """A sheet. Its rows are read once, after those of the sheets before it. Cells are text, numbers or None."""

    name: str
    header: Sequence[str]
    rows: Iterable[Sequence[Any]]


def write(file: BinaryIO, *sheets: Sheet) -> None:
    """Write a workbook. Raises UsageError for more than a sheet holds."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, text in _files([sheet.name for sheet in sheets]).items():
            archive.writestr(name, _HEAD + text)
        for number, sheet in enumerate(sheets, 1):
            with archive.open(f"xl/worksheets/sheet{number}.xml", "w", force_zip64=True) as target:
                for text in _sheet(sheet):
                    target.write(text.encode())


def _files(names: Sequence[str]) -> dict[str, str]:
    """All files of the archive but the sheets, which have these names."""
    numbered = list(enumerate(names, 1))
    overrides = "".join(
        f'<Override PartName="/xl/worksheets/sheet{number}.xml" ContentType="{_TYPE}.worksheet+xml"/>'
        for number, _ in numbered
    )
    sheets = "".join(
        f'<sheet name="{escape(name)}" sheetId="{number}" r:id="rId{number}"/>' for number, name in numbered
    )
    relations = "".join(
        f'<Relationship Id="rId{number}" Type="{_RELS}/worksheet" Target="worksheets/sheet{number}.xml"/>'
        for number, _ in numbered
    )
    return {
        "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{_TYPE}.sheet.main+xml"/>{overrides}</Types>',
        "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">'
        f'<Relationship Id="rId1" Type="{_RELS}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_RELS}"><sheets>{sheets}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">{relations}</Relationships>',
    }


def _sheet(sheet: Sheet) -> Iterator[str]:
    header = sheet.header
    if len(header) > COLUMNS:
        raise UsageError(f"{len(header):,} columns are more than the {COLUMNS:,} of a sheet", _REMEDY)
    yield f'{_HEAD}<worksheet xmlns="{_MAIN}"><sheetData>'
    yield _row(header, header)
    for number, row in enumerate(sheet.rows, 2):
        if number > ROWS:
            raise UsageError(f"there are more rows than the {ROWS - 1:,} of a sheet", _REMEDY)
        yield _row(row, header)
    yield "</sheetData></worksheet>"


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
    if isinstance(value, Marked):
        runs = ("", value.before), ("<rPr><b/></rPr>", value.part), ("", value.after)
        content = "".join(f"<r>{look}{_text(run)}</r>" for look, run in runs if run)
    else:
        content = _text(text)
    return f'<c t="inlineStr"><is>{content}</is></c>'


def _text(text: str) -> str:
    return f'<t xml:space="preserve">{escape(_ODD.sub(lambda odd: f"_x{ord(odd[0]):04X}_", text))}</t>'
