"""A thousand damaged files, by seed: no traceback, accepted + rejected = rows, and `check` says what submit does."""

from __future__ import annotations

import gzip
import io
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contract import layout, records
from contract.errors import InputError
from contract.settings import Settings
from contract.storage import MemoryStorage
from producer.check import check_file
from producer.reader import ReadOptions
from producer.submit import Request, submit
from tests.making import csv

BATCHES = 12
FILES = 100
_PIECES = (
    b'"',
    b"|",
    b"\n",
    b"\r\n",
    b"\r",
    b"\0",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b'""',
    b"\xed\xa0\x80",
    b",",
    b"\x1a",
)


def parquet(dice: random.Random) -> bytes:
    rows = dice.randrange(0, 12)
    columns = {
        "id": pa.array([dice.choice([None, "a", f"id{n}"]) for n in range(rows)], pa.string()),
        "question": pa.array([dice.choice([None, "", f"q{n}?"]) for n in range(rows)], pa.string()),
        "context": pa.array([dice.choice([None, "c" * 5000, f"word {n}"]) for n in range(rows)], pa.string()),
        "extra": dice.choice(
            [
                pa.array([{"a": [n]} for n in range(rows)], pa.struct([("a", pa.list_(pa.int64()))])),
                pa.array([float("nan")] * rows, pa.float64()),
                pa.array([b"\xff"] * rows, pa.binary()),
                pa.array([dice.randrange(-(2**62), 2**62) for _ in range(rows)], pa.timestamp("ns")),
                pa.array(["x"] * rows).dictionary_encode(),
            ]
        ),
    }
    if dice.random() < 0.1:
        del columns[dice.choice(list(columns))]
    sink = io.BytesIO()
    compression = dice.choice(["none", "snappy", "zstd"])
    pq.write_table(pa.table(columns), sink, compression=compression, row_group_size=dice.choice([1, 5, 100]))
    return sink.getvalue()


def damaged(data: bytes, dice: random.Random) -> bytes:
    for _ in range(dice.choice([0, 1, 1, 2, 5])):
        place = dice.randrange(len(data) + 1)
        kind = dice.randrange(5)
        if kind == 0:
            data = data[:place] + dice.choice(_PIECES) + data[place:]
        elif kind == 1:
            data = data[:place]
        elif kind == 2:
            data = data[:place] + bytes([dice.randrange(256)]) + data[place + 1 :]
        elif kind == 3:
            data = data[:place] + data[place + dice.randrange(1, 40) :]
        else:
            data = data[:place] + data[place // 2 : place] + data[place:]
    return data


def made(dice: random.Random) -> bytes:
    kind = dice.randrange(10)
    if kind < 4:
        return damaged(parquet(dice), dice)
    data = damaged(csv(dice.randrange(0, 12), bad=(1,)), dice)
    if kind == 4:
        return damaged(gzip.compress(data), dice)
    return data


@pytest.mark.parametrize("seed", range(BATCHES))
def test_a_damaged_file_is_read_or_refused_and_check_agrees_with_submit(seed: int, tmp_path: Path, settings: Settings):
    dice = random.Random(seed)
    path = tmp_path / "input"
    remedies: set[str | None] = set()
    for number in range(FILES):
        path.write_bytes(made(dice))
        storage, read = MemoryStorage(), ReadOptions(max_row_bytes=4096)
        told: object
        try:
            found = check_file(str(path), read, settings)
            told = (found.rows, found.rejected, found.chunks, found.sha256)
        except InputError as error:
            told = (error.code, error.message)
            remedies.add(error.remedy)
        try:
            manifest = submit(path, storage, settings, Request(read=read)).manifest
        except InputError as error:
            refused: object = (error.code, error.message)
            left = storage.list(layout.JOBS)
        else:
            refused = None
        if refused:
            assert (told, left) == (refused, []), (seed, number)
            continue
        assert told == (manifest.rows, manifest.rejected, manifest.chunks, manifest.source.sha256), (seed, number)
        index = records.load_index(storage, manifest)
        rows = [row for n in range(manifest.chunks) for row in records.load_rows(storage, manifest, index, n)]
        assert [row.row for row in rows] == list(range(manifest.rows)), (seed, number)
        assert sum(row.error is not None for row in rows) == manifest.rejected
        assert all(row.error or (row.question and row.context) for row in rows), (seed, number)
    assert None not in remedies


def test_a_gzip_bomb_costs_no_memory(tmp_path: Path, settings: Settings):
    """256 MiB of one line in 256 KiB: a row that is too large, and little is held."""
    import tracemalloc

    path = tmp_path / "bomb.csv.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(b"question|context\nwho?|someone\nwho?|")
        for _ in range(256):
            file.write(b"x" * (1 << 20))
        file.write(b"\nwho?|me\n")
    tracemalloc.start()
    try:
        found = check_file(str(path), ReadOptions(), settings)
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()
    assert (found.rows, found.codes) == (3, {"row_too_large": 1})
