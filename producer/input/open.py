"""A file of questions and contexts into tables in the schema of a job's chunks: every row, checked, in order.

Tells the format by content (CSV or JSON Lines, either of them compressed, or Parquet), and refuses with a remedy what
cannot be read as a whole. A row that cannot be scored is a row of a table all the same, with a code, a message and what
could be read of it. Memory is bounded by the row and the table, not by the file.

`stored` gives bytes, `unpack` what compressed ones stand for, `formats` make records of them (Parquet in bounded
`memory`), `columns` says which field is what, and `rows` checks and cuts; a `folder` of files is read as one. Writing
chunks is not covered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import pyarrow as pa

from contract.errors import BulkqaError, UsageError
from producer.input.detect import Found, opened
from producer.input.files import Folder, files_of
from producer.input.memory import DEFAULT as READ_MEMORY
from producer.input.options import ReadOptions, checked
from producer.input.raw import RawFile, refuse_url
from producer.input.rows import bounded

#: Rows in the first tables, where nothing else is asked for; after so many tables twice as many, and so often.
_ROWS, _DOUBLED, _DOUBLINGS = 512, 1000, 3


class Input:
    """An input under way, made by `open_input`. Its tables can be read once.

    `columns` are those of the input without ours; of JSON Lines, the keys of the first lines. A pipe has no `size`.
    """

    def __init__(self, stored: RawFile | Folder, resources: ExitStack, found: Found) -> None:
        self.name = stored.name
        self.size = stored.size
        self.format = found.format
        self.columns = found.names.columns
        self.id_column = found.names.id
        self.answers_column = found.names.answers
        self.question_column = found.names.question
        self.context_column = found.names.context
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
        """Let go of the files."""
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
        """All rows in order, in tables bounded by both; a row of more than `max_bytes` is a table of its own. With 0
        rows it is `grown` that bounds them.

        Raises InputError if the input turns out to be damaged after rows were given.
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
        self._sha256 = self._stored.finish()


def grown(number: int) -> int:
    """Rows in a table of this number where nothing else is asked for: tables grow with the file, so that one of tens of
    millions of rows has some ten thousand of them. After the first thousand none holds more than a five-hundredth of
    the rows before it."""
    return _ROWS << min(number // _DOUBLED, _DOUBLINGS)


def open_input(file: str | Path | BinaryIO, options: ReadOptions | None = None, memory: int = READ_MEMORY) -> Input:
    """Open a file, a folder or pattern of files, or standard input for "-", and read as much of it as tells whether it
    can be read.

    Decoding takes at most `memory` bytes. Raises InputError where the file cannot be read as a whole.
    """
    options = checked(options or ReadOptions())
    refuse_url(file)
    resources = ExitStack()
    try:
        stored: RawFile | Folder
        paths = files_of(file)
        if paths is None or not isinstance(file, str | Path):
            one = stored = RawFile(file, resources)
            found = opened(one, options, resources, memory)
        else:
            stored = Folder(file, paths, options, memory, resources)
            found = stored.found()
        return Input(stored, resources, found)
    except BaseException:
        resources.close()
        raise
