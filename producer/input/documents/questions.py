"""The questions to ask about documents: a table of any format with a column of questions, or a text with one per line.

All of them are held in memory: each document has them again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace

import pyarrow as pa

from contract.errors import InputError
from contract.format import chunk
from contract.remedy import Remedy, Set
from producer.input.columns import ColumnNames, near
from producer.input.detect import detected
from producer.input.documents.plain import decoded
from producer.input.formats.datafile import DataFile
from producer.input.location import One
from producer.input.options import ReadOptions
from producer.input.raw import WRONG_FILE, RawFile
from producer.input.rows import Column, Fault, Rows
from producer.input.unpack import compression

#: Questions at most.
MOST = 10_000
#: Names of files that are tables, whatever their first line.
_TABLES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet", ".xlsx")
_HEAD = 4096


@dataclass(frozen=True, slots=True)
class Questions:
    """All questions, in order."""

    file: DataFile  #: without its batches
    rows: Rows
    groups: Column  #: the name of each: its id, else its number from 1
    sha256: str
    bytes: int
    notes: tuple[str, ...]


def read_questions(location: One, options: ReadOptions, memory: int) -> Questions:
    """The questions in a file. Raises InputError."""
    options = replace(options, context=options.question, one_column=True)
    with ExitStack() as resources:
        raw = RawFile(location, resources)
        head = raw.peek(_HEAD)
        file = _lines(raw, options) if _is_text(head, raw.name, options) else detected(raw, options, resources, memory)
        if file.has_lists:
            message = f"{raw.label}: the column {file.columns.question!r} has lists, and a question is a text"
            raise InputError("unsupported_format", message, Remedy("Name another column with ", Set("question"), "."))
        rows = _joined(_bounded(file.batches, raw.label), file)
        notes = tuple(f"{raw.name}: {note}" for note in file.notes())
        _reject_repeated(rows)
        return Questions(replace(file, batches=iter(())), rows, _names(rows), raw.digest(), raw.bytes_read, notes)


def _is_text(head: bytes, name: str, options: ReadOptions) -> bool:
    """Whether a file has one question per line: it is not a table by its name, its beginning or its first line."""
    if options.format or name.lower().endswith(_TABLES) or compression(head[:8], name):
        return False
    first = head.removeprefix(b"\xef\xbb\xbf").lstrip().partition(b"\n")[0].rstrip()
    if b"\0" in head or head.startswith(b"PAR1") or first.startswith((b"{", b"[")):
        return False
    text = first.decode("utf-8", "replace")
    fields = (field.strip().strip('"') for delimiter in (options.delimiter, "|", ",", ";", "\t") for field in
              text.split(delimiter))  # fmt: skip
    return near(options.question, [*dict.fromkeys(fields)]) is None


def _lines(raw: RawFile, options: ReadOptions) -> DataFile:
    columns = ColumnNames(raw.label, [options.question], options)

    data = b"".join(raw.blocks())
    text, _ = decoded(data, options.encoding or "")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise InputError("empty_file", f"{raw.label}: there is no question in it", WRONG_FILE)
    column = pa.array(lines, pa.string())
    rows = Rows(pa.nulls(len(lines), pa.string()), column, column, None, None)
    return DataFile("text", columns, chunk.schema([]), iter([rows]))


def _bounded(batches: Iterator[Rows], label: str) -> Iterator[Rows]:
    count = 0
    for rows in batches:
        count += len(rows.question)
        if count > MOST:
            raise InputError("unreadable", f"{label}: more than {MOST:,} questions", "Ask them in several jobs.")
        yield rows


def _joined(batches: Iterator[Rows], file: DataFile) -> Rows:
    """All rows as one batch."""
    all_rows = list(batches)
    faults: dict[int, Fault] = {}
    before = 0
    for rows in all_rows:
        faults |= {before + index: fault for index, fault in rows.faults.items()}
        before += len(rows.question)

    def column(parts: list[Column]) -> Column:
        return pa.concat_arrays(
            [part.combine_chunks() if isinstance(part, pa.ChunkedArray) else part for part in parts]
        )

    place = file.schema.get_field_index("passthrough")
    passthrough = None
    if place >= 0:
        kind = file.schema.field(place).type
        passthrough = column([rows.passthrough.cast(kind) for rows in all_rows])  # type: ignore[union-attr]
    question = column([rows.question for rows in all_rows])
    return Rows(column([rows.id for rows in all_rows]), question, question, passthrough, None, faults)


def _names(rows: Rows) -> Column:
    ids = enumerate(rows.id.to_pylist(), 1)
    return pa.array([id_ if id_ and id_.strip() else str(number) for number, id_ in ids], pa.string())


def _reject_repeated(rows: Rows) -> None:
    """Reject questions whose id an earlier one has."""
    first: dict[str, int] = {}
    for index, id_ in enumerate(rows.id.to_pylist()):
        if id_ and id_.strip() and first.setdefault(id_, index) != index:
            rows.reject([index], Fault("duplicate_id", f"question {first[id_] + 1} has the id {id_[:80]!r} already"))
