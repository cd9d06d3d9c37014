"""What the first line of a CSV file says, and what to do if columns are missing from it. Pure.

The remedy has the options that work: the delimiter and the columns that were found, or that there is no header.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from contract.errors import InputError
from producer.input.columns import columns_remedy, listed, near, no_column, options_remedy
from producer.input.formats.csv.parser import split_header
from producer.input.options import ReadOptions

_DELIMITERS = {"|": "'|'", ",": "','", ";": "';'", "\t": "'\\t'"}
_SEP = re.compile(rb"sep=([^\"\r\n])[\r\n]*\Z")


def named_delimiter(line: bytes) -> str | None:
    """The delimiter that a line `sep=;` names, which Excel puts before the header; None for any other line."""
    match = _SEP.match(line)
    return match[1].decode("latin-1") if match else None


def wrong_header(label: str, line: bytes, header: Sequence[str], options: ReadOptions) -> InputError | None:
    """The error of a header that lacks a column that was asked for; None if it has all. `line` is where it begins."""
    wanted, delimiter = (options.question, options.context), options.delimiter
    if all(near(name, header) is not None for name in wanted):
        return None
    best = max((delimiter, *_DELIMITERS), key=lambda each: _score(split_header(line, each), wanted))
    names = split_header(line, best)
    missing = [name for name in wanted if name not in header]
    tried = f" with the delimiter {delimiter!r}. Columns found with {_DELIMITERS[best]}" if best != delimiter else ""
    message = f"{label}: {no_column(missing)}{tried or '. Columns found'}: {listed(names)}"
    settings: dict[str, object] = {"delimiter": best} if best != delimiter else {}
    if _is_a_row(names):
        message += ". Perhaps there is no header"
        remedy = options_remedy(
            "Read it with", settings | {"header": False}, () if len(names) == 2 else ("question", "context")
        )
    else:
        remedy = columns_remedy(names, wanted, settings)
    return InputError("missing_column", message, remedy, {"columns": list(names), "delimiter": best})


def _score(names: Sequence[str], wanted: Sequence[str]) -> tuple[int, int]:
    """How well a header fits: by how many of the wanted columns it has, then by how many it has at all."""
    return sum(near(name, names) is not None for name in wanted), len(names)


def _is_a_row(names: Sequence[str]) -> bool:
    """Whether these are not names but a question and a text."""
    return len(names) > 1 and any(name.rstrip().endswith("?") or len(name) > 80 for name in names)
