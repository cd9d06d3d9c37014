"""How much may come of a file that somebody else sent: its ratio, its rows, their bytes."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import re
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contract.errors import InputError
from contract.machine import path_anew
from contract.settings import Settings
from producer.input import detect
from producer.input.open import open_input
from producer.input.options import FREE, Limits, ReadOptions

HEADER = b"question|context\n"
#: Two MiB that compress to next to nothing: short rows, long rows, a row that is too large, no rows at all.
TEXTS = {
    "short": HEADER + b"a|b\n" * (FREE // 2),
    "long": HEADER + b"a|%s\n" % (b"b" * 2000) * (FREE // 1000),
    "large": HEADER + b"a|b\na|" + b"b" * (2 * FREE),
    "blank": HEADER + b"a|b\n" + b"\n" * (2 * FREE),
}


def arrow(kind: str) -> Callable[[bytes], bytes]:
    def packed(data: bytes) -> bytes:
        sink = pa.BufferOutputStream()
        with pa.CompressedOutputStream(sink, kind) as file:
            file.write(data)
        return sink.getvalue().to_pybytes()

    return packed


def zipped(data: bytes) -> bytes:
    with zipfile.ZipFile(sink := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("rows.csv", data)
    return sink.getvalue()


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zip": zipped,
    "zst": arrow("zstd"), "br": arrow("brotli"), "lz4": arrow("lz4"),
}  # fmt: skip
EIGHTY = Limits(ratio=80)


def read(path: Path, limits: Limits) -> int:
    """The rows that were given before the end, or before it was refused: that is an error, too."""
    rows = 0
    with open_input(str(path), ReadOptions(limits=limits)) as source:
        for table in source.tables(512, 1 << 20):
            rows += table.num_rows
            assert rows <= FREE // 32, "what comes is bounded before it has come"
    return rows


@pytest.mark.parametrize("kind", PACKED)
@pytest.mark.parametrize("text", TEXTS)
def test_a_packed_file_expands_to_so_much_and_no_more(text: str, kind: str, tmp_path: Path):
    (path := tmp_path / f"rows.csv.{kind}").write_bytes(PACKED[kind](TEXTS[text]))
    with pytest.raises(InputError) as refused:
        read(path, EIGHTY)
    error = refused.value
    stored = re.search(r"its ([\d,]+) bytes expand to over", error.message)
    assert stored
    assert 0 <= path.stat().st_size - int(stored[1].replace(",", "")) < 200  # what a zip has around its file
    assert "80 times" in error.message
    assert "unpacked" in str(error.remedy)
    assert "BULKQA_API_UPLOAD_RATIO" in str(error.remedy)


@pytest.mark.parametrize(("context", "count"), [("b" * 4000, 600), ("b" * (2 * FREE), 8), ("", 40_000)])
def test_parquet_expands_to_so_much_and_no_more(context: str, count: int, tmp_path: Path):
    """The same text in every row, stored once; rows that are too large; rows of nothing."""
    table = pa.table({"question": ["a?"] * count, "context": [context] * count})
    pq.write_table(table, path := tmp_path / "rows.parquet", compression="brotli", write_statistics=False)
    with pytest.raises(InputError, match=f"its {path.stat().st_size:,} bytes expand to over"):
        read(path, EIGHTY)


def test_a_workbook_expands_to_so_much_and_no_more(tmp_path: Path):
    book = pytest.importorskip("openpyxl").Workbook(write_only=True)
    sheet = book.create_sheet()
    sheet.append(["question", "context"])
    for _ in range(30_000):
        sheet.append(["a?", "b"])
    book.save(path := tmp_path / "rows.xlsx")
    with pytest.raises(InputError, match=f"its {path.stat().st_size:,} bytes expand to over"):
        read(path, Limits(ratio=10))


def test_a_mebibyte_may_come_of_anything(tmp_path: Path):
    (path := tmp_path / "rows.csv.gz").write_bytes(gzip.compress(HEADER + b"a|%s\n" % (b"b" * 1000) * 800))
    assert read(path, EIGHTY) == 800


@pytest.mark.parametrize("kind", ["xz", "br", "zst", "parquet"])
def test_hundreds_of_questions_about_each_long_document_are_usual(kind: str, tmp_path: Path):
    """Of what looks far back for repetitions; gzip does not, and makes less than a tenth of it."""
    dice = random.Random(1)
    words = ["".join(dice.choices("etaoinshrdlu", k=dice.randint(2, 9))) for _ in range(3000)]
    text = lambda count: " ".join(dice.choices(words, k=count))  # noqa: E731
    rows = [(text(9), document) for document in (text(8000), text(8000)) for _ in range(100)]
    path = tmp_path / f"rows.csv.{kind}"
    if kind == "parquet":
        columns = dict(zip(("question", "context"), zip(*rows, strict=True), strict=True))
        pq.write_table(pa.table(columns), path, compression="zstd")
    else:
        path.write_bytes(PACKED[kind](HEADER + "".join(f"{q}|{c}\n" for q, c in rows).encode()))
    assert sum(len(c) for _, c in rows) > 80 * path.stat().st_size, "or the test shows nothing"
    assert read(path, Limits(ratio=Settings().api_upload_ratio)) == 200


@pytest.mark.parametrize(
    ("limits", "message", "setting"),
    [
        (Limits(rows=1000), "more than 1,000 rows", "BULKQA_API_UPLOAD_ROWS"),
        (Limits(text=30_000), "more than 30,000 bytes of rows", "BULKQA_API_UPLOAD_TEXT"),
    ],
)
def test_rows_and_their_bytes_are_bounded(limits: Limits, message: str, setting: str, tmp_path: Path):
    (path := tmp_path / "rows.csv").write_bytes(HEADER + b"a?|b\n" * 1001)
    with pytest.raises(InputError, match=message) as refused:
        read(path, limits)
    assert setting in str(refused.value.remedy)
    assert read(path, Limits(rows=1001, text=200_000)) == 1001


def test_a_file_of_ones_own_has_no_such_limits(tmp_path: Path):
    (path := tmp_path / "rows.csv.gz").write_bytes(gzip.compress(TEXTS["long"]))
    assert read(path, ReadOptions().limits) == FREE // 1000


@pytest.mark.parametrize("anew", [path_anew, lambda _: None])
def test_a_copy_of_what_comes_through_a_pipe_has_no_name_where_it_needs_none(
    anew: Callable[[int], Path | None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """So none is left by a process that is killed."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(detect, "path_anew", anew)
    pq.write_table(pa.table({"question": ["a?"], "context": ["b"]}), file := io.BytesIO())
    with open_input(io.BytesIO(file.getvalue())) as source:
        assert bool(list(tmp_path.iterdir())) == (anew(0) is None)
        assert [table.num_rows for table in source.tables(10, 1 << 20)] == [1]
    assert list(tmp_path.iterdir()) == []
