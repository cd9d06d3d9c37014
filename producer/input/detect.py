"""What format a file has, told by its content: CSV, JSON Lines or a document, Parquet, Excel.

All but Parquet and Excel may be compressed. Refuses with a remedy what cannot be read as a whole.
"""

from __future__ import annotations

import codecs
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from contract.errors import InputError
from contract.machine import path_anew
from contract.remedy import Remedy, Set
from producer.input.answers import refuse_unreadable
from producer.input.formats.csv.file import csv_file
from producer.input.formats.datafile import DataFile
from producer.input.formats.encodings import encoding_hint, likely_encodings
from producer.input.formats.excel import excel_sheet, is_workbook
from producer.input.formats.json.file import json_file, json_lines
from producer.input.formats.parquet.file import parquet_file
from producer.input.memory import Bound
from producer.input.options import ReadOptions
from producer.input.raw import (
    BLOCK,
    WRONG_FILE,
    RawFile,
    bad_encoding,
    empty,
    reason,
    recoded,
    refuse_foreign,
    unsupported,
)
from producer.input.unpack import compression, unpacked, unzipped

#: Bytes that show what a file is.
_HEAD = 512
_RECORD = b"\x1e"


def detected(raw: RawFile, options: ReadOptions, resources: ExitStack, memory: int) -> DataFile:
    """A file as its format reads it, with at least one row. Raises InputError if it cannot be read."""
    file = _file(raw, options, resources, Bound(memory))
    first = next(file.batches, None)
    if first is None:
        what = "the file is empty" if file.format == "jsonl" else "a header and no rows"
        raise InputError("empty_file", f"{raw.label}: {what}", WRONG_FILE)
    refuse_unreadable(raw.label, first, file.columns.answers)
    return replace(file, batches=chain([first], file.batches))


def _file(raw: RawFile, options: ReadOptions, resources: ExitStack, bound: Bound) -> DataFile:
    label = raw.label
    packed = compression(raw.peek(8), raw.name)
    if packed == "zip":  # its directory is at the end
        path = raw.path or _spooled(raw.blocks(), label, resources)
        if is_workbook(path):
            return excel_sheet(path, label, options, bound, resources)
        blocks = unzipped(path, label, bound, resources, options.limits)
    else:
        blocks = unpacked(raw, packed, options.limits) if packed else raw.blocks()
    head = _head(blocks)
    if not head:
        raise empty(label)
    if packed and (again := compression(head, "")):
        raise unsupported(label, f"{again} within {packed}", "Unpack it once.")
    blocks = chain([head], blocks)
    if options.encoding:
        return _text(recoded(blocks, options.encoding, label), label, options, bound)
    refuse_foreign(head, label)
    if head.startswith(b"PAR1"):
        if packed:
            raise unsupported(label, f"Parquet within {packed}", "Unpack it. Parquet compresses by itself.")
        if options.format in (None, "parquet"):
            return parquet_file(raw.path or _spooled(blocks, label, resources), label, options, bound, resources)
    if options.format == "parquet":
        raise InputError("unreadable", f"{label}: not a Parquet file", Remedy("Leave out ", Set("format"), "."))
    return _text(blocks, label, options, bound)


def _text(blocks: Iterator[bytes], label: str, options: ReadOptions, bound: Bound) -> DataFile:
    head = _head(blocks, BLOCK).removeprefix(codecs.BOM_UTF8)
    blocks = chain([head], blocks)
    if b"\x1b$B" in head:  # seven bits, and so UTF-8 as well
        raise bad_encoding(label, "the file is ISO-2022-JP", "ISO-2022-JP")
    encodings = likely_encodings(head)
    file = _parsed(head, blocks, label, options, bound, encodings)
    return replace(file, encoding_hint=encoding_hint(encodings))


def _parsed(
    head: bytes, blocks: Iterator[bytes], label: str, options: ReadOptions, bound: Bound, encodings: tuple[str, ...]
) -> DataFile:
    if head.lstrip().startswith(_RECORD):  # RFC 7464: before each record
        head, blocks = head.replace(_RECORD, b" "), (block.replace(_RECORD, b" ") for block in blocks)
    if options.format == "jsonl":
        return json_lines(blocks, label, options)
    if options.format == "json" or (options.format is None and head.lstrip().startswith((b"{", b"["))):
        return json_file(blocks, label, options, bound)
    return csv_file(blocks, label, options, encodings)


def _head(blocks: Iterator[bytes], count: int = _HEAD) -> bytes:
    """The first bytes, at least `count` of them, even if they come one at a time."""
    head = b""
    while len(head) < count and (block := next(blocks, b"")):
        head += block
    return head


def _spooled(blocks: Iterator[bytes], label: str, resources: ExitStack) -> Path:
    """Parquet and zip have their directory at the end: from a pipe they are copied to a temporary file, which has no
    name where the system can do without: so none is left behind by a process that is killed."""
    try:
        copy: Any = resources.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        path = path_anew(copy.fileno())
        if path is None:
            copy = resources.enter_context(tempfile.NamedTemporaryFile(prefix="bulkqa-"))  # noqa: SIM115
            path = Path(copy.name)
        copy.writelines(blocks)
        copy.flush()
    except OSError as error:
        message = f"{label}: no room for a temporary copy: {reason(error)}"
        raise InputError("unreadable", message, "Set TMPDIR to a folder with room, or name the file.") from error
    return path
