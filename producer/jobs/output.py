"""Predictions to where they are asked for, in the format that its name says: JSON, JSON Lines or Parquet."""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from contract.errors import UsageError
from contract.format import layout
from contract.machine import is_stdin
from contract.storage import Storage
from producer.jobs.follow import ready_lines

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


def errors_beside(out: Path) -> Path:
    """Where the error rows of a job go whose predictions go to `out`: answers.json -> answers.errors.csv."""
    return out.with_name(f"{out.stem}.errors.csv")


def check_output(output: Path | None, kind: str | None, file: str | None = None, *, as_json: bool = False) -> None:
    """Complain about where predictions are to go before the work, not after it. Raises UsageError.

    `file` is the input, which nothing may be written over; `as_json`: stdout is taken by another document.
    """
    if output is None:
        return
    format_of(output, kind or ("json" if output == Path("-") else None))
    if output.is_dir():
        raise UsageError(f"-o {output} is a directory", "Name a file in it, for example answers.json.")
    if as_json and output == Path("-"):
        raise UsageError("--json and -o - both write to stdout", "Name a file for the predictions.")
    folder = next(parent for parent in output.absolute().parents if parent.exists())
    if output != Path("-") and not is_special(output) and not os.access(folder, os.W_OK):
        raise UsageError(f"-o {output}: {folder} cannot be written to", "Name another place, or - for stdout.")
    if file is None or output == Path("-"):
        return
    for written, what in ((output, "predictions"), (errors_beside(output), "error rows")):
        with suppress(OSError):  # what is not there is not written over
            if (is_stdin(written) if file == "-" else written.samefile(file)) and written.is_file():
                raise UsageError(f"-o {output}: the {what} would be written over the input", "Name another output.")


def write_results(
    storage: Storage, job: str, output: Path, kind: str | None, wait: Callable[[], bool] | None = None
) -> None:
    """Write the predictions of a job to a file, or to stdout for `-`, and beside a file the error rows.

    `wait` as for `ready_lines`. Raises UsageError where the file cannot be written.
    """
    kind = format_of(output, kind)
    lines = ready_lines(job, storage, wait=wait)
    if output == Path("-"):
        write_stream(sys.stdout.buffer, _flushed(lines), kind)
        sys.stdout.flush()
    else:
        write_file(output, lines, kind)
    while wait and wait():
        pass  # the last part is there, and what is published after it not yet
    if output != Path("-") and not is_special(output) and storage.exists(layout.errors(job)):
        write_file(errors_beside(output), storage.blocks(layout.errors(job)), "jsonl")


def _flushed(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The lines, each block of them shown to whoever reads stdout before the next is waited for."""
    for block in lines:
        yield block
        sys.stdout.flush()


def write_file(path: Path, lines: Iterable[bytes], kind: str) -> None:
    """Write predictions to a file that appears whole or not at all. A link stays one, a pipe or a device what it is."""
    if is_special(path):
        with _refused(path), path.open("wb") as file:
            write_stream(file, lines, kind)
        return
    path = path.resolve()
    staged = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")  # process ids of containers may be equal
    try:
        with _refused(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with staged.open("xb") as file:
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
    """Write predictions, given as JSON lines, in one of FORMATS."""
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
