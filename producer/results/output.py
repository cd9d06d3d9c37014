"""Writing predictions to a file, a folder, stdout or an object store, in one of FORMATS."""

from __future__ import annotations

import io
import json
import re
import secrets
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from contract.errors import UsageError
from contract.format import csvfile, document
from contract.format.job import Manifest
from contract.ledger.progress import Progress
from contract.machine import is_stdin
from contract.remedy import Call, Remedy, Set
from producer.results import columns, folder, groups, upload, workbook
from producer.results.documents import marked, wide
from producer.results.documents.wide import Wide
from producer.results.pages import Side, matching
from producer.results.typed import Core, Shape, core, probable

FORMATS = ("json", "jsonl", "csv", "parquet", "xlsx")
#: A folder of web pages, one a document.
PAGES = "html"
_OF_COLUMNS = ("csv", "parquet", "xlsx")
#: What a line of the output is for: a row of the input, a group of rows, a question asked of all documents (which is a
#: group as well), or a document with all of its answers.
By = Literal["row", "group", "question", "document"]
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


class Table(Protocol):
    """Columns in which JSON records can be written."""

    delimiter: str
    schema: Any  #: of Arrow

    def table(self, records: list[dict[str, Any]], /) -> pa.Table: ...  # noqa: D102

    def cells(self, record: dict[str, Any], /) -> list[Any]: ...  # noqa: D102


class Calibration(Protocol):
    """What gives each answer the probability that it is right."""

    @property
    def sha256(self) -> str: ...  # noqa: D102

    def lines(self, blocks: Iterable[bytes], /) -> Iterator[bytes]: ...  # noqa: D102


class ResultsBackend(Protocol):
    """The part of `producer.backend.protocol.Backend` that is used here."""

    def manifest(self, job: str) -> Manifest: ...  # noqa: D102

    def status(self, job: str, *, reason: bool = True) -> Progress: ...  # noqa: D102

    def columns(self, job: str) -> columns.InputColumns | None: ...  # noqa: D102

    def lines(self, job: str, *, wait: Callable[[], bool] | None = None) -> Iterator[bytes]: ...  # noqa: D102

    def groups(self, job: str) -> Iterator[bytes]: ...  # noqa: D102

    def errors(self, job: str) -> Iterator[bytes] | None: ...  # noqa: D102

    def text(self, job: str, document: int) -> str | None: ...  # noqa: D102


def write_results(
    backend: ResultsBackend,
    job: str,
    output: Path,
    kind: str | None,
    wait: Callable[[], bool] | None = None,
    *,
    as_folder: bool = False,
    by: By = "row",
    side: Side | None = None,
    calibration: Calibration | None = None,
) -> None:
    """Write the predictions of a job to a file, with the error rows beside it; to stdout for `-`; or to a folder.

    `by`, `side` and `calibration` as for `view`, `wait` as for `ready_lines`. Raises UsageError if the output cannot be
    written.
    """
    options: dict[str, Any] = {"by": by, "wait": wait, "side": side, "calibration": calibration}
    if url := upload.url_of(output):
        with tempfile.TemporaryDirectory(prefix="bulkqa-") as scratch:
            write_results(backend, job, Path(scratch) / output.name, kind, as_folder=as_folder, **options)
            upload.put(url, Path(scratch))
        return
    if as_folder:
        if kind == PAGES:
            files = _pages(view(backend, job, "jsonl", "document", wait).lines, backend, job)
        else:
            files = _files(view(backend, job, kind or "jsonl", **options), backend, job, kind or "jsonl", wait)
        ended = wait is not None or backend.status(job, reason=False).finished
        folder.write(output, files, complete=ended and kind != PAGES)
        return
    kind = format_of(output, kind)
    viewed = view(backend, job, kind, **options)
    if output == Path("-"):
        write_stream(sys.stdout.buffer, _flushed(viewed.lines), kind, viewed.shape, viewed.listed, viewed.about)
        sys.stdout.flush()
    else:
        write_file(output, viewed.lines, kind, viewed.shape, viewed.listed, viewed.about)
    while wait and wait():
        pass  # all parts are there, but the error file is not published yet
    if output != Path("-") and not is_special(output) and (errors := backend.errors(job)) is not None:
        write_file(errors_beside(output), errors, "jsonl")


def _files(
    viewed: View, backend: ResultsBackend, job: str, kind: str, wait: Callable[[], bool] | None
) -> Iterator[tuple[str, Iterable[bytes]]]:
    """The files of a folder."""
    for number, lines in enumerate(folder.cut(viewed.lines)):
        yield f"part-{number:05d}.{kind}", written(lines, kind, viewed.shape)
    while wait and wait():
        pass  # as in `write_results`
    if (errors := backend.errors(job)) is not None:
        yield folder.ERRORS, errors


def _pages(lines: Iterable[bytes], backend: ResultsBackend, job: str) -> Iterator[tuple[str, Iterable[bytes]]]:
    """The pages of documents, given a line each."""
    documents = (json.loads(line) for block in lines for line in block.splitlines())
    for name, page in marked.pages(documents, partial(backend.text, job)):
        yield name, [page.encode()]


def written(
    lines: Iterable[bytes],
    kind: str,
    shape: Table | None = None,
    listed: document.Kind = "predictions",
    about: Mapping[str, Any] | None = None,
) -> Iterator[bytes]:
    """Predictions, or what else is `listed`, given as JSON lines, in one of FORMATS: a block for each of theirs, which
    alone is held in memory, and what comes before and after; a workbook by way of a file, so that one that cannot be is
    an error and no half. CSV, Parquet and workbooks need a `shape`; what is `about` them is in JSON alone."""
    if kind == "json":
        return document.write(lines, listed, about)
    if kind == "jsonl":
        return iter(lines)
    assert shape is not None  # noqa: S101 - for the type checker: it would be a bug
    if kind == "xlsx":
        return _xlsx(lines, shape, listed)
    return {"csv": _csv, "parquet": _parquet}[kind](lines, shape)


def shape_of(backend: ResultsBackend, job: str, kind: str, core: Core = core) -> Shape | None:
    """The columns of a job's predictions, or of what else has the columns `core`, in a format; None if it has none.
    Raises UnknownJob, and BulkqaError if the types of the columns were altered."""
    return Shape(backend.manifest(job), backend.columns(job), core) if kind in _OF_COLUMNS else None


class View(NamedTuple):
    """What is written of a job."""

    lines: Iterator[bytes]  #: in blocks of whole JSON lines
    listed: document.Kind  #: what a line is
    shape: Table | None  #: the columns, in a format that has any
    about: Mapping[str, Any] | None = None  #: before the lines, in JSON


def view(
    backend: ResultsBackend,
    job: str,
    kind: str,
    by: By = "row",
    wait: Callable[[], bool] | None = None,
    side: Side | None = None,
    calibration: Calibration | None = None,
) -> View:
    """The predictions of a job, its groups, or one line per document, in a format. `wait` as for `ready_lines`; of
    predictions only those of a `side`, with their probabilities by a `calibration`. Raises UsageError if the job has no
    groups, or no documents, and as `shape_of` does."""
    if by == "row":
        lines = backend.lines(job, wait=wait)
        lines = matching(lines, side) if side else lines
        if calibration is None:
            return View(lines, "predictions", shape_of(backend, job, kind))
        about = {"calibration": calibration.sha256}
        return View(calibration.lines(lines), "predictions", shape_of(backend, job, kind, probable), about)
    if by != "group":
        questions = wide.check(backend.manifest(job))
    if by != "document":
        groups.check(backend.manifest(job))
        while wait and wait():
            pass  # groups are published at the end
        return View(backend.groups(job), "groups", shape_of(backend, job, kind, groups.group_core))
    texts, lines = wide.questions(backend.lines(job, wait=wait), questions)
    return View(wide.documents(lines, questions), "documents", Wide(texts) if kind in _OF_COLUMNS else None)


def _flushed(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The same blocks; each is flushed to stdout before the next one is waited for."""
    for block in lines:
        yield block
        sys.stdout.flush()


def write_file(
    path: Path,
    lines: Iterable[bytes],
    kind: str,
    shape: Table | None = None,
    listed: document.Kind = "predictions",
    about: Mapping[str, Any] | None = None,
) -> None:
    """Write predictions, or what else is `listed`, to a file that appears whole or not at all. Links, pipes and devices
    stay what they are."""
    if is_special(path):
        with _refused(path), path.open("wb") as file:
            write_stream(file, lines, kind, shape, listed, about)
        return
    path = path.resolve()
    staged = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")  # containers may share a process id
    try:
        with _refused(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with staged.open("xb") as file:
                write_stream(file, lines, kind, shape, listed, about)
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


def write_stream(
    file: BinaryIO,
    lines: Iterable[bytes],
    kind: str,
    shape: Table | None = None,
    listed: document.Kind = "predictions",
    about: Mapping[str, Any] | None = None,
) -> None:
    """Write predictions, or what else is `listed`, given as JSON lines, in one of FORMATS. All but JSON and JSON Lines
    need a `shape`."""
    for block in written(lines, kind, shape, listed, about):
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


def _parquet(lines: Iterable[bytes], shape: Table) -> Iterator[bytes]:
    sink = _Sink()
    with pq.ParquetWriter(sink, shape.schema, compression="zstd") as writer:
        for block in lines:
            writer.write_table(shape.table([json.loads(line) for line in block.splitlines()]))
            yield sink.take()
    yield sink.take()


def _csv(lines: Iterable[bytes], shape: Table) -> Iterator[bytes]:
    """In the delimiter of the input, like the error file beside it."""
    yield csvfile.encode([shape.schema.names], shape.delimiter)
    for block in lines:
        yield csvfile.encode((shape.cells(json.loads(line)) for line in block.splitlines()), shape.delimiter)


def _xlsx(lines: Iterable[bytes], shape: Table, listed: document.Kind) -> Iterator[bytes]:
    records = (json.loads(line) for block in lines for line in block.splitlines())
    with ExitStack() as resources:
        file = resources.enter_context(tempfile.TemporaryFile())
        if isinstance(shape, Wide):
            workbook.write(file, *wide.sheets(records, shape, resources.enter_context(tempfile.TemporaryFile())))
        else:
            workbook.write(file, workbook.Sheet(listed, shape.schema.names, map(shape.cells, records)))
        file.seek(0)
        yield from iter(lambda: file.read(1 << 18), b"")
