"""An input becomes tables in the schema of a job's chunks: every row, checked, in order.

The format is detected by content. Refuses with a remedy what cannot be read as a whole. A row that cannot be scored is
still a row of a table, with a code, a message and what could be read of it. Memory is bounded by the row and the table,
not by the file. Covers no writing of chunks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from itertools import chain
from types import TracebackType
from typing import TYPE_CHECKING, Self

import pyarrow as pa

from contract.errors import BulkqaError, InputError, UsageError
from contract.evaluation import AnswersForm
from contract.format import chunk
from contract.format.job import Groups
from contract.remedy import Remedy, Set
from producer.input.answers import AnswersColumn
from producer.input.checks.checker import Checker
from producer.input.files import InputFiles
from producer.input.formats.datafile import DataFile
from producer.input.formats.lists import are_lists, parsed_lists, spread
from producer.input.formats.types import common_schema, unified, widened
from producer.input.location import Documents, InputSpec, locate
from producer.input.memory import DEFAULT as READ_MEMORY
from producer.input.options import Limits, ReadOptions, checked
from producer.input.rows import bounded
from producer.shuffle import Sampling

if TYPE_CHECKING:
    from producer.input.documents.files import DocumentFiles

#: Rows in the first tables, by default; the number of tables after which it doubles, and how often it does.
_ROWS, _DOUBLED, _DOUBLINGS = 512, 1000, 3
_NOTES = 10
_PASSTHROUGH = "passthrough"
#: Formats in which every cell is a text.
_OF_TEXTS = ("csv", "xlsx")


class Input:
    """An input under way, made by `open_input`. Its tables can be read once.

    `columns` are those of the input without ours; of JSON Lines, the keys of the first lines. A pipe has no `size`.
    """

    def __init__(self, files: InputFiles | DocumentFiles, limits: Limits, resources: ExitStack) -> None:
        opened = files.opened()
        resources.callback(opened.close)
        name, first = next(opened, (files.name, None))
        if first is None:
            raise InputError("empty_file", f"{files.label}: no file in it has rows", "Is it the right folder?")
        columns = first.columns
        first, self._parses_lists = _settled(first)
        own = _widened(first.schema) if files.several else first.schema
        added = [
            *([chunk.GROUP] if columns.group is not None or first.has_lists else []),
            *([chunk.PASSAGE] if first.has_lists else []),
        ]
        schema = chunk.extended(own, *added)
        self.documents = None if isinstance(files, InputFiles) else files
        checker = Checker(schema, columns)
        resources.callback(checker.close)
        self.name = files.name
        self.size = files.size
        self.files = files.count
        self.format = first.format
        self.columns = columns.data
        self.id_column = columns.id
        self.answers_column = columns.answers
        self.question_column = columns.question
        self.context_column = columns.context
        self.delimiter = first.delimiter
        self.sheet = first.sheet
        self.sheets = first.sheets
        self.schema = schema
        self.types = first.types
        self._own, self._has_lists = own, first.has_lists
        self._checker = checker
        self._files = files
        self._resources = resources
        self._limits = limits
        self._answers = AnswersColumn(columns.answers)
        self._tables: Iterator[pa.Table] | None = self._checked(chain([(name, first)], opened), checker)
        self._sha256: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the files."""
        self._resources.close()

    @property
    def bytes_read(self) -> int:
        """How much of the input was read, as it is stored: compressed, if it is."""
        return self._files.bytes_read

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know about the input, as far as it was read; ten sentences at most."""
        notes = self._files.notes
        if self._parses_lists:
            notes = [f"the column {self.context_column!r} has lists of texts: each text is a passage", *notes]
        more = [f"... and {len(notes) - _NOTES + 1:,} more notes of this kind"] if len(notes) > _NOTES else []
        return tuple(notes[: _NOTES - len(more)] + more)

    @property
    def origins(self) -> int:
        """Its own rows so far, of which lists of contexts make several."""
        return self._checker.origins

    @property
    def groups(self) -> Groups | None:
        """The groups of its rows, as far as they were read; None if it has none."""
        return self._checker.groups

    @property
    def answers_form(self) -> AnswersForm:
        """How the column of reference answers is to be read, once all tables were read."""
        return self._answers.form

    @property
    def sha256(self) -> str:
        """Of the input as it is stored, once all tables were read."""
        if self._sha256 is None:
            raise BulkqaError("the digest of an input was asked for before its end was read; this is a bug")
        return self._sha256

    def tables(self, max_rows: int, max_bytes: int) -> Iterator[pa.Table]:
        """All rows in order, in tables bounded by both; a row of more than `max_bytes` is a table of its own. With 0
        rows, `grown` bounds them.

        Raises InputError if the input proves to be damaged after rows were given.
        """
        if max_rows < 0 or max_bytes < 1:
            raise UsageError(f"a chunk must hold at least one row and one byte, not {max_rows} and {max_bytes}")
        if self._tables is None:
            raise BulkqaError("an input was read twice; this is a bug")
        tables, self._tables = self._tables, None
        return self._bounded(tables, (lambda _: max_rows) if max_rows else grown, max_bytes)

    def _bounded(
        self, tables: Iterator[pa.Table], max_rows: Callable[[int], int], max_bytes: int
    ) -> Iterator[pa.Table]:
        yield from bounded(tables, max_rows, max_bytes)
        self._sha256 = self._files.digest()

    def _checked(self, files: Iterable[tuple[str, DataFile]], checker: Checker) -> Iterator[pa.Table]:
        """The rows of all files, checked together. Raises InputError for a file with other columns than the first, and
        beyond the limits."""
        size = 0
        place = checker.schema.get_field_index(_PASSTHROUGH)
        kind = None if place < 0 else checker.schema.field(place).type
        for name, file in files:
            try:
                self.types = common_schema(self.types, file.types)
                fit = not self._files.several or (_fits(file, self._own) and file.has_lists <= self._has_lists)
            except TypeError:
                fit = False
            if not fit:
                message = f"{file.columns.label}: its columns or their types are not those of the files before it"
                raise InputError("unsupported_format", message, "Name files of the same columns, in the same order.")
            checker.encoding_hint = file.encoding_hint
            checker.file = name if self._files.several else ""
            batches = map(parsed_lists, file.batches) if self._parses_lists else file.batches
            for rows in chain.from_iterable(map(spread, batches)):
                if rows.passthrough is not None and rows.passthrough.type != kind:
                    rows.passthrough = rows.passthrough.cast(kind)
                self._answers.see(rows)
                table = checker.table(rows)
                size += table.nbytes
                self._limits.check_rows(self._files.label, checker.rows, size)
                self._limits.check_ratio(self._files.label, self.size or self.bytes_read, size)
                yield table


def _settled(file: DataFile) -> tuple[DataFile, bool]:
    """The first file, and whether contexts that are texts are parsed as lists: its first rows show it. A table has no
    other way to hold lists."""
    rows = next(file.batches)
    parses = file.format in _OF_TEXTS and are_lists(rows.context)
    return replace(file, batches=chain([rows], file.batches), has_lists=file.has_lists or parses), parses


def _widened(schema: pa.Schema) -> pa.Schema:
    """The schema of the chunks of several files, which may differ in the sizes of their integers."""
    place = schema.get_field_index(_PASSTHROUGH)
    return schema if place < 0 else schema.set(place, schema.field(place).with_type(widened(schema.field(place).type)))


def _fits(file: DataFile, schema: pa.Schema) -> bool:
    """Whether the rows of a file can be in chunks of a schema."""
    place = schema.get_field_index(_PASSTHROUGH)
    own = _widened(file.schema)
    if place < 0 or own.get_field_index(_PASSTHROUGH) != place:
        return bool(own == schema)
    kind = unified(own.field(place).type, schema.field(place).type, file.types)
    return bool(own.set(place, own.field(place).with_type(kind)) == schema)


def grown(number: int) -> int:
    """Rows in the table of a number, if nothing else is asked for: tables grow with the file, so that one of tens of
    millions of rows has some ten thousand of them. After the first thousand none holds more than a five-hundredth of
    the rows before it."""
    return _ROWS << min(number // _DOUBLED, _DOUBLINGS)


def open_input(
    spec: InputSpec,
    options: ReadOptions | None = None,
    memory: int = READ_MEMORY,
    sampling: Sampling | None = None,
) -> Input:
    """Open a file, a folder or pattern of files, an address, standard input for "-", or documents with their questions,
    and read as much of it as shows whether it can be read.

    Decoding takes at most `memory` bytes. With `sampling`, only as many documents are read as have that many rows; of
    anything else all is. Raises InputError if the input cannot be read as a whole.
    """
    options = checked(options or ReadOptions())
    if options.text and not isinstance(spec, Documents):
        raise UsageError("only documents have a column of their texts", Remedy("Leave out ", Set("text"), "."))
    resources = ExitStack()
    try:
        return Input(_files(spec, options, memory, sampling), options.limits, resources)
    except BaseException:
        resources.close()
        raise


def _files(spec: InputSpec, options: ReadOptions, memory: int, sampling: Sampling | None) -> InputFiles | DocumentFiles:
    if not isinstance(spec, Documents):
        return InputFiles(locate(spec), options, memory)
    from producer.input.documents.files import DocumentFiles  # starts processes: not where only files are read

    return DocumentFiles(spec, options, memory, sampling)
