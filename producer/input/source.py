"""A file of questions and contexts into tables in the schema of a job's chunks: every row, checked, in order.

Tells the format by content (CSV or JSON Lines, either of them compressed, or Parquet), and refuses with a remedy what
cannot be read as a whole. A row that cannot be scored is a row of a table all the same, with a code, a message and what
could be read of it. Memory is bounded by the row and the table, not by the file.

`stored` gives bytes, `unpack` what compressed ones stand for, `csv`, `jsonl` and `parquet` make records of them
(Parquet in bounded `memory`), `columns` says which field is what, and `rows` checks and cuts. Writing chunks is not
covered.
"""

from __future__ import annotations

import codecs
import csv
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contract.errors import BulkqaError, InputError, UsageError
from contract.format import chunk
from producer.input.blocks import Block
from producer.input.columns import OURS, Names, no_column, refuse_wide
from producer.input.csv import Batch, CsvRecords, Fault, Lines, split_header
from producer.input.jsonl import JsonKeys, json_batches, keys_of, one_line_if_one_object, sample
from producer.input.memory import DEFAULT as READ_MEMORY
from producer.input.memory import Bound
from producer.input.parquet import Columns, ParquetRecords, json_type
from producer.input.rows import Checker, Column, Rows, bounded, strings
from producer.input.stored import Stored, bad_encoding, reason, refuse_foreign, unsupported
from producer.input.unpack import compression, unpacked, unzipped

FORMATS = ("csv", "parquet", "jsonl")

_SPELLED = {"\\t": "\t", "tab": "\t"}  # a tab as it is written where a shell makes it hard
_DELIMITERS = {",": "','", ";": "';'", "\t": "'\\t'", "|": "'|'"}
_WRONG_FILE = "Is it the right file?"


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How a file is to be read."""

    question: str = "question"
    context: str = "context"
    id: str | None = None  #: None: the column "id" if there is one; "": no id column
    answers: str | None = None  #: reference answers: None: the column "answers" if there is one; "": none
    delimiter: str = "|"
    max_row_bytes: int = 1 << 20  #: with its line end; a row of more is rejected
    format: str | None = None  #: csv, parquet or jsonl; None: told by content


class Source:
    """An input under way, made by `open_source`. Its tables can be read once.

    `columns` are those of the input without ours; of JSON Lines, the keys of the first lines. A pipe has no `size`.
    """

    def __init__(self, stored: Stored, resources: ExitStack, found: _Found) -> None:
        self.name = stored.name
        self.size = stored.size
        self.format = found.format
        self.columns = found.names.columns
        self.id_column = found.names.id
        self.answers_column = found.names.answers
        self.delimiter = found.delimiter
        self.schema = found.schema
        self.types = found.types
        self._stored = stored
        self._resources = resources
        self._tables: Iterator[pa.Table] | None = found.tables
        self._progress = found.progress
        self._sha256: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._resources.close()

    @property
    def bytes_read(self) -> int:
        """How much of the input was read, as it is stored: compressed, if it is."""
        if self._progress is None or self._sha256 is not None or self.size is None:
            return self._stored.bytes_read
        return int(self.size * self._progress())

    @property
    def sha256(self) -> str:
        """Of the input as it is stored, once all tables were read."""
        if self._sha256 is None:
            raise BulkqaError("the digest of an input was asked for before its end was read; this is a bug")
        return self._sha256

    def tables(self, max_rows: int, max_bytes: int) -> Iterator[pa.Table]:
        """All rows in order, in tables bounded by both; a row of more than `max_bytes` is a table of its own.

        Raises InputError if the input turns out to be damaged after rows were given.
        """
        if max_rows < 1 or max_bytes < 1:
            raise UsageError(f"a chunk must hold at least one row and one byte, not {max_rows} and {max_bytes}")
        if self._tables is None:
            raise BulkqaError("an input was read twice; this is a bug")
        tables, self._tables = self._tables, None
        return self._bounded(tables, max_rows, max_bytes)

    def _bounded(self, tables: Iterator[pa.Table], max_rows: int, max_bytes: int) -> Iterator[pa.Table]:
        yield from bounded(tables, max_rows, max_bytes)
        self._sha256 = self._stored.finish()


def open_source(file: str | Path | BinaryIO, options: ReadOptions | None = None, memory: int = READ_MEMORY) -> Source:
    """Open a file, or standard input for "-", and read as much of it as tells whether it can be read.

    Decoding takes at most `memory` bytes. Raises InputError where the file cannot be read as a whole.
    """
    options = _checked(options or ReadOptions())
    resources = ExitStack()
    try:
        stored = Stored(file, resources)
        found = _Opening(stored, options, resources, memory).found()
        first = next(found.tables, None)
        if first is None:
            what = "the file is empty" if found.format == "jsonl" else "a header and no rows"
            raise InputError("empty_file", f"{stored.label}: {what}", _WRONG_FILE)
        found.tables = chain([first], found.tables)
        return Source(stored, resources, found)
    except BaseException:
        resources.close()
        raise


def _checked(options: ReadOptions) -> ReadOptions:
    delimiter = _SPELLED.get(options.delimiter, options.delimiter)
    if len(delimiter) != 1 or delimiter in '"\r\n\0':
        raise InputError(
            "bad_delimiter",
            f"the delimiter is {options.delimiter!r}: it must be one character, and no quote or line end",
            "For example: --delimiter ',' or, for a tab, --delimiter '\\t'",
        )
    if options.format not in (None, *FORMATS):
        raise InputError("unsupported_format", f"unknown format {options.format!r}", f"One of: {', '.join(FORMATS)}")
    if options.max_row_bytes < 1:
        raise UsageError(f"the largest row must be at least one byte, not {options.max_row_bytes}")
    return replace(options, delimiter=delimiter)


@dataclass(slots=True)
class _Found:
    """What was learned of an input when it was opened."""

    format: str
    names: Names
    schema: pa.Schema
    tables: Iterator[pa.Table]
    delimiter: str | None = None
    progress: Callable[[], float] | None = None  # the part that was read, where the bytes do not tell
    types: pa.Schema | None = None  # of the columns as they are in the input, where it says so


class _Opening:
    """Finds out what an input is, and how its rows are read."""

    def __init__(self, stored: Stored, options: ReadOptions, resources: ExitStack, memory: int) -> None:
        self._stored = stored
        self._label = stored.label
        self._options = options
        self._resources = resources
        self._bound = Bound(memory)

    def found(self) -> _Found:
        packed = compression(self._stored.peek(8), self._stored.name)
        blocks = self._unpacked(packed) if packed else self._stored.blocks()
        head = _head(blocks)
        if not head:
            raise self._empty()
        if packed and (again := compression(head, "")):
            raise unsupported(self._label, f"{again} within {packed}", "Unpack it once.")
        refuse_foreign(head, self._label)
        parquet = head.startswith(b"PAR1")
        if parquet and packed:
            raise unsupported(self._label, f"Parquet within {packed}", "Unpack it. Parquet compresses by itself.")
        blocks = chain([head], blocks)
        if parquet and self._options.format in (None, "parquet"):
            return self._parquet(blocks)
        if self._options.format == "parquet":
            raise InputError("unreadable", f"{self._label}: not a Parquet file", "Leave out --input-format.")
        return self._text(head, blocks)

    def _unpacked(self, kind: str) -> Iterator[bytes]:
        if kind != "zip":
            return unpacked(self._stored, kind)
        path = self._stored.path or self._spooled(self._stored.blocks())  # its directory is at the end
        return unzipped(path, self._label, self._bound)

    def _empty(self) -> InputError:
        return InputError("empty_file", f"{self._label}: the file is empty", _WRONG_FILE)

    def _text(self, head: bytes, blocks: Iterator[bytes]) -> _Found:
        kind = self._options.format
        start = head.removeprefix(codecs.BOM_UTF8).lstrip()[:1]
        if kind != "csv" and start == b"[":
            raise unsupported(self._label, "a JSON array", "Write one object a line: jq -c '.[]' FILE > NEW")
        blocks = _without_bom(blocks)
        return self._jsonl(blocks) if kind == "jsonl" or (kind is None and start == b"{") else self._csv(blocks)

    def _csv(self, blocks: Iterator[bytes]) -> _Found:
        options = self._options
        lines = Lines(blocks, options.max_row_bytes)
        above = _to_first_line(lines)
        lines.put_back(above)
        reader = CsvRecords(lines, options.delimiter, options.max_row_bytes)
        names = self._header(reader, above[-1])
        schema = chunk.schema([pa.field(name, pa.string()) for name in names.others])
        checker = self._checker(schema, names)
        places = _Places(names, schema)
        tables = (checker.table(places.rows(batch)) for batch in reader.batches(len(names.found)))
        return _Found("csv", names, schema, tables, delimiter=options.delimiter)

    def _header(self, reader: CsvRecords, line: bytes) -> Names:
        if b"\0" in line:
            raise bad_encoding(self._label, "the header holds NUL bytes: it is perhaps UTF-16", "UTF-16LE")
        try:
            found = reader.header()
            "".join(found).encode()
        except UnicodeEncodeError as error:
            raise bad_encoding(self._label, "the header is in another encoding", "ISO-8859-1") from error
        except csv.Error as error:
            message = f"{self._label}: the header has an unbalanced quote, or is no header"
            raise InputError("unreadable", message, 'Inside a quoted name write a quote twice: ""') from error
        if not found:
            raise self._empty()
        self._refuse_delimiter(found, line)
        refuse_wide(self._label, len(found))
        return Names(self._label, found, self._options)

    def _refuse_delimiter(self, found: list[str], line: bytes) -> None:
        """Say so if the columns are there with another delimiter."""
        missing = [name for name in (self._options.question, self._options.context) if name not in found]
        for delimiter, spelled in _DELIMITERS.items():
            if missing and {self._options.question, self._options.context} <= {*split_header(line, delimiter)}:
                raise InputError(
                    "missing_column",
                    f"{self._label}: {no_column(missing)} with the delimiter {self._options.delimiter!r}. "
                    f"Columns found with {spelled}: {', '.join(map(repr, split_header(line, delimiter)))}",
                    f"Read it with: --delimiter {spelled}",
                )

    def _jsonl(self, blocks: Iterator[bytes]) -> _Found:
        limit = self._options.max_row_bytes
        lines = Lines(one_line_if_one_object(blocks, limit, self._label), limit)
        first = sample(lines)
        # Without one object among the first lines there is nothing to tell, and each row has its own error.
        found = keys_of(first) or [self._options.question, self._options.context]
        names = Names(self._label, found, self._options)
        schema = chunk.json_schema()
        checker = self._checker(schema, names)
        keys = JsonKeys(names.question, names.context, names.id, OURS)
        tables = (checker.table(_json_rows(batch)) for batch in json_batches(chain(first, lines), keys, limit))
        return _Found("jsonl", names, schema, tables)

    def _parquet(self, blocks: Iterator[bytes]) -> _Found:
        records = self._parquet_records(self._stored.path or self._spooled(blocks))
        refuse_wide(self._label, len(records.schema.names))
        names = Names(self._label, records.schema.names, self._options)
        records.check_types(names.question, names.context, names.id)
        others = [(name, json_type(records.schema.field(name).type)) for name in names.others]
        schema = chunk.schema([pa.field(*item) for item in others])
        checker = self._checker(schema, names)
        columns = Columns(names.question, names.context, names.id, others)
        tables = (checker.table(rows) for rows in records.batches(columns, self._options.max_row_bytes))
        found = _Found("parquet", names, schema, tables, progress=lambda: checker.rows / records.rows)
        return replace(found, types=records.schema)

    def _parquet_records(self, path: Path) -> ParquetRecords:
        try:
            file = self._resources.enter_context(pa.OSFile(str(path), "rb"))
        except (OSError, pa.ArrowException) as error:
            raise InputError("unreadable", f"{self._label}: {reason(error)}", "Check the permissions.") from error
        records = ParquetRecords(file, self._label, self._bound)
        self._resources.callback(records.close)
        return records

    def _spooled(self, blocks: Iterator[bytes]) -> Path:
        """Parquet and zip have their directory at the end: from a pipe they are copied to a temporary file."""
        try:
            copy = self._resources.enter_context(tempfile.NamedTemporaryFile(prefix="bulkqa-"))  # noqa: SIM115
            copy.writelines(blocks)
            copy.flush()
        except OSError as error:
            message = f"{self._label}: no room for a temporary copy: {reason(error)}"
            raise InputError("unreadable", message, "Set TMPDIR to a folder with room, or name the file.") from error
        return Path(copy.name)

    def _checker(self, schema: pa.Schema, names: Names) -> Checker:
        checker = Checker(schema, names.question, names.context, with_ids=names.id is not None)
        self._resources.callback(checker.close)
        return checker


def _head(blocks: Iterator[bytes]) -> bytes:
    """The first bytes, as many as show what an input is, even if they come one at a time."""
    head = b""
    while len(head) < 512 and (block := next(blocks, b"")):
        head += block
    return head


def _without_bom(blocks: Iterator[bytes]) -> Iterator[bytes]:
    return chain([next(blocks, b"").removeprefix(codecs.BOM_UTF8)], blocks)


def _to_first_line(lines: Iterator[bytes]) -> list[bytes]:
    """The lines up to the first that is not blank; of those before it, the line ends only."""
    above: list[bytes] = []
    for line in lines:
        if line.strip():
            return [*above, line]
        above.append(b"\n")
    return [*above, b""]


class _Places:
    """Where in a CSV record each column of a chunk is."""

    def __init__(self, names: Names, schema: pa.Schema) -> None:
        self._question = names.index(names.question)
        self._context = names.index(names.context)
        self._id = names.index(names.id) if names.id is not None else None
        self._others = [names.index(name) for name in names.others]
        self._fields = list(schema.field("passthrough").type) if self._others else []

    def rows(self, batch: Batch | Block) -> Rows:
        if isinstance(batch, Block):
            return self._of(batch.columns.__getitem__, batch.lines, {})
        columns = list(zip(*batch.records, strict=True))
        return self._of(lambda place: strings(columns[place], batch.faults), batch.lines, batch.faults)

    def _of(
        self, column: Callable[[int], Column], lines: Sequence[int] | NDArray[np.int64], faults: dict[int, Fault]
    ) -> Rows:
        """Columns that are not asked for are not looked at."""
        others = [column(place) for place in self._others]
        return Rows(
            id=pa.nulls(len(lines), pa.string()) if self._id is None else column(self._id),
            question=column(self._question),
            context=column(self._context),
            passthrough=pa.StructArray.from_arrays(others, fields=self._fields) if others else None,
            lines=lines,
            faults=faults,
        )


def _json_rows(batch: Batch) -> Rows:
    id_, question, context, passthrough = (strings(c, batch.faults) for c in zip(*batch.records, strict=True))
    return Rows(id_, question, context, passthrough, batch.lines, batch.faults)
