"""Damaged and hostile input files for tests, and the promises that hold for reading any of them."""

from __future__ import annotations

import gzip
import io
import json
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from contract.errors import InputError
from contract.format import layout
from contract.settings import Settings
from producer.input.options import ReadOptions
from producer.jobs.check import check_file
from producer.jobs.submit import submit
from producer.request import Request
from tests.making import csv, submitted_rows
from tests.twins.storage import MemoryStorage

_PIECES = (
    b'"', b"|", b"\n", b"\r\n", b"\r", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b'""', b"\xed\xa0\x80", b",", b"\x1a",
)  # fmt: skip


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


def jsonl(dice: random.Random) -> bytes:
    lines = []
    for n in range(dice.randrange(0, 12)):
        row = {
            "id": n,
            "question": f"q{n}?",
            "context": dice.choice(["", None, f"word {n}", "c" * 5000]),
            "t": {"a": [n]},
        }
        lines.append(json.dumps(row, ensure_ascii=dice.random() < 0.5, indent=1 if dice.random() < 0.05 else None))
    return "\n".join(lines).encode()


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
    """A damaged file: Parquet, CSV, or CSV within gzip."""
    kind = dice.randrange(10)
    if kind < 4:
        return damaged(parquet(dice), dice)
    data = damaged(csv(dice.randrange(0, 12), bad=(1,)), dice)
    if kind == 4:
        return damaged(gzip.compress(data, mtime=0), dice)
    return data


def keeps_promises(path: Path, settings: Settings) -> str:
    """Read a file by check and by submit. Returns how it ended: "rows", "rows with errors", or the code of the error.

    Raises AssertionError for a broken promise, and any error that is not an InputError.
    """
    storage, read = MemoryStorage(), ReadOptions(max_row_bytes=4096)
    outcome: object
    try:
        checked = check_file(str(path), read, settings)
        outcome = (checked.rows, checked.rejected, checked.chunks, checked.sha256)
    except InputError as error:
        outcome = (error.code, error.message, error.remedy)
    refused: InputError | None = None
    try:
        manifest = submit(path, storage, settings, Request(read=read)).manifest
    except InputError as error:
        refused = error
    if refused:
        assert outcome == (refused.code, refused.message, refused.remedy)
        assert refused.remedy
        assert "not enough memory" not in refused.message
        assert storage.list(layout.JOBS) == []
        return refused.code
    assert outcome == (manifest.rows, manifest.rejected, manifest.chunks, manifest.source.sha256)
    rows = submitted_rows(storage, manifest.id)
    assert [row.row for row in rows] == list(range(manifest.rows))
    assert sum(row.error is not None for row in rows) == manifest.rejected
    assert all(row.error or (row.question and row.context) for row in rows)
    return "rows with errors" if manifest.rejected else "rows"
