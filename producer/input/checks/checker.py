"""The checks of all rows of an input, and their numbers.

Checks run on whole columns: a batch without faults costs no Python per row.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pyarrow as pa

from contract.format import chunk
from contract.format.job import Groups
from producer.input.checks.groups import GroupQuestions
from producer.input.checks.ids import Ids
from producer.input.checks.table import key_of
from producer.input.columns import ColumnNames
from producer.input.rows import BAD_ENCODING, Column, Fault, Rows, pc, short, where

#: A cell that only divides a table's header from its rows.
_RULER = r"^\s*(?::?-{2,}:?|={2,})\s*$"


class Checker:
    """Makes tables in the schema of a job's chunks, numbers the rows and rejects those that cannot be scored.

    The schema says whether there are groups, and whether contexts are lists.
    """

    def __init__(self, schema: pa.Schema, columns: ColumnNames) -> None:
        self.rows = 0
        self.schema = schema
        self.file = ""  #: the file of the rows to come, if there are several: messages name it
        self.encoding_hint = ""  #: for the messages of its rows that are not UTF-8
        self._names = {"question": columns.question, "context": columns.context, "group": columns.group}
        has_ids = columns.id is not None and columns.id != columns.group
        # Those of questions come again with each document.
        self._ids = Ids() if has_ids and chunk.DOCUMENT.name not in schema.names else None
        self._groups = GroupQuestions() if columns.group is not None else None
        self._has_lists = chunk.PASSAGE.name in schema.names
        self._origins = 0  # rows of the input so far, if contexts are lists

    def close(self) -> None:
        """Drop the ids and groups."""
        for table in (self._ids, self._groups):
            if table:
                table.close()

    @property
    def groups(self) -> Groups | None:
        """The groups of the rows so far; None if there is no column of them, nor lists of contexts."""
        by: Literal["list", "column"] = "list" if self._has_lists else "column"
        if self._groups:
            return Groups(by, self._groups.count, self._groups.scattered, self._names["group"])
        return Groups(by, self._origins, scattered=False) if self._has_lists else None

    @property
    def origins(self) -> int:
        """Rows of the input so far: a list of contexts is one."""
        return self._origins if self._has_lists else self.rows

    def table(self, rows: Rows) -> pa.Table:
        """The rows as a table in the schema of a chunk, numbered on from those before. Rejected rows have a code and a
        message."""
        count = len(rows.question)
        for name, column in (("question", rows.question), ("context", rows.context)):
            self._check_text(rows, name, column)
        self._reject_repeated_header(rows)
        rows.id = _without_blank(rows.id)
        origin = self._numbered(rows) if self._has_lists else None
        group = self._group(rows, origin)
        if self._ids:
            self._check_ids(self._ids, rows, group)
        if self._groups:
            self._groups.check(rows, group, self.rows)
        columns = [
            pa.array(np.arange(self.rows, self.rows + count)),
            pa.nulls(count, pa.int64()) if rows.lines is None else pa.array(rows.lines, pa.int64()),
            rows.id,
            rows.question,
            rows.context,
            *_fault_columns(self._worded(rows.faults), count),
            *(each for each in (group, rows.passage, rows.document, rows.passthrough) if each is not None),
        ]
        self.rows += count
        return pa.table(columns, schema=self.schema)

    def _numbered(self, rows: Rows) -> Column:
        """Which row of the input each row comes from, if contexts are lists."""
        if rows.passage is None:
            rows.passage = pa.nulls(len(rows.question), pa.int64())
        begins = pc.fill_null(pc.equal(rows.passage, 0), True).to_numpy(zero_copy_only=False)  # noqa: FBT003
        numbers = self._origins - 1 + np.cumsum(begins)
        self._origins = int(numbers[-1]) + 1
        return pa.array(numbers)

    def _group(self, rows: Rows, origin: Column | None) -> Column | None:
        """The group of each row: the value of the column, else the row of the input whose list it is in. Questions that
        are asked of documents come with theirs."""
        if rows.document is not None:
            return rows.group
        if not self._groups:
            return None if origin is None else origin.cast(pa.string())
        rows.group = _without_blank(rows.group)
        self._reject_missing(rows, "group", rows.group)
        return rows.group

    def _check_text(self, rows: Rows, name: str, column: Column) -> None:
        self._reject_missing(rows, name, column)
        if pa.types.is_dictionary(column.type):  # of documents, which were looked at as they were read
            return
        blank = pc.or_(pc.equal(pc.binary_length(column), 0), pc.utf8_is_space(column))
        if pc.any(blank).as_py():
            fault = Fault(f"empty_{name}", f"the {name} (column {self._names[name]!r}) is empty")
            rows.reject(where(blank), fault)

    def _reject_missing(self, rows: Rows, name: str, column: Column) -> None:
        if column.null_count:
            fault = Fault("missing_field", f"no value for the {name} (column {self._names[name]!r})")
            rows.reject(where(column.is_null()), fault)

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

    def _check_ids(self, ids: Ids, rows: Rows, group: Column | None) -> None:
        """Rejected rows do not count: their ids may be garbage, and a fixed row below them should be accepted."""
        accepted = rows.id.is_valid().to_numpy(zero_copy_only=False)
        accepted[list(rows.faults)] = False
        places = np.flatnonzero(accepted)
        if not len(places):
            return
        values = rows.id.take(pa.array(places))
        starts, keys = np.arange(len(places)), None
        if group is not None:  # of neighbours in a group that have one id, the first stands for all
            groups = group.take(pa.array(places))
            starts = _changes(values, groups)
            values, keys = values.take(pa.array(starts)), map(key_of, groups.take(pa.array(starts)).to_pylist())
        firsts = places[starts]
        for row, owner in ids.repeated(values.to_pylist(), (self.rows + firsts).tolist(), keys).items():
            run = int(np.searchsorted(firsts, row - self.rows))
            fault = Fault("duplicate_id", f"row {owner} has the id {short(values[run].as_py())} already")
            rows.reject(places[starts[run] : starts[run + 1] if run + 1 < len(starts) else None], fault)


def _changes(*columns: Column) -> np.ndarray[Any, Any]:
    """Where rows begin that differ from the one before in one of the columns."""
    differ = [pc.not_equal(column[1:], column[:-1]).to_numpy(zero_copy_only=False) for column in columns]
    return np.append(0, 1 + np.flatnonzero(np.any(differ, axis=0)))


def _without_blank(column: Column) -> Column:
    """The column with null for texts of white space."""
    return pc.if_else(pc.or_(pc.equal(column, ""), pc.utf8_is_space(column)), None, column)


def _fault_columns(faults: dict[int, Fault], count: int) -> list[Column]:
    """The columns code, message and raw."""
    if not faults:
        return [pa.nulls(count, pa.string())] * 3
    none = (None, None, None)
    by_row: Any = zip(*(faults.get(i, none) for i in range(count)), strict=True)
    return [pa.array(column, pa.string()) for column in by_row]
