"""A JSON file: whether it is JSON Lines or one document, and which keys its objects have."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from typing import Any

from contract import squad
from contract.errors import InputError
from contract.format import chunk
from producer.input.columns import OURS, ColumnNames, near
from producer.input.formats.datafile import DataFile
from producer.input.formats.json.documents import Row, rows_of, source_of
from producer.input.formats.json.lines import (
    RowsIn,
    document_batches,
    is_lines,
    keys_of,
    line_batches,
    objects_in,
    sample,
)
from producer.input.formats.json.nested import Nesting, remedy_for
from producer.input.formats.json.values import JsonKeys, NotJsonError, is_texts, json_type, parsed, parsed_sequence
from producer.input.formats.lines import Lines
from producer.input.formats.records import decoded
from producer.input.memory import Bound
from producer.input.options import ReadOptions
from producer.input.raw import unsupported

#: Rows among which a column must have a text.
_SAMPLE = 20
_AS_LINES = "Write one object a line: jq -c '.[]' FILE > NEW"


def json_file(blocks: Iterator[bytes], label: str, options: ReadOptions, bound: Bound) -> DataFile:
    """JSON Lines, or a document: the first two lines show which. Raises InputError for a document without rows."""
    head = b""
    while len(head) <= options.max_row_bytes and head.strip().count(b"\n") < 2 and (more := next(blocks, b"")):
        head += more
    blocks = chain([head], blocks)
    if options.format is None and is_lines(head, options.question):
        return json_lines(blocks, label, options)
    data = _whole(blocks, label, bound)
    try:
        with bound:
            value = parsed(decoded(data))
    except NotJsonError as error:
        with bound, suppress(NotJsonError):  # objects over several lines, one after another
            return _document(_objects(parsed_sequence(decoded(data))), ".", label, options)
        if options.format is None and data.lstrip()[:1] == b"{" and head.split(maxsplit=1)[0] != b"{":
            return json_lines(iter([data]), label, options)
        what = "a JSON array" if data.lstrip().startswith(b"[") else "JSON over several lines"
        raise unsupported(label, f"{what} that is damaged or cut off ({error})", _AS_LINES) from error
    except MemoryError as error:
        raise _too_large(len(data), label, bound) from error
    rows = rows_of(value)
    if rows is None and isinstance(value, dict):
        return json_lines(iter([_on_one_line(data)]), label, options)  # one object is one row
    if rows is None:
        raise unsupported(label, "JSON without an object in it that could be a row", _AS_LINES)
    return _document(rows, source_of(value), label, options)


def _objects(values: list[Any]) -> list[Row]:
    """Values of which each is an object. Raises NotJsonError."""
    if not squad.objects(values):
        raise NotJsonError("not objects")
    return values


def json_lines(blocks: Iterator[bytes], label: str, options: ReadOptions) -> DataFile:
    """JSON Lines: the keys of the first lines are its columns."""
    numbered = Lines(blocks, options.max_row_bytes).numbered()
    first = sample(numbered)
    items = objects_in(first)
    nesting = Nesting(options.question, options.context)
    rows_in: RowsIn = nesting.rows if nesting.is_needed(items) else squad.questions
    # Without one object among the first lines nothing is known, and each row has its own error.
    rows = [row for item in items for row in rows_in(item)]
    names = keys_of(rows) or [options.question, options.context]
    columns = _columns(label, names, options, (items, rows), ".")
    keys = _keys(columns, rows)
    batches = line_batches(chain(first, numbered), rows_in, keys, options.max_row_bytes)
    return DataFile("jsonl", columns, chunk.json_schema(), batches, has_lists=keys.lists)


def _document(items: list[Row], source: str, label: str, options: ReadOptions) -> DataFile:
    nesting = Nesting(options.question, options.context)
    rows = [row for item in items for row in nesting.rows(item)] if nesting.is_needed(items[:1000]) else items
    columns = _columns(label, keys_of(rows[:1000]), options, (items, rows), source)
    keys = _keys(columns, rows)
    batches = document_batches(rows, keys, options.max_row_bytes)
    return DataFile("json", columns, chunk.json_schema(), batches, has_lists=keys.lists)


def _columns(
    label: str, names: list[str], options: ReadOptions, sample: tuple[list[Row], list[Row]], source: str
) -> ColumnNames:
    """The columns of these names. If one is missing, the remedy is in the first objects and their rows, `sample`; the
    filter `source` of jq gives the objects."""
    try:
        columns = ColumnNames(label, names, options)
    except InputError as error:
        if None in [near(name, names) for name in (options.question, options.context)]:
            error.remedy = remedy_for(*sample, (options.question, options.context), source)
        raise
    for name in (columns.question, columns.context):
        cells = [row[name] for row in sample[1][:_SAMPLE] if row.get(name) is not None]
        if name == columns.context and any(map(is_texts, cells)):
            continue
        if cells and all(isinstance(cell, list | dict) for cell in cells):
            remedy = remedy_for(*sample, (options.question, options.context), source)
            raise InputError("unsupported_format", f"{label}: {name!r} is {json_type(cells[0])}, not a text", remedy)
    return columns


def _keys(columns: ColumnNames, rows: list[Row]) -> JsonKeys:
    """The keys of a file, given its rows, or the first of them: these show whether contexts are lists."""
    has_lists = any(is_texts(row.get(columns.context)) for row in rows)
    return JsonKeys(columns.question, columns.context, columns.id, columns.group, OURS, has_lists)


def _whole(blocks: Iterator[bytes], label: str, bound: Bound) -> bytes:
    """All bytes. The objects made of them are ten times as large."""
    data = bytearray()
    for block in blocks:
        data += block
        if len(data) > bound.budget // 4:
            raise _too_large(len(data), label, bound)
    return bytes(data)


def _too_large(size: int, label: str, bound: Bound) -> InputError:
    message = (
        f"{label}: a JSON document of {size >> 20} MiB or more, which is read as a whole and does not fit into "
        f"{bound.budget >> 20} MiB"
    )
    more = f"Or allow more memory, in bytes: BULKQA_READ_MEMORY={4 * bound.budget}"
    return InputError("unreadable", message, f"{_AS_LINES} {more}")


def _on_one_line(data: bytes) -> bytes:
    """An object over several lines: line ends are allowed between its parts, never within a string."""
    before = data[: len(data) - len(data.lstrip())]
    return before + data.strip().replace(b"\r", b" ").replace(b"\n", b" ") + b"\n"
