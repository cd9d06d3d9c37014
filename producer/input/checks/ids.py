"""Which row of an input has which id."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from contract.errors import BulkqaError
from contract.remedy import Remedy, Set


class Ids:
    """Which row has which id, for a file of any size: a temporary database, on disk once it outgrows its cache."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "locking_mode=EXCLUSIVE", "cache_size=-32768"):
            self._db.execute(f"PRAGMA {pragma}")
        self._db.execute("CREATE TABLE ids (id TEXT PRIMARY KEY, row INTEGER) WITHOUT ROWID")
        self._db.execute("BEGIN")

    def close(self) -> None:
        """Drop the database."""
        self._db.close()

    def repeated(self, ids: Sequence[str], rows: Sequence[int]) -> dict[int, int]:
        """Add ids with their row numbers. Returns the rows whose id an earlier row has, with that earlier row."""
        try:
            added = self._db.executemany("INSERT OR IGNORE INTO ids VALUES (?, ?)", zip(ids, rows, strict=True))
            if added.rowcount == len(rows):
                return {}
            owners = {row: self._owner(id_) for row, id_ in zip(rows, ids, strict=True)}
        except sqlite3.Error as error:
            raise BulkqaError(
                f"the ids of the input cannot be written to a temporary file: {error}",
                Remedy(
                    "Make room for temporary files, set TMPDIR to a folder with room, or go without ids: ", Set(id="")
                ),
            ) from error
        return {row: owner for row, owner in owners.items() if owner != row}

    def _owner(self, id_: str) -> int:
        return int(self._db.execute("SELECT row FROM ids WHERE id = ?", (id_,)).fetchone()[0])
