"""Records of a CSV file into rows: where in a record each column is.

Of an error file, rows that nobody mended stay the errors that they were (`contract.format.errorfile`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contract.format import errorfile
from producer.input.columns import Names
from producer.input.formats.csv.blocks import Block
from producer.input.formats.csv.parser import Batch
from producer.input.rows import Column, Fault, Rows, pc, strings, where

_REPLACED = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True, slots=True)
class Unmended:
    """Where in a record of an error file the row is, and where what was wrong with it."""

    own: list[int]
    asked: tuple[int, int]  #: question and context
    code: int
    message: int | None
    raw: int | None
    digest: int | None

    @classmethod
    def of(cls, names: Names) -> Self | None:
        """None for a file that is no error file."""
        code = names.place(errorfile.CODE)
        if code is None:
            return None
        message, raw, digest = (names.place(name) for name in (errorfile.MESSAGE, errorfile.RAW, errorfile.DIGEST))
        own = [names.index(name) for name in names.columns]
        return cls(own, (names.index(names.question), names.index(names.context)), code, message, raw, digest)

    def reject(self, column: Callable[[int], Column], count: int, faults: dict[int, Fault]) -> None:
        """Add the faults of rows that are as they were. `column` gives the texts of a field in all `count` rows."""
        codes = column(self.code).to_pylist()
        suspects = [row for row in range(count) if codes[row] in errorfile.OF_THE_ROW and row not in faults]
        if not suspects:
            return
        texts = {place: column(place) for place in {*self.own, *self._about()}}
        for row in suspects:
            cell = {place: text[row].as_py() or "" for place, text in texts.items()}
            if self._is_as_it_was(cell, codes[row]):
                message = cell.get(self.message, "") if self.message is not None else ""
                raw = cell.get(self.raw) if self.raw is not None else None
                faults[row] = Fault(codes[row], message or "as it was in the error file", raw or None)

    def _about(self) -> list[int]:
        return [place for place in (self.message, self.raw, self.digest) if place is not None]

    def _is_as_it_was(self, cell: dict[int, str], code: str) -> bool:
        """An editor may have spelled numbers otherwise, so that the digest is another: what shows damage still does."""
        if self.digest is not None and cell[self.digest] == errorfile.digest(cell[place] for place in self.own):
            return True
        if code == "bad_encoding":
            return any(_REPLACED in cell[place] for place in self.own)
        if code in ("parse_error", "row_too_large"):
            return not any(cell[place].strip() for place in self.asked)
        return False


class Places:
    """Where in a CSV record each column of a chunk is."""

    def __init__(self, names: Names, schema: pa.Schema) -> None:
        self._question = names.index(names.question)
        self._context = names.index(names.context)
        self._id = names.index(names.id) if names.id is not None else None
        self._others = [names.index(name) for name in names.others]
        self._fields = list(schema.field("passthrough").type) if self._others else []
        self._unmended = Unmended.of(names)
        self._trailing = len(names.found) if names.trailing else None

    def rows(self, batch: Batch | Block) -> Rows:
        """The columns of some records, in the order of a chunk."""
        if isinstance(batch, Block):
            return self._of(batch.columns.__getitem__, batch.lines, {})
        columns = list(zip(*batch.records, strict=True))
        return self._of(lambda place: strings(columns[place], batch.faults), batch.lines, batch.faults)

    def _of(
        self, column: Callable[[int], Column], lines: Sequence[int] | NDArray[np.int64], faults: dict[int, Fault]
    ) -> Rows:
        """Columns that are not asked for are not looked at."""
        others = [column(place) for place in self._others]
        if self._trailing is not None:
            _reject_trailing(column(self._trailing), faults)
        if self._unmended:
            self._unmended.reject(column, len(lines), faults)
        return Rows(
            id=pa.nulls(len(lines), pa.string()) if self._id is None else column(self._id),
            question=column(self._question),
            context=column(self._context),
            passthrough=pa.StructArray.from_arrays(others, fields=self._fields) if others else None,
            lines=lines,
            faults=faults,
        )


def _reject_trailing(column: Column, faults: dict[int, Fault]) -> None:
    """In a file whose lines all end with a delimiter, nothing may follow it."""
    for row in where(pc.not_equal(column, "")):
        faults.setdefault(int(row), Fault("extra_field", "a field behind the delimiter that all lines end with"))
