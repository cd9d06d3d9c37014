"""Records of texts in batches, and what is kept of those that cannot be parsed. For CSV, JSON and Excel."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from producer.input.rows import Fault

#: A batch of records ends after this many rows or bytes: large enough for columns to pay, small enough for the cache.
BATCH_ROWS = 1024
BATCH_BYTES = 4 << 20
#: So much is kept of the text of a row that could not be parsed, in characters.
RAW_LIMIT = 2_000


@dataclass(slots=True)
class RecordBatch:
    """Consecutive records, all of one width, the line that each starts on, and the faults by index. Values are texts or
    None; in JSON, a context may be a list of them.

    Bytes that are not UTF-8 are in the strings as lone surrogates (PEP 383): `rows.strings` finds them.
    """

    records: list[list[Any]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    faults: dict[int, Fault] = field(default_factory=dict)

    def reject(self, record: list[Any], line: int, fault: Fault) -> None:
        """Add a record that has a fault."""
        self.faults[len(self.records)] = fault
        self.records.append(record)
        self.lines.append(line)


def decoded(line: bytes) -> str:
    """UTF-8 as text; invalid bytes become lone surrogates (PEP 383)."""
    return line.decode("utf-8", "surrogateescape")


def raw_text(lines: list[bytes]) -> str:
    """The text of a row as far as it is kept. A character of UTF-8 takes four bytes at most."""
    start = b"".join(lines)[: 4 * RAW_LIMIT] if len(lines) > 1 else lines[0][: 4 * RAW_LIMIT]
    return start.decode("utf-8", "replace").rstrip("\r\n")[:RAW_LIMIT]


def over_limit(limit: int, raw: str | None = None) -> Fault:
    """The fault of a row of more than `limit` bytes. How many more depends on how the file was cut into reads, and is
    not shown."""
    return Fault("row_too_large", f"the row has more than {limit:,} bytes", raw)


def too_large(line: bytes, limit: int) -> Fault:
    """The same, with the start of the line."""
    return over_limit(limit, raw_text([line[:limit]]))
