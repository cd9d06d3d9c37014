"""The question of each group: all its rows ask the same one."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from producer.input.checks.table import TemporaryTable, key_of
from producer.input.rows import Column, Fault, Rows, pc, short


class _Group(NamedTuple):
    """A group: its first row that was accepted, and the hash of the question there. Until then its first row."""

    name: str
    row: int
    question: int | None  #: of 64 bits, with the secret of this process


class GroupQuestions:
    """Which question each group has, for a file of any size. Consecutive groups cost one step each, scattered ones one
    in each batch."""

    def __init__(self) -> None:
        self.count = 0  #: groups so far
        self.scattered = False  #: whether rows of another group are between those of one
        self._last: _Group | None = None
        self._table = TemporaryTable("groups", "name PRIMARY KEY, row INTEGER, question INTEGER", ".")

    def close(self) -> None:
        """Drop the groups."""
        self._table.close()

    def check(self, rows: Rows, group: Column, number: int) -> None:
        """Reject rows whose question is not that of their group, which its first accepted row has. `number`: of the
        first row."""
        places = np.flatnonzero(group.is_valid().to_numpy(zero_copy_only=False))
        if not len(places):
            return
        groups = group.take(pa.array(places)).dictionary_encode()
        questions = rows.question.take(pa.array(places)).dictionary_encode()
        group_of = groups.indices.to_numpy()
        question_of = pc.fill_null(questions.indices, -1).to_numpy()
        accepted = ~np.isin(places, np.fromiter(rows.faults, np.int64, len(rows.faults)))
        first = np.unique(group_of, return_index=True)[1]  # of each group, in order: names are in that of appearance
        heads = np.full(len(first), -1)
        with_accepted, at = np.unique(group_of[accepted], return_index=True)
        heads[with_accepted] = np.flatnonzero(accepted)[at]
        hashes = [*map(hash, questions.dictionary.to_pylist()), None]
        numbers = (number + places[np.where(heads < 0, first, heads)]).tolist()
        heads_ask = np.where(heads < 0, -1, question_of[heads]).tolist()
        names = groups.dictionary.to_pylist()
        batch = [_Group(name, row, hashes[code]) for name, row, code in zip(names, numbers, heads_ask, strict=True)]
        self.scattered |= bool(np.count_nonzero(np.diff(group_of)) >= len(batch))
        batch = self._joined(batch)
        code_of = {question: code for code, question in enumerate(hashes[:-1])}
        right = np.array([code_of.get(group.question, -1) for group in batch])
        for index in np.flatnonzero(accepted & (question_of != right[group_of])):
            owner = batch[group_of[index]]
            message = f"its question is not that of row {owner.row}, which is in the same group: {short(owner.name)}"
            rows.faults[int(places[index])] = Fault("other_question", message)
        self._last = batch[group_of[-1]]

    def _joined(self, batch: list[_Group]) -> list[_Group]:
        """The groups of a batch with what is known of them from those before; they are known from now on."""
        before: dict[int, _Group] = {}
        if self._last is not None and self._last.name == batch[0].name:
            before[0] = self._last
        new = batch[len(before) :]
        added = self._table.add((key_of(group.name), group.row, group.question) for group in new)
        self.count += added
        if added < len(new):
            self.scattered = True
            stored = self._table.rows([key_of(group.name) for group in new])
            for code, group in enumerate(new, len(batch) - len(new)):
                row, question = stored[key_of(group.name)]
                if row != group.row:
                    before[code] = _Group(group.name, row, question)
        return [self._known(before[code], group) if code in before else group for code, group in enumerate(batch)]

    def _known(self, before: _Group, group: _Group) -> _Group:
        """A group that was there before, which has its question from now on if no row of it was accepted till then."""
        if before.question is not None or group.question is None:
            return before
        change = "UPDATE groups SET row = ?, question = ? WHERE name = ?"
        self._table.change(change, group.row, group.question, key_of(group.name))
        return group
