"""A workbook has the cells that were written, texts as texts; and what none can hold is an error."""

from __future__ import annotations

import io
import json
import re
from typing import Any

import openpyxl
import pytest
from openpyxl.utils.escape import unescape

from contract.errors import UsageError
from contract.format.job import InputFile, Manifest, Options, Row, RowError, failed
from producer.results import workbook
from producer.results.output import written
from producer.results.typed import Shape

TEXTS = [
    "=1+1", "@SUM(1)", "00123", "2026-01-02", "TRUE", " both ends ", "a < b & c > d", "Überlingen 😀", "tab\tline\nend",
    "\r", "\x00\x01\x1f", "_x0041_", "]]>", "\u2028", "\ufffe", "x" * workbook.CELL, "",
]  # fmt: skip


def sheet(data: bytes) -> list[list[Any]]:
    rows = openpyxl.load_workbook(io.BytesIO(data)).active.iter_rows()
    assert not any(cell.data_type == "f" for row in rows for cell in row), "no formula"
    values = openpyxl.load_workbook(io.BytesIO(data)).active.iter_rows(values_only=True)
    return [[unescape(value) if isinstance(value, str) else value for value in row] for row in values]


def made(header: list[str], *rows: list[Any]) -> bytes:
    file = io.BytesIO()
    workbook.write(file, workbook.Sheet("predictions", header, rows))
    return file.getvalue()


def test_cells_come_back_as_they_were() -> None:
    rows: list[list[Any]] = [[text, 1, -0.25, None] for text in TEXTS]
    rows.append([1e-7, 2**53 + 2, 1e300, float("nan")])
    header, *found = sheet(made(["ä <b>", "n", "f", "none"], *rows))
    assert header == ["ä <b>", "n", "f", "none"]
    assert [row[0] or "" for row in found[:-1]] == TEXTS
    assert {tuple(row[1:]) for row in found[:-1]} == {(1, -0.25, None)}
    assert found[-1] == [1e-7, str(2**53 + 2), 1e300, "nan"], "an integer that Excel would round is text"


def test_what_a_sheet_cannot_hold_is_an_error_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="row 7: context has 32,768 characters, and a cell of a workbook holds 32,767"):
        made(["row", "context"], [7, "x" * (workbook.CELL + 1)])
    with pytest.raises(UsageError, match="context has 20,000 characters"):
        made(["row", "context"], [7, "😀" * 20_000])  # Excel counts each twice
    monkeypatch.setattr(workbook, "ROWS", 4)
    assert len(sheet(made(["row"], [0], [1], [2]))) == 4
    with pytest.raises(UsageError, match=re.escape("more rows than the 3 of a sheet")) as caught:
        made(["row"], [0], [1], [2], [3])
    assert "CSV or Parquet" in str(caught.value.remedy)


def test_predictions_are_written_as_a_workbook() -> None:
    shape = Shape(
        Manifest("job", 0.0, "m", 1, 0, 1, "", InputFile("f.csv", "csv", 9, "", ("q", "c", "code"), "|")), None
    )
    row = failed(Row(0, "=q", "c", passthrough={"code": "007"}), RowError("inference_error", "m"), Options())
    header, cells = sheet(b"".join(written([json.dumps(row).encode() + b"\n"], "xlsx", shape)))
    named = dict(zip(header, cells, strict=True))
    assert (named["row"], named["question"], named["error_code"], named["code"]) == (0, "=q", "inference_error", "007")
    assert named["answer"] is None
