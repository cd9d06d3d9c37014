"""The checks of all rows of an input, and their numbers.

Checks run on whole columns: a batch without faults costs no Python per row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from producer.input.checks.ids import Ids
from producer.input.rows import BAD_ENCODING, Column, Fault, Rows, pc, where

#: A cell that only divides a table's header from its rows.
_RULER = r"^\s*(?::?-{2,}:?|={2,})\s*$"


class Checker:
    """Makes tables in the schema of a job's chunks, numbers the rows and rejects those that cannot be scored."""

    def __init__(self, schema: pa.Schema, question: str, context: str, *, with_ids: bool) -> None:
        self.rows = 0
        self.schema = schema
        self.file = ""  #: the file of the rows to come, if there are several: messages name it
        self.encoding_hint = ""  #: for the messages of its rows that are not UTF-8
        self._names = {"question": question, "context": context}
        self._ids = Ids() if with_ids else None

    def close(self) -> None:
        """Drop the ids."""
        if self._ids:
            self._ids.close()

    def table(self, rows: Rows) -> pa.Table:
        """The rows as a table in the schema of a chunk, numbered on from those before. Rejected rows have a code and a
        message."""
        for name, column in (("question", rows.question), ("context", rows.context)):
            self._check_text(rows, name, column)
        self._reject_repeated_header(rows)
        count = len(rows.question)
        rows.id = pc.if_else(pc.or_(pc.equal(rows.id, ""), pc.utf8_is_space(rows.id)), None, rows.id)
        if self._ids:
            self._check_ids(self._ids, rows)
        columns = [
            pa.array(np.arange(self.rows, self.rows + count)),
            pa.nulls(count, pa.int64()) if rows.lines is None else pa.array(rows.lines, pa.int64()),
            rows.id,
            rows.question,
            rows.context,
            *_fault_columns(self._worded(rows.faults), count),
        ]
        if rows.passthrough is not None:
            columns.append(rows.passthrough)
        self.rows += count
        return pa.table(columns, schema=self.schema)

    def _check_text(self, rows: Rows, name: str, column: Column) -> None:
        column_name = self._names[name]
        if column.null_count:
            fault = Fault("missing_field", f"no value for the {name} (column {column_name!r})")
            rows.reject(where(column.is_null()), fault)
        blank = pc.or_(pc.equal(pc.binary_length(column), 0), pc.utf8_is_space(column))
        if pc.any(blank).as_py():
            rows.reject(where(blank), Fault(f"empty_{name}", f"the {name} (column {column_name!r}) is empty"))

    def _reject_repeated_header(self, rows: Rows) -> None:
        """Reject a header that comes again, as in files that were joined, and the ruler of a table."""
        mask = pc.or_(pc.equal(rows.question, self._names["question"]), pc.match_substring_regex(rows.question, _RULER))
        if not pc.any(mask).as_py():
            return
        for index in where(mask):
            question, context = rows.question[index].as_py(), rows.context[index].as_py() or ""
            if question == self._names["question"] and context.strip() == self._names["context"]:
                rows.reject([index], Fault("not_a_row", "the header again, as where files were joined"))
            elif context and not context.strip(" \t:=-"):
                rows.reject([index], Fault("not_a_row", "the ruler of a table"))

    def _worded(self, faults: dict[int, Fault]) -> dict[int, Fault]:
        """The faults with what is known of the file."""
        if not faults or not (self.file or self.encoding_hint):
            return faults
        before = f"{self.file}: " if self.file else ""
        hint = {BAD_ENCODING.message: self.encoding_hint}
        return {
            row: fault._replace(message=before + fault.message + hint.get(fault.message, ""))
            for row, fault in faults.items()
        }

    def _check_ids(self, ids: Ids, rows: Rows) -> None:
        """Rejected rows do not count: their ids may be garbage, and a fixed row below them should be accepted."""
        values = rows.id.to_pylist()
        numbers: Sequence[int] = range(self.rows, self.rows + len(values))
        if rows.faults or rows.id.null_count:
            numbers = [
                n for n, value in zip(numbers, values, strict=True) if value and n - self.rows not in rows.faults
            ]
            values = [values[number - self.rows] for number in numbers]
        for row, owner in ids.repeated(values, numbers).items():
            index = row - self.rows
            fault = Fault("duplicate_id", f"row {owner} has the id {_short(rows.id[index].as_py())} already")
            rows.faults[index] = fault


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:80] + "...")


def _fault_columns(faults: dict[int, Fault], count: int) -> list[Column]:
    """The columns code, message and raw."""
    if not faults:
        return [pa.nulls(count, pa.string())] * 3
    none = (None, None, None)
    by_row: Any = zip(*(faults.get(i, none) for i in range(count)), strict=True)
    return [pa.array(column, pa.string()) for column in by_row]
