"""The error file of a job: its rows with an error in the input's own columns, and why. Mended rows are submitted again.

A row whose text the input did not hold as it is here (it could not be split, or decoded) must not be answered unless it
was mended. So each carries a digest of its cells as they were written: while they are the same, the row stays the error
that it was. Who wants a row as it is empties its `bulkqa_code`. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

#: Columns of ours begin so. Of an input that has them, they are no data.
PREFIX = "bulkqa_"
ROW, LINE, CODE, MESSAGE, RAW, DIGEST = (
    "bulkqa_row", "bulkqa_line", "bulkqa_code", "bulkqa_message", "bulkqa_raw", "bulkqa_digest",
)  # fmt: skip
COLUMNS = (ROW, LINE, CODE, MESSAGE, RAW, DIGEST)
#: What a row fails with for what is in it. Other errors are ours, and the row is tried again.
OF_THE_ROW = frozenset(
    {
        "empty_question", "empty_context", "missing_field", "extra_field", "bad_encoding", "parse_error",
        "row_too_large", "duplicate_id",
    }
)  # fmt: skip


def digest(cells: Iterable[Any]) -> str:
    """Of a row's own cells, in order. How blanks are spelled does not matter: editors change line ends."""
    text = "\x1f".join(" ".join(str("" if cell is None else cell).split()) for cell in cells)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
