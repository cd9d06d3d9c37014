"""Predictions to a file or a stream, in the format that its name asks for: JSON, JSON Lines or Parquet."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from contract.errors import UsageError

FORMATS = ("json", "jsonl", "parquet")

PARQUET_SCHEMA = pa.schema(
    [
        ("row", pa.int64()),
        ("id", pa.string()),
        ("status", pa.string()),
        ("question", pa.string()),
        ("context", pa.string()),
        ("answer", pa.string()),
        ("start", pa.int64()),
        ("end", pa.int64()),
        ("score", pa.float64()),
        ("raw_score", pa.float64()),
        ("null_score", pa.float64()),
        ("flags", pa.list_(pa.string())),
        ("exact_match", pa.float64()),
        ("f1", pa.float64()),
        ("error_code", pa.string()),
        ("error_message", pa.string()),
        ("alternatives", pa.string()),  # JSON, as are the columns that were passed through: their types vary
        ("passthrough", pa.string()),
    ]
)


def format_of(path: Path, given: str | None) -> str:
    """The format that was asked for by flag, else by the file's ending. Raises UsageError."""
    name = given or path.suffix.lstrip(".").lower() or "json"
    name = {"ndjson": "jsonl", "pq": "parquet"}.get(name, name)
    if name not in FORMATS:
        raise UsageError(
            f"predictions cannot be written as {name!r}", "End the name in .json, .jsonl or .parquet, or give --format."
        )
    return name


def write_file(path: Path, lines: Iterable[bytes], kind: str) -> None:
    """Write predictions to a file that appears whole or not at all. A link stays one, a pipe or a device what it is."""
    if is_special(path):
        with _refused(path), path.open("wb") as file:
            write_stream(file, lines, kind)
        return
    path = path.resolve()
    staged = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with _refused(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with staged.open("wb") as file:
                write_stream(file, lines, kind)
            staged.replace(path)
    finally:
        with suppress(OSError):  # the folder may be read-only, or gone
            staged.unlink(missing_ok=True)


def is_special(path: Path) -> bool:
    """Whether that is a pipe or a device: nothing can be put in its place, nor beside it."""
    return path.exists() and not path.is_file() and not path.is_dir()


@contextmanager
def _refused(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror or error}",
            "The job keeps its predictions: producer results JOB -o ...",
        ) from error


def write_stream(file: BinaryIO, lines: Iterable[bytes], kind: str) -> None:
    if kind == "parquet":
        with pq.ParquetWriter(file, PARQUET_SCHEMA, compression="zstd") as writer:
            for block in lines:
                writer.write_table(_table(block))
        return
    for block in _document(lines) if kind == "json" else lines:
        file.write(block)


def _document(lines: Iterable[bytes]) -> Iterator[bytes]:
    """`{"predictions": [...]}`, one prediction a line."""
    yield b'{"predictions": [\n'
    between = b""
    for block in lines:
        yield between + block.rstrip(b"\n").replace(b"\n", b",\n")
        between = b",\n"
    yield b"\n]}\n"


def _table(block: bytes) -> pa.Table:
    return pa.Table.from_pylist([flat(json.loads(line)) for line in block.splitlines()], schema=PARQUET_SCHEMA)


def flat(prediction: dict[str, Any]) -> dict[str, Any]:
    """A prediction as a row of PARQUET_SCHEMA."""
    error = prediction.get("error") or {}
    nested = {
        name: json.dumps(prediction[name], ensure_ascii=False)
        for name in ("alternatives", "passthrough")
        if name in prediction
    }
    return prediction | {"error_code": error.get("code"), "error_message": error.get("message")} | nested
