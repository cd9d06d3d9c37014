"""What every format gives of a file: its columns, and its rows in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import pyarrow as pa

from producer.input.columns import ColumnNames
from producer.input.rows import Rows


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file whose format and columns are known. Its rows can be read once; none of them is checked yet (`rows`)."""

    format: str
    columns: ColumnNames
    schema: pa.Schema  #: of the chunks that are made of it
    batches: Iterator[Rows]
    delimiter: str | None = None
    sheet: str | None = None  #: of a workbook, the one that is read,
    sheets: tuple[str, ...] = ()  #: of all that it has
    types: pa.Schema | None = None  #: of its columns as they are in the file, where it says so
    has_lists: bool = False  #: whether contexts are lists of texts, each a passage
    encoding_hint: str = ""  #: what to say of a row that is not UTF-8
    progress: Callable[[], float] | None = None  #: the share of rows given, where the bytes read do not tell
    notes: Callable[[], Iterable[str]] = tuple  #: what the user should know, once all rows were given
