"""Writing predictions to a file, a folder, stdout or an object store, in one of FORMATS."""

from __future__ import annotations

import io
import json
import re
import secrets
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import pyarrow.parquet as pq

from contract.errors import UsageError
from contract.format import csvfile, document
from contract.format.job import Manifest
from contract.ledger.progress import Progress
from contract.machine import is_stdin
from contract.remedy import Call, Remedy, Set
from producer.results import columns, folder, upload, workbook
from producer.results.typed import Shape, flattened

FORMATS = ("json", "jsonl", "csv", "parquet", "xlsx")
#: The scheme of a URL. A `Path` of s3://bucket/key has lost one slash.
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


def format_of(path: Path, kind: str | None) -> str:
    """The output format: `kind`, else as the file's name ends, else JSON. Raises UsageError."""
    name = kind or path.suffix.lstrip(".").lower() or "json"
    name = {"ndjson": "jsonl", "pq": "parquet"}.get(name, name)
    if name not in FORMATS:
        raise UsageError(
            f"predictions cannot be written as {name!r}",
            Remedy("End the name in .json, .jsonl, .csv, .parquet or .xlsx, or set ", Set("output_format"), "."),
        )
    return name


def errors_beside(output: Path) -> Path:
    """The file of error rows that belongs to an output: answers.errors.csv for answers.json, a file in a folder."""
    if output.is_dir():
        return output / folder.ERRORS
    return output.with_name(f"{output.stem}.errors.csv")


def check_output(
    output: Path | None, kind: str | None, file: str | None = None, *, as_json: bool = False, as_folder: bool = False
) -> None:
    """Check the output before the work starts, not after it. Raises UsageError.

    `file` is the input, which must not be overwritten; `as_json`: stdout is taken by another document; `as_folder`: the
    output is a folder of files.
    """
    if output is None:
        if as_folder:
            raise UsageError("a folder of files needs a name", Remedy("Name it: ", Set(output="DIR")))
        return
    if url := upload.url_of(output):
        if not as_folder:
            format_of(output, kind)
        upload.check(url, as_folder=as_folder)
        return
    if as_folder:
        folder.check(output, kind)
        return
    if output == Path("-"):
        format_of(output, kind or "json")
        if as_json:
            raise UsageError(
                "the predictions and the job's status both go to stdout", "Name a file for the predictions."
            )
        return
    if _URL.match(str(output)):
        raise UsageError(
            f"the output {output} is a URL that cannot be written to: only local files, s3://, gs:// and az:// can",
            "Name a file, and copy it. The job keeps its predictions in its storage, which may be in a cloud.",
        )
    format_of(output, kind)
    if output.is_dir():
        raise UsageError(f"the output {output} is a directory", "Name a file in it, for example answers.json.")
    if not is_special(output):
        _try_writing(output)
    if file is None:
        return
    for written, what in ((output, "predictions"), (errors_beside(output), "error rows")):
        with suppress(OSError):  # a file that doesn't exist is not overwritten
            if (is_stdin(written) if file == "-" else written.samefile(file)) and written.is_file():
                raise UsageError(f"the {what} would overwrite the input {written}", "Name another output.")


def _try_writing(output: Path) -> None:
    """Raise UsageError if no file of that name could be created; tries it with one beside it."""
    try:
        path = output.resolve()
        with suppress(FileNotFoundError):
            errors_beside(path).with_name(
                f".{errors_beside(path).name}.{'0' * 16}.tmp"
            ).lstat()  # the longest name that is needed
        parent = next(parent for parent in path.parents if parent.exists())
        with tempfile.TemporaryFile(dir=parent) as file:
            file.write(b"0")
    except (OSError, RuntimeError, ValueError) as error:  # a link to itself, a NUL byte
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"the output {output} cannot be written: {reason}", "Name another place, or - for stdout."
        ) from error


class ResultsBackend(Protocol):
    """The part of `producer.backend.protocol.Backend` that is used here."""

    def manifest(self, job: str) -> Manifest: ...  # noqa: D102

    def status(self, job: str, *, reason: bool = True) -> Progress: ...  # noqa: D102

    def columns(self, job: str) -> columns.InputColumns | None: ...  # noqa: D102

    def lines(self, job: str, *, wait: Callable[[], bool] | None = None) -> Iterator[bytes]: ...  # noqa: D102

    def errors(self, job: str) -> Iterator[bytes] | None: ...  # noqa: D102


def write_results(
    backend: ResultsBackend,
    job: str,
    output: Path,
    kind: str | None,
    wait: Callable[[], bool] | None = None,
    *,
    as_folder: bool = False,
) -> None:
    """Write the predictions of a job to a file, with the error rows beside it; to stdout for `-`; or to a folder.

    `wait` as for `ready_lines`. Raises UsageError if the output cannot be written.
    """
    if url := upload.url_of(output):
        with tempfile.TemporaryDirectory(prefix="bulkqa-") as scratch:
            write_results(backend, job, Path(scratch) / output.name, kind, wait, as_folder=as_folder)
            upload.put(url, Path(scratch))
        return
    if as_folder:
        _write_folder(backend, job, output, kind or "jsonl", wait)
        return
    kind = format_of(output, kind)
    shape = shape_of(backend, job, kind)
    lines = backend.lines(job, wait=wait)
    if output == Path("-"):
        write_stream(sys.stdout.buffer, _flushed(lines), kind, shape)
        sys.stdout.flush()
    else:
        write_file(output, lines, kind, shape)
    while wait and wait():
        pass  # all parts are there, but the error file is not published yet
    if output != Path("-") and not is_special(output) and (errors := backend.errors(job)) is not None:
        write_file(errors_beside(output), errors, "jsonl")


def _write_folder(backend: ResultsBackend, job: str, output: Path, kind: str, wait: Callable[[], bool] | None) -> None:
    shape = shape_of(backend, job, kind)

    def files() -> Iterator[tuple[str, Iterable[bytes]]]:
        for number, lines in enumerate(folder.cut(backend.lines(job, wait=wait))):
            yield f"part-{number:05d}.{kind}", written(lines, kind, shape)
        while wait and wait():
            pass  # as in `write_results`
        if (errors := backend.errors(job)) is not None:
            yield folder.ERRORS, errors

    ended = wait is not None or backend.status(job, reason=False).finished
    folder.write(output, files(), complete=ended)


def written(lines: Iterable[bytes], kind: str, shape: Shape | None = None) -> Iterator[bytes]:
    """Predictions, given as JSON lines, in one of FORMATS: a block for each of theirs, which alone is held in memory,
    and what comes before and after; a workbook by way of a file, so that one that cannot be is an error and no half.
    CSV, Parquet and workbooks need a `shape`."""
    if kind == "json":
        return document.write(lines)
    if kind == "jsonl":
        return iter(lines)
    assert shape is not None  # noqa: S101 - for the type checker: it would be a bug
    return {"csv": _csv, "parquet": _parquet, "xlsx": _xlsx}[kind](lines, shape)


def shape_of(backend: ResultsBackend, job: str, kind: str) -> Shape | None:
    """The columns of a job's predictions in a format, None if it has none. Raises UnknownJob, and BulkqaError if the
    types of the columns were altered."""
    return Shape(backend.manifest(job), backend.columns(job)) if kind in ("csv", "parquet", "xlsx") else None


def _flushed(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The same blocks; each is flushed to stdout before the next one is waited for."""
    for block in lines:
        yield block
        sys.stdout.flush()


def write_file(path: Path, lines: Iterable[bytes], kind: str, shape: Shape | None = None) -> None:
    """Write predictions to a file that appears whole or not at all. Links, pipes and devices stay what they are."""
    if is_special(path):
        with _refused(path), path.open("wb") as file:
            write_stream(file, lines, kind, shape)
        return
    path = path.resolve()
    staged = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")  # containers may share a process id
    try:
        with _refused(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with staged.open("xb") as file:
                write_stream(file, lines, kind, shape)
            staged.replace(path)
    finally:
        with suppress(OSError):  # the folder may be read-only or gone
            staged.unlink(missing_ok=True)


def is_special(path: Path) -> bool:
    """Whether that is a pipe or a device: it cannot be replaced, and has no place for files beside it."""
    return path.exists() and not path.is_file() and not path.is_dir()


@contextmanager
def _refused(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror or error}",
            Remedy("The job keeps its predictions: ", Call("results", "JOB"), " ", Set(output="FILE")),
        ) from error


def write_stream(file: BinaryIO, lines: Iterable[bytes], kind: str, shape: Shape | None = None) -> None:
    """Write predictions, given as JSON lines, in one of FORMATS. All but JSON and JSON Lines need a `shape`."""
    for block in written(lines, kind, shape):
        file.write(block)


class _Sink(io.RawIOBase):
    """A file that is taken away as it is written."""

    def __init__(self) -> None:
        self._blocks: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._blocks.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        """What was written since the last time."""
        blocks, self._blocks = self._blocks, []
        return b"".join(blocks)


def _parquet(lines: Iterable[bytes], shape: Shape) -> Iterator[bytes]:
    sink = _Sink()
    with pq.ParquetWriter(sink, shape.schema, compression="zstd") as writer:
        for block in lines:
            writer.write_table(shape.table([json.loads(line) for line in block.splitlines()]))
            yield sink.take()
    yield sink.take()


def _csv(lines: Iterable[bytes], shape: Shape) -> Iterator[bytes]:
    """In the delimiter of the input, like the error file beside it."""
    yield csvfile.encode([shape.schema.names], shape.delimiter)
    for block in lines:
        yield csvfile.encode((_cells(json.loads(line), shape) for line in block.splitlines()), shape.delimiter)


def _xlsx(lines: Iterable[bytes], shape: Shape) -> Iterator[bytes]:
    rows = (_cells(json.loads(line), shape) for block in lines for line in block.splitlines())
    with tempfile.TemporaryFile() as file:
        workbook.write(file, workbook.Sheet("predictions", shape.schema.names, rows))
        file.seek(0)
        yield from iter(lambda: file.read(1 << 18), b"")


def _cells(prediction: dict[str, Any], shape: Shape) -> list[Any]:
    row = flattened(prediction)
    passed = prediction.get("passthrough") or {}
    others = [passed.get(column.name) for column in shape.others] if shape.typed else [passed]
    return [_cell(value) for value in [*(row.get(name) for name in shape.core.names), *others]]


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, bool) else csvfile.cell(value)
