"""Excel workbooks as openpyxl and XlsxWriter write them, if they are installed."""

from __future__ import annotations

import random
from pathlib import Path

from tests.files.compare import Held
from tests.files.tables import Cell, Table
from tests.files.texts import options

#: The most characters in a cell of Excel.
_LONGEST = 32_767
#: openpyxl refuses them.
_CONTROLS = {chr(code): "?" for code in (*range(9), 11, 12, *range(14, 32))}


def openpyxl_xlsx(table: Table, dice: random.Random, path: Path) -> Held:
    """Texts as texts, also those that begin with `=`. A return becomes a newline, as XML has no other."""
    import openpyxl
    from openpyxl.cell import WriteOnlyCell

    table = _short(table.mapped({**_CONTROLS, "\r\n": "\n", "\r": "\n", "_x000D_": "_x"}))
    kind = dice.choice(["first", "named", "numbered", "blank rows"])
    book = openpyxl.Workbook(write_only=True)
    if kind in ("named", "numbered"):
        book.create_sheet("notes").append(["read me"])
    sheet = book.create_sheet("rows")

    def cell(value: Cell) -> WriteOnlyCell:
        made = WriteOnlyCell(sheet, value)
        if isinstance(value, str):
            made.data_type = "s"
        return made

    for _ in range(3 if kind == "blank rows" else 0):
        sheet.append([])
    for row in (table.columns, *zip(*table.columns.values(), strict=True)):
        sheet.append([cell(value) for value in row])
    path = path.with_suffix(".xlsx")
    book.save(path)
    named = {"named": "rows", "numbered": "2"}.get(kind)
    return Held(path, _as_text(table), kind, options(table, sheet=named))


def xlsxwriter_xlsx(table: Table, dice: random.Random, path: Path) -> Held:
    """Characters that XML cannot hold are escaped."""
    import xlsxwriter

    table = _short(table.mapped({"\ufdd0": "?", "\x7f": "?", "_x000D_": "_x"}))
    constant = dice.random() < 0.5
    path = path.with_suffix(".xlsx")
    with xlsxwriter.Workbook(path, {"constant_memory": constant}) as book:
        sheet = book.add_worksheet()
        for number, row in enumerate((table.columns, *zip(*table.columns.values(), strict=True))):
            for place, value in enumerate(row):
                if isinstance(value, int):
                    sheet.write_number(number, place, value)
                elif value:
                    sheet.write_string(number, place, value)
    kind = "inline texts" if constant else "shared texts"
    return Held(path, _as_text(table), kind, options(table))


def _short(table: Table) -> Table:
    """Texts cut to what a cell holds, and no blank rows, which do not count in a sheet."""
    rows = [row for row in zip(*table.columns.values(), strict=True) if any(str(cell or "").strip() for cell in row)]
    rows = rows or [tuple("x" for _ in table.columns)]
    columns: dict[str, list[Cell]] = {
        name: [cell[: _LONGEST // 8] if isinstance(cell, str) else cell for cell in cells]
        for name, cells in zip(table.columns, zip(*rows, strict=True), strict=True)
    }
    return Table(table.question, table.context, table.id, columns)


def _as_text(table: Table) -> Table:
    """Numbers are of double precision in Excel."""
    columns = {
        name: [int(float(cell)) if isinstance(cell, int) else cell or None for cell in cells]
        for name, cells in table.columns.items()
    }
    return Table(table.question, table.context, table.id, columns)


WRITERS = {"openpyxl": openpyxl_xlsx, "xlsxwriter": xlsxwriter_xlsx}
