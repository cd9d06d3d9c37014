"""Compressed input: the same rows as uncompressed; damage and bombs are refused."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import random
import tracemalloc
import zipfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

import pyarrow as pa
import pytest

from contract.errors import InputError
from contract.format import chunk
from contract.settings import Settings
from producer.input import unpack
from producer.input.open import open_input
from producer.input.options import ReadOptions
from producer.jobs.check import check_file

DICE = random.Random(1)
#: The same in every run: bzip2 gives data before its check sum, and one in eighty damaged files shows it by its header.
LINES = [b"%d|who is %s?|the context of %d\n" % (n, DICE.randbytes(20).hex().encode(), n) for n in range(14_000)]
DATA = b"id|question|context\n" + b"".join(LINES)
KINDS = ["gzip", "bzip2", "xz", "zstd", "lz4", "brotli"]


def pack(kind: str, data: bytes) -> bytes:
    if kind in ("gzip", "bzip2", "xz"):
        return {"gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress}[kind](data)
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, kind) as out:
        out.write(data)
    return sink.getvalue().to_pybytes()


@cache
def packed(kind: str) -> bytes:
    """DATA in it. Packing takes longer than reading."""
    return pack(kind, DATA)


def named(folder: Path, kind: str, data: bytes) -> Path:
    path = folder / ("in.csv.br" if kind == "brotli" else "in")
    path.write_bytes(data)
    return path


def rows(file: Path | io.BytesIO) -> list[tuple[str | None, str | None, int | None]]:
    with open_input(file) as source:
        rows_read = [row for table in source.tables(1000, 1 << 20) for row in chunk.rows(table)]
        if isinstance(file, Path):
            assert source.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
            assert source.bytes_read == file.stat().st_size
    return [(row.question, row.context, row.line) for row in rows_read]


@pytest.fixture(scope="module")
def expected() -> list[tuple[str | None, str | None, int | None]]:
    return rows(io.BytesIO(DATA))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_compressed_files_are_read_with_all_their_members(kind: str, expected: list, tmp_path: Path) -> None:
    for data in (packed(kind), pack(kind, DATA[:70_000]) + pack(kind, b"") + pack(kind, DATA[70_000:])):
        assert rows(named(tmp_path, kind, data)) == expected


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gzip", "bzip2", "xz"])
def test_zeros_behind_the_end_are_padding(kind: str, expected: list, tmp_path: Path) -> None:
    assert rows(named(tmp_path, kind, packed(kind) + bytes(512))) == expected


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_compressed_file_that_ends_early_is_truncated(kind: str, tmp_path: Path) -> None:
    whole = packed(kind)
    for data in (whole[:-1], whole[:-3000], whole[:9], whole + whole[:3000]):
        with pytest.raises(InputError, match=f"the {kind} file is truncated") as caught:
            rows(named(tmp_path, kind, data))
        assert caught.value.code == "unreadable"


def _longer(data: bytes) -> bytes:
    return data + b"tail of it"


def _altered(data: bytes) -> bytes:
    return data[:5000] + bytes(50) + data[5050:]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "damage"),
    [
        *((kind, _longer) for kind in KINDS),
        *((kind, _altered) for kind in KINDS if kind not in ("zstd", "lz4", "brotli")),  # no checksum unless asked for
    ],
)
def test_damage_is_never_taken_for_the_end(kind: str, damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"damaged {kind} file|{kind} file is truncated"):
        rows(named(tmp_path, kind, damage(packed(kind))))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_any_damage_gives_rows_or_an_input_error(kind: str, tmp_path: Path) -> None:
    dice = random.Random(kind)
    whole = pack(kind, DATA[:3000])
    for _ in range(200):
        data = bytearray(whole)
        for _ in range(dice.choice([1, 3])):
            data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        with suppress(InputError):
            assert rows(named(tmp_path, kind, bytes(data)))


@pytest.mark.slow
def test_the_first_bytes_of_a_stream_show_its_compression(expected: list) -> None:
    class Drip(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(min(size or 1, 100) if self.tell() > 20 else 1)

    for kind in KINDS[:-1]:
        assert rows(Drip(packed(kind))) == expected


@pytest.mark.slow
def test_a_failing_disk_is_reported_as_such() -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 20_000:
                raise OSError(5, "Input/output error")
            return super().read(10_000)

    for kind in KINDS[:-1]:
        with pytest.raises(InputError, match="input/output error") as caught:
            rows(Broken(packed(kind)))
        assert caught.value.remedy == "Check the disk or the pipe."


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bzip2", "xz", "zstd", "brotli", "lz4"])
def test_a_bomb_costs_no_memory_and_ends(kind: str, tmp_path: Path, settings: Settings) -> None:
    path = named(tmp_path, kind, pack(kind, b"question|context\nwho?|") + pack(kind, b"x" * (64 << 20)) * 6)
    tracemalloc.start()
    try:
        if kind != "lz4":
            with pytest.raises(InputError, match=f"an? {kind} bomb: .* 4000 times") as caught:
                check_file(str(path), ReadOptions(), settings)
            assert f"{kind} -dc FILE" in (caught.value.remedy or "")
        else:  # it makes at most 255 of one
            assert check_file(str(path), ReadOptions(), settings).codes == {"row_too_large": 1}
        assert tracemalloc.get_traced_memory()[1] < 24 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.slow
def test_xz_cannot_take_gigabytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpack, "_XZ_MEMORY", 1 << 20)
    with pytest.raises(InputError, match="takes more than 1 MiB") as caught:
        rows(named(tmp_path, "xz", packed("xz")))
    assert "xz -dc" in (caught.value.remedy or "")


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return sink.getvalue()


def test_a_zip_archive_of_one_file_is_that_file(expected: list, tmp_path: Path) -> None:
    left = ("__MACOSX/folder/._in.csv", "folder/.DS_Store", "folder/Thumbs.db", "Desktop.ini", "__MACOSX/._folder")
    data = zipped({"folder/": b"", "folder/in.csv": DATA} | dict.fromkeys(left, b"x"))
    assert rows(named(tmp_path, "zip", data)) == expected
    assert rows(named(tmp_path, "zip", zipped({"out/_SUCCESS": b"", "out/part-0.csv": DATA}))) == expected
    assert rows(named(tmp_path, "zip", zipped({"_data.csv": DATA}))) == expected
    assert rows(io.BytesIO(data)) == expected


SMALL = DATA[:70_000]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (zipped({"a.csv": SMALL, "b.csv": SMALL}), "a zip archive of 2 files"),
        (zipped({"[Content_Types].xml": b"", "xl/workbook.xml": b""}), "an Excel workbook"),
        (zipped({"[Content_Types].xml": b"", "word/document.xml": b""}), "an Office document"),
        (zipped({"a.csv": SMALL}, zipfile.ZIP_BZIP2), "in a rare way"),
        (zipped({"a.csv": SMALL})[:-10], "damaged zip file"),
        (zipped({"a.csv.gz": gzip.compress(SMALL)}), "gzip within zip"),
    ],
    ids=["two", "excel", "word", "bzip2", "cut", "gzip"],
)
def test_any_other_zip_archive_is_refused_with_its_reason(data: bytes, says: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        rows(named(tmp_path, "zip", data))
    assert says in caught.value.message
    assert caught.value.remedy
