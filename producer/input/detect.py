"""What an input is, told by its content, and how its rows are read: CSV, JSON Lines or a document, Parquet.

Any of them but Parquet may be compressed. Refuses with a remedy what cannot be read as a whole.
"""

from __future__ import annotations

import codecs
import csv
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa

from contract.errors import InputError
from contract.evaluation import unreadable
from contract.format import chunk
from contract.remedy import Remedy, Set
from producer.input.columns import OURS, Names, near, refuse_wide
from producer.input.formats.csv.blocks import Block
from producer.input.formats.csv.escapes import doubled
from producer.input.formats.csv.header import named_delimiter, wrong_header
from producer.input.formats.csv.lines import Lines
from producer.input.formats.csv.parser import Batch, CsvRecords, decoded
from producer.input.formats.excel import ExcelRecords, is_workbook
from producer.input.formats.fields import Places
from producer.input.formats.json.documents import rows_of
from producer.input.formats.json.lines import (
    JsonKeys,
    NotJsonError,
    document_batches,
    is_lines,
    is_utf8,
    json_batches,
    keys_of,
    parsed,
    sample,
)
from producer.input.formats.parquet.file import Columns, ParquetRecords, json_type
from producer.input.memory import Bound
from producer.input.options import ReadOptions
from producer.input.raw import RawFile, bad_encoding, reason, recoded, refuse_foreign, unsupported
from producer.input.rows import Checker, Rows, pc, strings
from producer.input.unpack import compression, unpacked, unzipped

_AS_LINES = "Write one object a line: jq -c '.[]' FILE > NEW"
_WRONG_FILE = "Is it the right file?"


@dataclass(slots=True)
class Found:
    """What was learned of an input when it was opened."""

    format: str
    names: Names
    schema: pa.Schema
    tables: Iterator[pa.Table]
    delimiter: str | None = None
    progress: Callable[[], float] | None = None  # the part that was read, where the bytes do not tell
    types: pa.Schema | None = None  # of the columns as they are in the input, where it says so


@dataclass(slots=True)
class Shared:
    """What the files of a folder have together: the checks over all rows, and the types of their columns."""

    resources: ExitStack
    several: bool = False
    checker: Checker | None = None
    types: pa.Schema | None = None


def opened(
    stored: RawFile, options: ReadOptions, resources: ExitStack, memory: int, shared: Shared | None = None
) -> Found:
    """What a file is, once as much of it was read as tells whether it can be. Raises InputError."""
    found = _Opening(stored, options, resources, memory, shared or Shared(resources)).found()
    first = next(found.tables, None)
    if first is None:
        what = "the file is empty" if found.format == "jsonl" else "a header and no rows"
        raise InputError("empty_file", f"{stored.label}: {what}", _WRONG_FILE)
    _refuse_answers(stored.label, first, found.names.answers)
    found.tables = chain([first], found.tables)
    return found


class _Opening:
    """Finds out what an input is, and how its rows are read."""

    def __init__(
        self, stored: RawFile, options: ReadOptions, resources: ExitStack, memory: int, shared: Shared
    ) -> None:
        self._stored = stored
        self._label = stored.label
        self._options = options
        self._resources = resources
        self._bound = Bound(memory)
        self._shared = shared

    def found(self) -> Found:
        packed = compression(self._stored.peek(8), self._stored.name)
        if packed == "zip":  # its directory is at the end
            path = self._stored.path or self._spooled(self._stored.blocks())
            if is_workbook(path):
                return self._excel(path)
            blocks = unzipped(path, self._label, self._bound, self._resources)
        else:
            blocks = unpacked(self._stored, packed) if packed else self._stored.blocks()
        head = _head(blocks)
        if not head:
            raise self._empty()
        if packed and (again := compression(head, "")):
            raise unsupported(self._label, f"{again} within {packed}", "Unpack it once.")
        if self._options.encoding:
            return self._text(head, recoded(chain([head], blocks), self._options.encoding, self._label))
        refuse_foreign(head, self._label)
        parquet = head.startswith(b"PAR1")
        if parquet and packed:
            raise unsupported(self._label, f"Parquet within {packed}", "Unpack it. Parquet compresses by itself.")
        blocks = chain([head], blocks)
        if parquet and self._options.format in (None, "parquet"):
            return self._parquet(blocks)
        if self._options.format == "parquet":
            raise InputError(
                "unreadable", f"{self._label}: not a Parquet file", Remedy("Leave out ", Set("format"), ".")
            )
        return self._text(head, blocks)

    def _empty(self) -> InputError:
        return InputError("empty_file", f"{self._label}: the file is empty", _WRONG_FILE)

    def _text(self, head: bytes, blocks: Iterator[bytes]) -> Found:
        kind = self._options.format
        if self._options.encoding:
            head = next(blocks, b"")
            blocks = chain([head], blocks)
        start = head.removeprefix(codecs.BOM_UTF8).lstrip()[:1]
        blocks = _without_bom(blocks)
        if kind == "jsonl":
            return self._jsonl(blocks)
        if kind == "json" or (kind is None and start in (b"{", b"[")):
            return self._json(blocks)
        return self._csv(blocks)

    def _json(self, blocks: Iterator[bytes]) -> Found:
        """JSON Lines, or a document: told by the first two lines."""
        held = b""
        while (
            len(held) <= self._options.max_row_bytes and held.strip().count(b"\n") < 2 and (more := next(blocks, b""))
        ):
            held += more
        blocks = chain([held], blocks)
        if self._options.format is None and is_lines(held, self._options.question):
            return self._jsonl(blocks)
        data = self._whole(blocks)
        try:
            with self._bound:
                value = parsed(decoded(data))
        except NotJsonError as error:
            if self._options.format is None and data.lstrip()[:1] == b"{" and held.split(maxsplit=1)[0] != b"{":
                return self._jsonl(iter([data]))
            what = "a JSON array" if data.lstrip().startswith(b"[") else "JSON over several lines"
            raise unsupported(self._label, f"{what} that is damaged or cut off ({error})", _AS_LINES) from error
        except MemoryError as error:
            raise self._too_much(len(data)) from error
        rows = rows_of(value)
        if rows is None and isinstance(value, dict):
            return self._jsonl(iter([_on_one_line(data)]))  # one object is one row
        if rows is None:
            raise unsupported(self._label, "JSON without an object in it that could be a row", _AS_LINES)
        return self._document(rows)

    def _whole(self, blocks: Iterator[bytes]) -> bytes:
        """All bytes, of which objects ten times as large are made."""
        data = bytearray()
        for block in blocks:
            data += block
            if len(data) > self._bound.budget // 4:
                raise self._too_much(len(data))
        return bytes(data)

    def _too_much(self, size: int) -> InputError:
        what = f"{self._label}: a JSON document of {size >> 20} MiB or more, which is read as a whole and does not fit "
        more = f"Or allow more memory, in bytes: BULKQA_READ_MEMORY={4 * self._bound.budget}"
        what += f"into {self._bound.budget >> 20} MiB"
        return InputError("unreadable", what, f"{_AS_LINES} {more}")

    def _document(self, rows: list[dict[str, Any]]) -> Found:
        found = dict.fromkeys(key for row in rows[:1000] for key in row)
        names = Names(self._label, [key for key in found if is_utf8(key)], self._options)
        schema = chunk.json_schema()
        checker = self._checker(schema, names)
        keys = JsonKeys(names.question, names.context, names.id, OURS)
        batches = document_batches(rows, keys, self._options.max_row_bytes)
        return Found("json", names, schema, (checker.table(_json_rows(batch)) for batch in batches))

    def _csv(self, blocks: Iterator[bytes]) -> Found:
        options = self._options
        if options.escape:
            blocks = doubled(blocks, options.escape, options.max_row_bytes)
        lines = Lines(blocks, options.max_row_bytes)
        number = 1 + lines.pass_blank()
        first = next(lines, b"")
        delimiter = named_delimiter(first)
        if delimiter is None:
            lines.put_back([first])
        else:  # Excel's line above the header
            number += 1 + lines.pass_blank()
            first = next(lines, b"")
            lines.put_back([first])
        delimiter = delimiter or options.delimiter
        reader = CsvRecords(lines, delimiter, options.max_row_bytes, number)
        names = self._header(reader, first, delimiter)
        return self._texts("csv", names, reader.batches(names.width), delimiter)

    def _header(self, reader: CsvRecords, line: bytes, delimiter: str) -> Names:
        try:
            found = reader.header() if self._options.header else reader.peek()
            "".join(found).encode()
        except UnicodeEncodeError as error:
            raise bad_encoding(self._label, "the header is in another encoding", "WINDOWS-1252") from error
        except csv.Error as error:
            message = f"{self._label}: the header has an unbalanced quote, or is no header"
            raise InputError("unreadable", message, 'Inside a quoted name write a quote twice: ""') from error
        if not found:
            raise self._empty()
        refuse_wide(self._label, len(found))
        if not self._options.header:
            return self._numbered(len(found))
        named = found if found[-1] else found[:-1]
        trailing = len(following := reader.peek()) == len(named) + 1 and not following[-1]
        if wrong := wrong_header(self._label, line, found, self._options, delimiter):
            raise wrong
        return Names(self._label, named if trailing else found, self._options, trailing=trailing)

    def _numbered(self, width: int) -> Names:
        """Without a header, columns are called by their numbers; of two, the first holds the questions."""
        options = self._options
        if width == 2 and (options.question, options.context) == ("question", "context"):
            options = replace(options, question="1", context="2")
        return Names(self._label, map(str, range(1, width + 1)), options)

    def _jsonl(self, blocks: Iterator[bytes]) -> Found:
        limit = self._options.max_row_bytes
        lines = Lines(blocks, limit)
        numbered = lines.numbered()
        first = sample(numbered)
        # Without one object among the first lines there is nothing to tell, and each row has its own error.
        found = keys_of(first) or [self._options.question, self._options.context]
        names = Names(self._label, found, self._options)
        schema = chunk.json_schema()
        checker = self._checker(schema, names)
        keys = JsonKeys(names.question, names.context, names.id, OURS)
        tables = (checker.table(_json_rows(batch)) for batch in json_batches(chain(first, numbered), keys, limit))
        return Found("jsonl", names, schema, tables)

    def _excel(self, path: Path) -> Found:
        options = self._options
        records = ExcelRecords(path, self._label, options.sheet, self._bound, self._resources)
        if not records.names:
            message = f"{self._label}: the sheet {records.sheet!r} is empty"
            remedy = records.other_sheet(options.question, options.context) or _WRONG_FILE
            raise InputError("empty_file", message, remedy)
        refuse_wide(self._label, len(records.names))
        try:
            names = Names(self._label, records.names, options)
        except InputError as error:
            if None in (near(options.question, records.names), near(options.context, records.names)):
                error.remedy = _of_sheets(error.remedy, records.other_sheet(options.question, options.context))
            raise
        return self._texts("xlsx", names, records.batches(options.max_row_bytes))

    def _texts(self, kind: str, names: Names, batches: Iterator[Batch | Block], delimiter: str | None = None) -> Found:
        """Records whose fields are all texts."""
        schema = chunk.schema([pa.field(name, pa.string()) for name in names.others])
        checker = self._checker(schema, names)
        places = Places(names, schema)
        return Found(kind, names, schema, (checker.table(places.rows(batch)) for batch in batches), delimiter)

    def _parquet(self, blocks: Iterator[bytes]) -> Found:
        records = self._parquet_records(self._stored.path or self._spooled(blocks))
        refuse_wide(self._label, len(records.schema.names))
        names = Names(self._label, records.schema.names, self._options)
        records.check_types(names.question, names.context, names.id)
        others = [(name, json_type(records.schema.field(name).type)) for name in names.others]
        schema = chunk.schema([pa.field(*item) for item in others])
        checker = self._checker(schema, names, records.schema)
        columns = Columns(names.question, names.context, names.id, others)
        tables = (checker.table(rows) for rows in records.batches(columns, self._options.max_row_bytes))
        found = Found("parquet", names, schema, tables, progress=lambda: checker.rows / records.rows)
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

    def _checker(self, schema: pa.Schema, names: Names, types: pa.Schema | None = None) -> Checker:
        shared = self._shared
        if shared.checker is None:
            shared.checker = Checker(schema, names.question, names.context, with_ids=names.id is not None)
            shared.types = types
            shared.resources.callback(shared.checker.close)
        elif schema != shared.checker.schema or not _same_types(types, shared.types):
            message = f"{self._label}: its columns or their types are not those of the files before it"
            raise InputError("unsupported_format", message, "Name files of the same columns, in the same order.")
        if shared.several:
            shared.checker.file = self._stored.name
        return shared.checker


def _same_types(types: pa.Schema | None, others: pa.Schema | None) -> bool:
    """Whether columns are of the same types, as far as they have values."""
    if types is None or others is None:
        return types is others
    known = dict(zip(others.names, others.types, strict=True))
    pairs = ((kind, known.get(name)) for name, kind in zip(types.names, types.types, strict=True))
    return all(kind == other or other is None or pa.null() in (kind, other) for kind, other in pairs)


def _refuse_answers(label: str, first: pa.Table, column: str | None) -> None:
    """Say so where reference answers are lists that cannot be read, rather than count every answer as wrong."""
    kind = first.schema.field("passthrough").type if "passthrough" in first.schema.names else None
    if column is None or kind is None or not pa.types.is_struct(kind) or kind.get_field_index(column) < 0:
        return
    for row, cell in enumerate(pc.struct_field(first["passthrough"].combine_chunks(), [column]).to_pylist()):
        if unreadable(cell):
            shown = cell if len(cell) < 100 else cell[:100] + "..."
            raise InputError(
                "unsupported_format",
                f"{label}: the column {column!r} holds answers that cannot be read, first in row {row}: {shown}",
                Remedy('Write them as JSON, such as ["one", "another"], or go without: ', Set(answers="")),
            )


def _of_sheets(names: Remedy | str | None, sheet: Remedy | None) -> Remedy | str | None:
    """A sheet that has the columns is the remedy; if it is only another sheet, it is the second choice."""
    if sheet is None or sheet.settings:
        return sheet or names
    return Remedy(names or "", ". ", sheet)


def _on_one_line(data: bytes) -> bytes:
    """An object over several lines: line ends are allowed between its parts, never within a string."""
    before = data[: len(data) - len(data.lstrip())]
    return before + data.strip().replace(b"\r", b" ").replace(b"\n", b" ") + b"\n"


def _head(blocks: Iterator[bytes]) -> bytes:
    """The first bytes, as many as show what an input is, even if they come one at a time."""
    head = b""
    while len(head) < 512 and (block := next(blocks, b"")):
        head += block
    return head


def _without_bom(blocks: Iterator[bytes]) -> Iterator[bytes]:
    return chain([next(blocks, b"").removeprefix(codecs.BOM_UTF8)], blocks)


def _json_rows(batch: Batch) -> Rows:
    id_, question, context, passthrough = (strings(c, batch.faults) for c in zip(*batch.records, strict=True))
    return Rows(id_, question, context, passthrough, batch.lines or None, batch.faults)
