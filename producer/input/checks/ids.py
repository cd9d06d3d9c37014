"""Which row of an input has which id."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from contract.remedy import Set
from producer.input.checks.table import Key, TemporaryTable


class Ids:
    """Which row has which id, for a file of any size."""

    def __init__(self) -> None:
        self._table = TemporaryTable(
            "ids", "id TEXT PRIMARY KEY, row INTEGER, grouping", ", or go without ids: ", Set(id="")
        )

    def close(self) -> None:
        """Drop the ids."""
        self._table.close()

    def repeated(self, ids: Sequence[str], rows: Sequence[int], groups: Iterable[Key] | None = None) -> dict[int, int]:
        """Add ids with their row numbers. Returns the rows whose id an earlier row has, with that earlier row. Rows of
        one group may share an id."""
        keys: Iterable[Key | None] = groups if groups is not None else [None] * len(ids)
        known = list(zip(ids, rows, keys, strict=True))
        if self._table.add(known) == len(known):
            return {}
        stored = self._table.rows(ids)
        found = {}
        for id_, row, group in known:
            owner, its_group = stored[id_]
            if owner != row and (group is None or group != its_group):
                found[row] = owner
        return found
