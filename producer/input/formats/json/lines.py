"""Rows of JSON: of objects, one a line, or of the rows that a document held. A bad line is a fault of its row.

Covers no checks of what the strings hold (`rows`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from producer.input.formats.json import documents
from producer.input.formats.json.values import (
    REPEATED,
    WIDTH,
    JsonKeys,
    NotJsonError,
    has_repeated_key,
    is_object,
    is_utf8,
    json_object,
)
from producer.input.formats.records import (
    BATCH_BYTES,
    BATCH_ROWS,
    RAW_LIMIT,
    RecordBatch,
    decoded,
    over_limit,
    raw_text,
    too_large,
)
from producer.input.raw import BLOCK
from producer.input.rows import Fault, Lists, Rows, strings

#: Gives the rows in an object.
RowsIn = Callable[[dict[str, Any]], Iterable[dict[str, Any]]]
_SAMPLE_LINES = 1000
_SAMPLE_BYTES = 4 * BLOCK


def line_batches(lines: Iterator[tuple[int, bytes]], rows_in: RowsIn, keys: JsonKeys, limit: int) -> Iterator[Rows]:
    """The rows of numbered JSON Lines, each of at most `limit` bytes. `rows_in` gives those of an object."""
    batch, size = RecordBatch(), 0
    for number, line in lines:
        _add_object(batch, number, line, rows_in, keys, limit)
        size += len(line)
        if len(batch.records) >= BATCH_ROWS or size >= BATCH_BYTES:
            yield _rows(batch, keys)
            batch, size = RecordBatch(), 0
    if batch.records:
        yield _rows(batch, keys)


def _add_object(batch: RecordBatch, number: int, line: bytes, rows_in: RowsIn, keys: JsonKeys, limit: int) -> None:
    if len(line) > limit:
        batch.reject([None] * WIDTH, number, too_large(line, limit))
        return
    try:
        item = json_object(decoded(line))
        if number == 1 and documents.is_heading(item):
            return
        records = [keys.record(row) for row in rows_in(item)]
    except NotJsonError as error:
        batch.reject([None] * WIDTH, number, Fault("parse_error", str(error), raw_text([line])))
    else:
        batch.records += records
        batch.lines += [number] * len(records)


def document_batches(rows: list[dict[str, Any]], keys: JsonKeys, limit: int) -> Iterator[Rows]:
    """Rows that were one document. They have no lines."""
    for start in range(0, len(rows), BATCH_ROWS):
        batch = RecordBatch()
        for row in rows[start : start + BATCH_ROWS]:
            try:
                if has_repeated_key(row):
                    raise NotJsonError(REPEATED)
                record = keys.record(row)
            except NotJsonError as error:
                batch.reject([None] * WIDTH, 0, Fault("parse_error", str(error), repr(row)[:RAW_LIMIT]))
                continue
            if sum(map(_size, record)) > limit:
                batch.reject([record[0], *[None] * (WIDTH - 1)], 0, over_limit(limit))
            else:
                batch.records.append(record)
        batch.lines.clear()
        yield _rows(batch, keys)


def _size(value: str | list[str | None] | None) -> int:
    if isinstance(value, list):
        return sum(map(_size, value))
    return len(value.encode("utf-8", "surrogatepass")) if value else 0


def _rows(batch: RecordBatch, keys: JsonKeys) -> Rows:
    columns = [*zip(*batch.records, strict=True)]
    contexts, lists = (columns[2], None) if not keys.lists else _lists(columns[2])
    id_, question, context, rest, group = (
        strings(column, batch.faults) for column in (*columns[:2], contexts, *columns[3:])
    )
    groups = None if keys.group is None else group
    return Rows(id_, question, context, rest, batch.lines or None, batch.faults, groups, lists)


def _lists(contexts: Sequence[Any]) -> tuple[Sequence[str | None], Lists]:
    """Contexts that are texts, and those that are lists."""
    lengths = np.array([len(value) if isinstance(value, list) else -1 for value in contexts], np.int64)
    faults: dict[int, Fault] = {}
    texts = strings([text for value in contexts if isinstance(value, list) for text in value], faults)
    return [None if isinstance(value, list) else value for value in contexts], Lists(lengths, texts, faults)


def is_lines(head: bytes, question: str) -> bool:
    """Whether a file with this beginning is JSON Lines: its first or second line is an object, and not a document."""
    lines = [line for line in head.splitlines() if line.strip()]
    if len(lines) > 1 and is_object(lines[1]) and lines[0].strip() not in (b"[", b"{"):
        return True
    if not lines or not is_object(lines[0]):
        return False
    first = json_object(decoded(lines[0]))
    return (
        (question in first and not isinstance(first[question], list | dict))
        or len(lines) > 1
        or documents.rows_of(first) is None
    )


def sample(lines: Iterator[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """The first lines, as many as show what keys there are."""
    taken: list[tuple[int, bytes]] = []
    size = 0
    for numbered in lines:
        taken.append(numbered)
        size += len(numbered[1])
        if len(taken) >= _SAMPLE_LINES or size >= _SAMPLE_BYTES:
            break
    return taken


def objects_in(lines: list[tuple[int, bytes]]) -> list[dict[str, Any]]:
    """The objects in these lines."""
    items = []
    for _, line in lines:
        try:
            items.append(json_object(decoded(line)))
        except NotJsonError:
            pass  # its row will say so
    return items


def keys_of(rows: Iterable[dict[str, Any]]) -> list[str]:
    """The keys of rows, in order of appearance, without those that are not UTF-8: rows with these will say so."""
    keys = dict.fromkeys(key for row in rows for key in row)
    return [key for key in keys if is_utf8(key)]
