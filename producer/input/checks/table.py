"""A temporary table for a file of any size, on disk once it outgrows its cache."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from contract.errors import BulkqaError
from contract.remedy import Part, Remedy

#: A text, or the digest of a long one: a table holds them by the million.
Key = str | bytes
_LONG = 64
#: Keys that one query looks up.
_AT_ONCE = 500


def key_of(text: str) -> Key:
    """The text as a key."""
    return text if len(text) <= _LONG else hashlib.blake2b(text.encode(), digest_size=16).digest()


class TemporaryTable:
    """A table of sqlite whose first column is its key. Raises BulkqaError if there is no room for it, with `otherwise`
    as another remedy."""

    def __init__(self, name: str, columns: str, *otherwise: Part) -> None:
        self._name, self._key = name, columns.split()[0]
        self._otherwise = otherwise
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "locking_mode=EXCLUSIVE", "cache_size=-32768"):
            self._db.execute(f"PRAGMA {pragma}")
        self._db.execute(f"CREATE TABLE {name} ({columns}) WITHOUT ROWID")
        self._db.execute("BEGIN")
        places = ", ".join("?" * (columns.count(",") + 1))
        self._insert = f"INSERT OR IGNORE INTO {name} VALUES ({places})"  # noqa: S608 - names of our own

    def close(self) -> None:
        """Drop the table."""
        self._db.close()

    def add(self, rows: Iterable[Sequence[Any]]) -> int:
        """Add the rows whose key is new. Returns how many these were."""
        with self._room():
            return self._db.executemany(self._insert, rows).rowcount

    def rows(self, keys: Sequence[Key]) -> dict[Key, tuple[Any, ...]]:
        """The rows of keys that are there, by key, each without it."""
        found: dict[Key, tuple[Any, ...]] = {}
        for start in range(0, len(keys), _AT_ONCE):
            some = keys[start : start + _AT_ONCE]
            query = f"SELECT * FROM {self._name} WHERE {self._key} IN ({', '.join('?' * len(some))})"  # noqa: S608
            with self._room():
                found |= {row[0]: row[1:] for row in self._db.execute(query, some)}
        return found

    def change(self, statement: str, *values: Any) -> None:
        """Change a row."""
        with self._room():
            self._db.execute(statement, values)

    @contextmanager
    def _room(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise BulkqaError(
                f"the {self._name} of the input cannot be written to a temporary file: {error}",
                Remedy("Make room for temporary files, set TMPDIR to a folder with room", *self._otherwise),
            ) from error
