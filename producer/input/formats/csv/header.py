"""What the first line of a CSV file says, and what to do if columns are missing from it. Pure.

The remedy has the options that work: the delimiter and the columns that were found, or the absence of a header.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from contract.errors import InputError
from contract.remedy import Remedy, Set
from producer.input.columns import columns_remedy, guessed, header_place, listed, near, no_column, options_remedy
from producer.input.formats.csv.parser import split_header
from producer.input.options import ReadOptions

_DELIMITERS = {"|": "'|'", ",": "','", ";": "';'", "\t": "'\\t'"}
_SEP = re.compile(rb"sep=([^\"\r\n])[\r\n]*\Z")


def named_delimiter(line: bytes) -> str | None:
    """The delimiter that a line `sep=;` names, which Excel puts before the header; None for any other line."""
    match = _SEP.match(line)
    return match[1].decode("latin-1") if match else None


def lines_of_title(head: Sequence[bytes], options: ReadOptions) -> int:
    """How many of the first lines are above a header that has the columns that were asked for, and fewer fields."""
    if _goes_on(head, options):
        return 0
    expected = (options.question, options.context)
    place = header_place((_names(line, options.delimiter, options) for line in head), expected) or 0
    in_quotes = options.quote != "none" and b"".join(head[:place]).count(b'"') % 2  # a name over several lines
    return 0 if in_quotes else place


def _goes_on(head: Sequence[bytes], options: ReadOptions) -> bool:
    """Whether a quote is open at the end of the first line: a name in a header may contain a line end."""
    return options.quote != "none" and bool(head) and head[0].count(b'"') % 2 == 1


def wrong_header(
    label: str, head: Sequence[bytes], number: int, header: Sequence[str], options: ReadOptions
) -> InputError | None:
    """The error of a header that lacks a column that was asked for; None if it has all. `head` are the lines from where
    it begins, the first of them of that `number`."""
    expected, delimiter = (options.question, options.context), options.delimiter
    if all(near(name, header) is not None for name in expected):
        return None
    place, best = _likely(head, options)
    names = _names(head[place], best, options)
    missing = [name for name in expected if name not in header]
    settings: dict[str, object] = {"delimiter": best} if best != delimiter else {}
    with_best = f"Columns found with {_DELIMITERS.get(best, repr(best))}"
    if place:
        settings["skip_lines"] = number + place - 1
        message = f"{label}: line {number} is not a header. {with_best} on line {number + place}"
    elif best != delimiter:
        message = f"{label}: {no_column(missing)} with the delimiter {delimiter!r}. {with_best}"
    else:
        message = f"{label}: {no_column(missing)}. Columns found"
    message += f": {listed(names)}"
    if not place and _is_a_row(names):
        message += ". Perhaps there is no header"
        remedy = options_remedy(
            "Read it with", settings | {"header": False}, () if len(names) == 2 else ("question", "context")
        )
    else:
        remedy = columns_remedy(names, expected, settings)
    if best == "\t" and options.quote != "none" and any(b'"' in line for line in head):
        remedy = Remedy(remedy, "   Or with quotes as text: set ", Set("quote"), " to none")
    return InputError("missing_column", message, remedy, {"columns": list(names), "delimiter": best})


def _likely(head: Sequence[bytes], options: ReadOptions) -> tuple[int, str]:
    """Which of the first lines is likely the header, and its delimiter: the first line, unless it is a title without
    columns that could be meant."""
    expected = (options.question, options.context)
    delimiters = list(dict.fromkeys((options.delimiter, *_DELIMITERS)))

    def best(line: bytes, among: Sequence[str]) -> str:
        return max(among, key=lambda each: _score(_names(line, each, options), expected))

    first = best(head[0], delimiters)
    if None in guessed(_names(head[0], first, options), expected) and not _goes_on(head, options):
        fields: dict[str, list[list[str]]] = {delimiter: [] for delimiter in delimiters}
        for place, line in enumerate(head):
            for delimiter, lines in fields.items():
                lines.append([*filter(None, _names(line, delimiter, options))])
            if fitting := [each for each in delimiters if _is_below_title(fields[each], expected)]:
                return place, best(line, fitting)
    return 0, first


def _is_below_title(lines: Sequence[Sequence[str]], expected: tuple[str, str]) -> bool:
    """Whether the last of some lines is a header below a title: with the columns that were asked for, or with likely
    ones and more fields than any line above. Lines that may be rows are not a title."""
    *above, names = lines
    if not above or any(map(_is_a_row, lines)):
        return False
    more = len(names) - max(map(len, above))
    return (more > 0 and None not in guessed(names, expected)) or (
        more == 0 and None not in (near(n, names) for n in expected)
    )


def _names(line: bytes, delimiter: str, options: ReadOptions) -> list[str]:
    return split_header(line, delimiter, quoted=options.quote != "none")


def _score(names: Sequence[str], expected: Sequence[str]) -> tuple[int, int]:
    """How well a header fits: by how many of the wanted columns it has, then by how many it has at all."""
    return sum(near(name, names) is not None for name in expected), len(names)


def _is_a_row(names: Sequence[str]) -> bool:
    """Whether these are not names but a question and a text."""
    return len(names) > 1 and any(name.rstrip().endswith("?") or len(name) > 80 for name in names)
