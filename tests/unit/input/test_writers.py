"""Faults that files of real programs have shown (`tests.files`), and a sample of such files."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contract.settings import Settings
from producer.input.open import open_input
from producer.input.options import ReadOptions
from producer.jobs.check import check_file
from producer.jobs.submit import submit
from producer.request import Request
from tests.files.compare import expected
from tests.files.generate import compared_file, installed
from tests.making import submitted_rows
from tests.twins.storage import MemoryStorage

SEED, FILES, CHECKED = 15, 25, 5


def read(path: Path, **options: object) -> list[dict[str, object]]:
    with open_input(str(path), ReadOptions(**options)) as source:  # type: ignore[arg-type]
        return [row for table in source.tables(100, 1 << 20) for row in table.to_pylist()]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("name", ["line\nbreak", "a|b", 'a "b"'])
def test_a_name_in_quotes_may_hold_anything(name: str, end: str, tmp_path: Path) -> None:
    path = tmp_path / "input.csv"
    quoted = '"' + name.replace('"', '""') + '"'
    path.write_bytes(f"{quoted}|question|context{end}x|who?|me{end}".encode())
    (row,) = read(path)
    assert (row["question"], row["context"], row["passthrough"]) == ("who?", "me", {name: "x"})


def test_a_parquet_column_without_values_costs_its_rows_and_not_the_file(tmp_path: Path) -> None:
    pq.write_table(pa.table({"question": ["who?"], "context": pa.nulls(1)}), tmp_path / "input.parquet")
    assert [row["code"] for row in read(tmp_path / "input.parquet")] == ["missing_field"]


@pytest.mark.slow
@pytest.mark.parametrize("writer", installed())
def test_each_cell_is_the_writer_s_or_an_error(writer: str, tmp_path: Path, settings: Settings) -> None:
    """A sample of the files that `make files` compares; and `producer check` counts the same."""
    for number in range(FILES):
        held, outcome = compared_file(writer, SEED, number, tmp_path)
        assert not outcome.faults, (number, held.option)
        if number < CHECKED and outcome.refused is None:
            checked = check_file(str(held.path), held.read, settings)
            assert (checked.rows, checked.rejected) == (held.table.rows, outcome.errors.total())


@pytest.mark.parametrize("writer", ["pandas csv", "spark folder", "python json", "arrow parquet"])
def test_a_job_holds_what_the_writer_held(writer: str, tmp_path: Path, settings: Settings) -> None:
    """The same through `submit`: from the file to the rows that a worker gets."""
    for number in range(CHECKED):
        held, outcome = compared_file(writer, SEED, number, tmp_path)
        if outcome.refused is not None:
            continue
        storage = MemoryStorage()
        manifest = submit(held.path, storage, settings, Request(read=held.read)).manifest
        rows = submitted_rows(storage, manifest.id)
        assert len(rows) == held.table.rows
        for row in rows:
            wanted = expected(held, row.row)
            assert row.error or (row.id, row.question, row.context) == (
                wanted["id"], wanted["question"], wanted["context"],
            )  # fmt: skip
