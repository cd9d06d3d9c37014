"""What the first line of a CSV file says, and what to do where it is not what was asked for. Pure.

The advice is a command that works: the delimiter and the columns that are there, or that there is no header.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Protocol

from contract.errors import InputError
from producer.input.columns import Wanted, listed, near, no_column
from producer.input.formats.csv.parser import split_header

_DELIMITERS = {"|": "'|'", ",": "','", ";": "';'", "\t": "'\\t'"}
_SEP = re.compile(rb"sep=([^\"\r\n])[\r\n]*\Z")
#: What columns of questions and contexts are called elsewhere, the likeliest first.
_QUESTIONS = ("question", "query", "q")
_CONTEXTS = (
    "context", "passage", "paragraph", "text", "story", "review", "document", "article", "content", "body", "abstract",
)  # fmt: skip


class Asked(Wanted, Protocol):
    """What was asked for (`producer.input.source.ReadOptions`)."""

    @property
    def delimiter(self) -> str:
        """Of a CSV file."""
        ...


def named_delimiter(line: bytes) -> str | None:
    """The delimiter that a line `sep=;` names, which Excel puts before the header; None if it is no such line."""
    found = _SEP.match(line)
    return found[1].decode("latin-1") if found else None


def wrong_header(label: str, line: bytes, found: Sequence[str], asked: Asked, delimiter: str) -> InputError | None:
    """What is wrong with a header that lacks a column that was asked for: None if it does not. `found` are its names,
    `line` is where it begins."""
    wanted = (asked.question, asked.context)
    if all(near(name, found) is not None for name in wanted):
        return None
    best = max((delimiter, *_DELIMITERS), key=lambda each: _score(split_header(line, each), wanted))
    names = split_header(line, best)
    missing = [name for name in wanted if name not in found]
    told = f" with the delimiter {delimiter!r}. Columns found with {_DELIMITERS[best]}" if best != delimiter else ""
    message = f"{label}: {no_column(missing)}{told or '. Columns found'}: {listed(names)}"
    flags = [f"--delimiter {_DELIMITERS[best]}"] if best != delimiter else []
    if _is_a_row(names):
        message += ". Perhaps there is no header"
        flags += ["--no-header", *([] if len(names) == 2 else ["--question NUMBER", "--context NUMBER"])]
    else:
        flags += names_as_flags(names, wanted)
    remedy = f"{'Read it with' if best != delimiter else 'Name them'}: {' '.join(flags)}"
    return InputError("missing_column", message, remedy, {"columns": list(names), "delimiter": best})


def names_as_flags(names: Sequence[str], wanted: tuple[str, str]) -> list[str]:
    """The flags that name the columns of questions and contexts, NAME where they cannot be told."""
    found = [_likely(names, name, usual) for name, usual in zip(wanted, (_QUESTIONS, _CONTEXTS), strict=True)]
    if found == [*wanted]:
        return []
    return [
        f"--{flag} {shlex.quote(name) if name else 'NAME'}"
        for flag, name in zip(("question", "context"), found, strict=True)
    ]


def _likely(names: Sequence[str], wanted: str, usual: Sequence[str]) -> str | None:
    if (same := near(wanted, names)) is not None:
        return same
    for word in usual:
        if (same := near(word, names)) is not None:
            return same
    for word in usual:
        for name in names:
            plain = name.casefold()
            if len(word) > 1 and word in plain and not plain.endswith("id"):
                return name
    return None


def _score(names: Sequence[str], wanted: Sequence[str]) -> tuple[int, int]:
    """How well a header fits: by the columns asked for that it has, then by how many it has."""
    return sum(near(name, names) is not None for name in wanted), len(names)


def _is_a_row(names: Sequence[str]) -> bool:
    """Whether these are no names but a question and a text."""
    return len(names) > 1 and any(name.rstrip().endswith("?") or len(name) > 80 for name in names)
