"""INT96, the timestamps of Impala, Hive and older Spark, come as what they are: any year, or nanoseconds."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from producer.input.open import open_input
from tests.unit.input.test_rows import read

#: 9999-12-31, 0001-01-01 and 2024-02-29 12:30 in microseconds.
DAYS = [253_402_214_400_000_000, -62_135_596_800_000_000, 1_709_209_800_000_000]
TEXTS = ["9999-12-31T00:00:00.000000", "0001-01-01T00:00:00.000000", "2024-02-29T12:30:00.000000"]


def int96(times: pa.Array) -> io.BytesIO:
    count = len(times)
    table = pa.table({"question": ["q"] * count, "context": ["c"] * count, "valid_to": times})
    file = io.BytesIO()
    pq.write_table(table, file, use_deprecated_int96_timestamps=True)
    assert pq.ParquetFile(file).schema.column(2).physical_type == "INT96"
    file.seek(0)
    return file


def test_int96_of_any_year_is_that_year() -> None:
    file = int96(pa.array([*DAYS, None], pa.timestamp("us")))
    assert [row.passthrough["valid_to"] for row in read(file.getvalue())] == [*TEXTS, None]
    with open_input(file) as source:
        assert source.types.field("valid_to").type == pa.timestamp("us")


def test_files_of_which_one_has_a_far_year_are_one_input(tmp_path: Path) -> None:
    for number, times in enumerate((DAYS[2:], DAYS[:1], DAYS[2:])):
        (tmp_path / f"part-{number}.parquet").write_bytes(int96(pa.array(times, pa.timestamp("us"))).getvalue())
    with open_input(tmp_path) as source:
        cells = [row["passthrough"]["valid_to"] for table in source.tables(9, 1 << 20) for row in table.to_pylist()]
        assert source.types.field("valid_to").type == pa.timestamp("us")
    assert [cell[:19] for cell in cells] == ["2024-02-29T12:30:00", "9999-12-31T00:00:00", "2024-02-29T12:30:00"]


@pytest.mark.parametrize("nested", [False, True])
def test_int96_with_nanoseconds_keeps_them(nested: bool) -> None:
    times = pa.array([1_709_209_800_000_000_001, None], pa.timestamp("ns"))
    file = int96(pa.ListArray.from_arrays([0, 1, 2], times) if nested else times)
    cells = [row.passthrough["valid_to"] for row in read(file.getvalue())]
    text = "2024-02-29T12:30:00.000000001"
    assert cells == ([[text], [None]] if nested else [text, None])
