"""The column of reference answers: refused if it cannot be read, and settled whether its texts are lists.

A worker then reads every cell in that one form (`contract.evaluation`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from contract.errors import InputError
from contract.evaluation import AnswersForm, references, unreadable
from contract.format import nesting
from contract.remedy import Remedy, Set
from producer.input.rows import Column, Rows, pc

#: The beginning of a text that may be a list. White space is what Python's `strip` removes.
_LIST = r"^[\s\x1c-\x1f\x{85}\p{Z}]*(?:[\[{(]|(?:np\.|numpy\.)?array\()"


class AnswersColumn:
    """The column, as far as its rows were seen. `form` is "" if there is none."""

    def __init__(self, name: str | None) -> None:
        self.form: AnswersForm = "" if name is None else "text"
        self._name = name

    def see(self, rows: Rows) -> None:
        """Look at the next rows, until one has a list."""
        if self._name is not None and self.form == "text" and any(map(_is_list, _candidates(rows, self._name))):
            self.form = "lists"


def refuse_unreadable(label: str, first: Rows, name: str | None) -> None:
    """Refuse lists that cannot be read, rather than count every answer as wrong. `first` are the first rows."""
    column = None if name is None else _column(first, name)
    for row, cell in enumerate([] if column is None else column.to_pylist()):
        if unreadable(cell):
            shown = cell if len(cell) < 100 else cell[:100] + "..."
            raise InputError(
                "unsupported_format",
                f"{label}: the column {name!r} holds answers that cannot be read, first in row {row}: {shown}",
                Remedy('Write them as JSON, such as ["one", "another"], or go without: ', Set(answers="")),
            )


def _is_list(cell: Any) -> bool:
    return references(cell) not in (None, (cell,)) if isinstance(cell, str) else cell is not None


def _candidates(rows: Rows, name: str) -> Iterable[Any]:
    """The cells that may be lists."""
    column = _column(rows, name)
    if column is not None:
        is_text = pa.types.is_string(column.type)
        cells: list[Any] = (column.filter(pc.match_substring_regex(column, _LIST)) if is_text else column).to_pylist()
        return cells
    if rows.passthrough is None or pa.types.is_struct(rows.passthrough.type):
        return []
    return (nesting.loads(text).get(name) for text in rows.passthrough.to_pylist() if text)


def _column(rows: Rows, name: str) -> Column | None:
    """The column, if the rows have columns: of JSON the rest is one text."""
    kind = None if rows.passthrough is None else rows.passthrough.type
    if kind is None or not pa.types.is_struct(kind) or kind.get_field_index(name) < 0:
        return None
    return pc.struct_field(rows.passthrough, [name])
