"""The error file of a job: its failed rows in the input's own columns, with the reason. Fixed rows are submitted again.

Some rows here differ from the input, because it could not be split or decoded: they must not be answered until they are
fixed. So each row carries a digest of its cells as they were written, and while the cells are unchanged, the row keeps
its error. To submit a row unchanged, empty its `bulkqa_code`. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

#: The prefix of our own columns. In an input they are not data.
PREFIX = "bulkqa_"
ROW, LINE, CODE, MESSAGE, RAW, DIGEST = (
    "bulkqa_row", "bulkqa_line", "bulkqa_code", "bulkqa_message", "bulkqa_raw", "bulkqa_digest",
)  # fmt: skip
COLUMNS = (ROW, LINE, CODE, MESSAGE, RAW, DIGEST)
#: The group of a row, where no column of the input says so: then it is the list that its context was in.
GROUP = "bulkqa_group"
#: Error codes for which the row itself is to blame. With any other code, the row is tried again.
OF_THE_ROW = frozenset(
    {
        "empty_question", "empty_context", "missing_field", "extra_field", "bad_encoding", "parse_error",
        "row_too_large", "not_a_row", "duplicate_id", "other_question",
    }
)  # fmt: skip


def digest(cells: Iterable[Any]) -> str:
    """The digest of a row's own cells, in order. All whitespace counts the same: editors change line ends."""
    text = "\x1f".join(" ".join(str("" if cell is None else cell).split()) for cell in cells)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
