"""Questions with their contexts, as rows and as a file: whoever reads the file gets the same rows, with the same
errors."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from contextlib import closing
from functools import cache
from typing import NamedTuple

import pyarrow as pa

from contract.format import chunk
from producer.input.checks.checker import Checker
from producer.input.columns import ColumnNames
from producer.input.options import ReadOptions
from producer.input.rows import Fault, Rows, strings


class Pair(NamedTuple):
    """A question, and the text that has its answer."""

    question: str
    context: str
    id: str | None = None

    def fields(self) -> dict[str, str]:
        """Its fields that are set, by name."""
        return {name: text for name, text in self._asdict().items() if text is not None}


def file_of(pairs: Sequence[Pair]) -> io.BytesIO:
    """A file of the pairs, in JSON Lines."""
    return io.BytesIO(_lines(pairs).encode())


def table_of(pairs: Sequence[Pair]) -> pa.Table:
    """The rows of the pairs, checked, as a chunk has them."""
    found = [json.loads(line) for line in _lines(pairs).splitlines()]  # two surrogates may have become a character
    names = (name for name in Pair._fields if any(name in fields for fields in found))
    faults: dict[int, Fault] = {}
    id_, question, context = (
        strings([fields.get(name) for fields in found], faults) for name in ("id", "question", "context")
    )
    nothing, lines = pa.nulls(len(found), pa.string()), range(1, len(found) + 1)
    with closing(Checker(chunk.json_schema(), _columns(*names))) as checker:
        return checker.table(Rows(id_, question, context, nothing, lines, faults))


@cache
def _columns(*names: str) -> ColumnNames:
    return ColumnNames("the questions", names, ReadOptions())


def _lines(pairs: Sequence[Pair]) -> str:
    return "\n".join(json.dumps(pair.fields()) for pair in pairs)
