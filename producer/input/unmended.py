"""Rows of an error file that nobody mended: they stay the errors that they were (`contract.format.errorfile`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from contract.format import errorfile
from producer.input.columns import Names
from producer.input.csv import Fault
from producer.input.rows import Column

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
