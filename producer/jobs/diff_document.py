"""The document of a diff: the two jobs, the changed rows, one a line, and the counts.

    {"first": "...", "second": "...", "changes": [
    {"kind": "changed", "row": 3, ...},
    {"kind": "only_first_answered", "row": 8, ...}], "summary": {"same": 10, ...}}

`producer diff --json` prints it, the server answers with it, and a client of the server reads it. Both sides stream.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import chain
from typing import Any, Literal

#: What is compared: rows of one number, rows of one id, groups of one name.
By = Literal["row", "id", "group"]

_CHANGES, _SUMMARY = '"changes": [', '], "summary": '


@dataclass(slots=True)
class Summary:
    """Counts of rows, or of groups. All but the last two have the same question in both jobs."""

    same: int = 0
    changed: int = 0  #: two different answers; or one failed and the other has no answer
    only_first_answered: int = 0
    only_second_answered: int = 0
    not_comparable: int = 0  #: the row has another question in the other job
    missing: int = 0  #: in one job only, or not scored yet

    @property
    def comparable(self) -> int:
        """Rows with the same question in both jobs."""
        return self.same + self.changed + self.only_first_answered + self.only_second_answered


def write(first: str, second: str, batches: Iterable[Sequence[dict[str, Any]]], summary: Summary) -> Iterator[str]:
    """The document, a piece for each batch of changes, which may be empty. `summary` is read behind the last one. The
    first batch is made before the head, so that an error is an error and no half of a document."""
    rest = iter(batches)
    begun = next(rest, ())
    yield f'{{"first": {json.dumps(first)}, "second": {json.dumps(second)}, {_CHANGES}'
    before = "\n"
    for changes in chain([begun], rest):
        yield before * bool(changes) + ",\n".join(json.dumps(change, ensure_ascii=False) for change in changes)
        before = ",\n" if changes else before
    yield f"{_SUMMARY}{json.dumps(asdict(summary))}}}\n"


def read(lines: Iterable[bytes], summary: Summary) -> Iterator[dict[str, Any]]:
    """The changes of a document, given line by line; its counts go into `summary`. Counts with unknown names are
    skipped. Raises ValueError for anything that is not a whole document."""
    known = {field.name for field in fields(Summary)}
    decoder = json.JSONDecoder()
    rest = ""
    for number, line in enumerate(lines):
        rest = line.decode().rstrip("\n")
        if number == 0:
            head, changes, rest = rest.partition(_CHANGES)
            if not (changes and head.startswith('{"first"')):
                raise ValueError("it does not begin as a diff document")
        if rest.startswith("{"):
            change, end = decoder.raw_decode(rest)
            yield change
            rest = rest[end:]
        if rest.startswith(_SUMMARY):
            counts, _ = decoder.raw_decode(rest, len(_SUMMARY))
            for name in known & counts.keys():
                setattr(summary, name, counts[name])
        elif rest not in ("", ","):
            raise ValueError(f"line {number + 1} is not of a diff document")
    if not rest.startswith(_SUMMARY):
        raise ValueError("the diff document is cut short")
