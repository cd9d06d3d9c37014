"""Excel workbooks: a sheet is read as a CSV of it would be. Skipped without openpyxl."""

from __future__ import annotations

import datetime
import sys
import zipfile
from pathlib import Path

import pytest

from contract.errors import InputError
from contract.remedy import Remedy
from producer.input.open import Input, open_input
from producer.input.options import ReadOptions

openpyxl = pytest.importorskip("openpyxl", reason="needs the extra [excel]")


def read(path: Path, memory: int = 384 << 20, **options: object) -> tuple[list[dict[str, object]], Input]:
    with open_input(path, ReadOptions(**options), memory) as source:  # type: ignore[arg-type]
        return [row for table in source.tables(100, 1 << 20) for row in table.to_pylist()], source


def workbook(path: Path, **sheets: list[list[object]]) -> Path:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


ROWS = [["id", "question", "context", "n"], [1, "who?", "me"], [], [2.0, None, "me", True], [3, "who?", "you", 1.5]]


def test_each_row_has_the_number_of_its_row_in_the_sheet(tmp_path: Path) -> None:
    rows, source = read(workbook(tmp_path / "a.xlsx", first=ROWS))
    assert [(row["line"], row["id"], row["code"], row["passthrough"]) for row in rows] == [
        (2, "1", None, {"n": None}), (4, "2", "missing_field", {"n": "TRUE"}), (5, "3", None, {"n": "1.5"}),
    ]  # fmt: skip
    assert (source.format, source.columns) == ("xlsx", ("id", "question", "context", "n"))


def test_dates_are_iso_8601_and_cells_behind_the_header_are_errors(tmp_path: Path) -> None:
    day = datetime.datetime(2024, 2, 3, 4, 5, tzinfo=None)  # noqa: DTZ001 - Excel knows no zones
    rows, _ = read(workbook(tmp_path / "a.xlsx", first=[["question", "context", "day"], ["q", "c", day, None, "x"]]))
    assert rows[0]["code"] == "extra_field"
    assert rows[0]["passthrough"] == {"day": "2024-02-03T04:05:00"}


def test_a_title_above_the_header_is_passed_over(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", first=[["Open questions"], [], ["Made by", "ops"], *ROWS])
    for options in ({}, {"skip_lines": 3}):
        rows, source = read(path, **options)
        assert [(row["line"], row["id"]) for row in rows] == [(5, "1"), (7, "2"), (8, "3")]
        assert [note.partition(": ")[2] for note in source.notes] == (
            [] if options else ["2 lines above the header were skipped"]
        )


@pytest.mark.parametrize("sheet", ["second", "2"])
def test_a_sheet_is_read_by_name_or_number(sheet: str, tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", first=[["notes"], ["read me"]], second=ROWS)
    assert len(read(path, sheet=sheet)[0]) == 3
    with pytest.raises(InputError, match="columns: --sheet second"):
        read(path)
    with pytest.raises(InputError, match=r"there is no sheet 'third'\. Sheets found: 'first', 'second'"):
        read(path, sheet="third")


def test_the_remedy_is_a_sheet_with_the_columns_or_names_the_others(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", first=[["query", "text"], ["q", "c"]], notes=[["x"]], second=[[], *ROWS])
    with pytest.raises(InputError) as caught:
        read(path)
    assert isinstance(caught.value.remedy, Remedy)
    assert caught.value.remedy.settings == {"sheet": "second"}
    assert len(read(path, **caught.value.remedy.settings)[0]) == 3
    path = workbook(tmp_path / "b.xlsx", first=[["query", "text"], ["q", "c"]], notes=[["x"]])
    with pytest.raises(InputError) as caught:
        read(path)
    assert str(caught.value.remedy) == (
        "Name them: --question query --context text. Or read another sheet with --sheet: 'notes'"
    )


def changed(path: Path, name: str, old: bytes, new: bytes) -> Path:
    """A workbook with something else in one of its files."""
    with zipfile.ZipFile(path) as archive:
        files = {each: archive.read(each) for each in archive.namelist()}
    assert old in files[name]
    files[name] = files[name].replace(old, new)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for each, data in files.items():
            archive.writestr(each, data)
    return path


def test_the_size_that_a_sheet_claims_is_ignored(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", first=ROWS)
    assert len(read(changed(path, "xl/worksheets/sheet1.xml", b'ref="A1:D5"', b'ref="A1:B2"'))[0]) == 3


@pytest.mark.slow
def test_a_row_beyond_the_last_possible_is_damage(tmp_path: Path) -> None:
    path = changed(workbook(tmp_path / "a.xlsx", first=ROWS), "xl/worksheets/sheet1.xml", b'r="5"', b'r="999999999"')
    with pytest.raises(InputError, match="damaged: more than 1,048,576 rows"):
        read(path)


@pytest.mark.parametrize("part", ["xl/workbook.xml", "xl/worksheets/sheet1.xml"])
def test_a_damaged_workbook_is_refused(part: str, tmp_path: Path) -> None:
    path = changed(workbook(tmp_path / "a.xlsx", first=ROWS), part, b"<", b"<<")
    with pytest.raises(InputError, match="an Excel workbook that is damaged"):
        read(path)


@pytest.mark.slow
def test_a_text_that_does_not_fit_refuses_the_workbook(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", first=ROWS)
    changed(path, "xl/worksheets/sheet1.xml", b"<t>you</t>", b"<t>" + b"x" * (80 << 20) + b"</t>")
    with pytest.raises(InputError, match="does not fit into 32 MiB of memory"):
        read(path, memory=32 << 20)


def test_without_openpyxl_the_remedy_is_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(InputError, match=r"pip install 'bulkqa\[excel\]'"):
        read(workbook(tmp_path / "a.xlsx", first=ROWS))
