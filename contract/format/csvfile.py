"""Writing CSV: rows end with a newline alone, and a cell is quoted only if it must be. Pure."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from typing import Any


def encode(rows: Iterable[Sequence[Any]], delimiter: str) -> bytes:
    """Rows of cells, header or not, as bytes of a CSV file. None is an empty cell."""
    lines = _Lines()
    # csv.writer quotes a cell that has a character of its line end: with \r\n, a lone \r is quoted too.
    csv.writer(lines, delimiter=delimiter, lineterminator="\r\n").writerows(rows)
    return lines.text.getvalue().encode()


def cell(value: Any) -> Any:
    """A value of JSON as a cell: objects and lists are their JSON."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value


class _Lines:
    """The file that csv.writer writes to, a line at a time: it ends each line with a newline alone."""

    def __init__(self) -> None:
        self.text = io.StringIO()

    def write(self, line: str) -> None:
        self.text.write(line.removesuffix("\r\n") + "\n")
