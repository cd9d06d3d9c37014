"""Records of texts into rows: where in a record each column is. For CSV and Excel.

In an error file, rows that were not fixed stay the errors that they were (`contract.format.errorfile`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contract.format import chunk, errorfile
from producer.input.columns import ColumnNames
from producer.input.formats.records import RecordBatch
from producer.input.rows import Column, Fault, Rows, pc, strings, where

_REPLACED = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True, slots=True)
class ErrorFile:
    """The places of a record of an error file: of the row's own fields, and of what was wrong with it."""

    own: list[int]
    texts: tuple[int, int]  #: question and context
    code: int
    message: int | None
    raw: int | None
    digest: int | None

    @classmethod
    def of(cls, columns: ColumnNames) -> Self | None:
        """None for any other file."""
        code = columns.place(errorfile.CODE)
        if code is None:
            return None
        message, raw, digest = (columns.place(name) for name in (errorfile.MESSAGE, errorfile.RAW, errorfile.DIGEST))
        own = [columns.index(name) for name in columns.data]
        texts = columns.index(columns.question), columns.index(columns.context)
        return cls(own, texts, code, message, raw, digest)

    def reject(self, column: Callable[[int], Column], count: int, faults: dict[int, Fault]) -> None:
        """Add the faults of rows that were not fixed. `column` gives the texts of a field in all `count` rows."""
        codes = column(self.code).to_pylist()
        suspects = [row for row in range(count) if codes[row] in errorfile.OF_THE_ROW and row not in faults]
        if not suspects:
            return
        columns = {place: column(place) for place in {*self.own, *self._about()}}
        for row in suspects:
            cells = {place: text[row].as_py() or "" for place, text in columns.items()}
            if self._is_unchanged(cells, codes[row]):
                message = cells.get(self.message, "") if self.message is not None else ""
                raw = cells.get(self.raw) if self.raw is not None else None
                faults[row] = Fault(codes[row], message or "as it was in the error file", raw or None)

    def _about(self) -> list[int]:
        return [place for place in (self.message, self.raw, self.digest) if place is not None]

    def _is_unchanged(self, cells: dict[int, str], code: str) -> bool:
        """An editor may have spelled numbers otherwise, which changes the digest: damage still shows."""
        if self.digest is not None and cells[self.digest] == errorfile.digest(cells[place] for place in self.own):
            return True
        if code == "bad_encoding":
            return any(_REPLACED in cells[place] for place in self.own)
        if code in ("parse_error", "row_too_large"):
            return not any(cells[place].strip() for place in self.texts)
        return False


class TextFields:
    """Where each column of a chunk is in a record of texts."""

    def __init__(self, columns: ColumnNames) -> None:
        self.width = columns.width
        self.schema = chunk.schema([pa.field(name, pa.string()) for name in columns.others])
        self._question = columns.index(columns.question)
        self._context = columns.index(columns.context)
        self._id = columns.index(columns.id) if columns.id is not None else None
        self._group = columns.index(columns.group) if columns.group is not None else None
        self._others = [columns.index(name) for name in columns.others]
        self._fields = list(self.schema.field("passthrough").type) if self._others else []
        self._error_file = ErrorFile.of(columns)
        self._trailing = len(columns.names) if columns.trailing else None

    def rows(self, batch: RecordBatch) -> Rows:
        """The rows of some records."""
        columns = list(zip(*batch.records, strict=True))
        return self.columnar(lambda place: strings(columns[place], batch.faults), batch.lines, batch.faults)

    def columnar(
        self, column: Callable[[int], Column], lines: Sequence[int] | NDArray[np.int64], faults: dict[int, Fault]
    ) -> Rows:
        """The rows of the columns that `column` gives by their place. It is called for those that are needed only."""
        others = [column(place) for place in self._others]
        if self._trailing is not None:
            _reject_trailing(column(self._trailing), faults)
        if self._error_file:
            self._error_file.reject(column, len(lines), faults)
        return Rows(
            id=pa.nulls(len(lines), pa.string()) if self._id is None else column(self._id),
            question=column(self._question),
            context=column(self._context),
            passthrough=pa.StructArray.from_arrays(others, fields=self._fields) if others else None,
            lines=lines,
            faults=faults,
            group=None if self._group is None else column(self._group),
        )


def _reject_trailing(column: Column, faults: dict[int, Fault]) -> None:
    """In a file whose lines all end with a delimiter, nothing may follow it."""
    for row in where(pc.not_equal(column, "")):
        faults.setdefault(int(row), Fault("extra_field", "a field after the delimiter that all lines end with"))
