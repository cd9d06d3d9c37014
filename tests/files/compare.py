"""Compares what was read with the writer's table, cell by cell."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contract.errors import InputError
from producer.input.open import open_input
from producer.input.options import ReadOptions
from tests.files.tables import Table


@dataclass
class Held:
    """What a writer wrote, and how it is to be read."""

    path: Path
    table: Table
    option: str  #: the dialect, in a word or two
    read: ReadOptions
    nothing: str | None = None  #: what a cell without a value is in the file
    texts: bool = True  #: whether numbers are text in the file
    extra: tuple[str, ...] = ()  #: columns that the writer adds
    names: dict[str, str] = field(default_factory=dict)  #: of columns, as the file has them
    may_refuse: bool = False  #: whether the file may be refused as a whole, with a remedy


@dataclass
class Outcome:
    """How the rows of a file came back."""

    rows: int = 0
    equal: int = 0
    errors: Counter[str] = field(default_factory=Counter)  #: by code; "owed" where the row has no question or context
    faults: list[str] = field(default_factory=list)
    refused: str | None = None


def compared(held: Held) -> Outcome:
    """Read a file and compare. A difference in a row without an error is a fault."""
    outcome = Outcome(rows=held.table.rows)
    try:
        with open_input(str(held.path), held.read) as source:
            rows = [row for table in source.tables(1000, 1 << 22) for row in table.to_pylist()]
    except InputError as error:
        outcome.refused = error.code
        if not held.may_refuse:
            outcome.faults.append(f"refused: {error}")
        return outcome
    if len(rows) != held.table.rows:
        outcome.faults.append(f"{held.table.rows} rows were written, and {len(rows)} read")
    for number, row in enumerate(rows[: held.table.rows]):
        wanted = expected(held, number)
        if row["code"] is not None:
            owed = not str(wanted["question"] or "").strip() or not str(wanted["context"] or "").strip()
            outcome.errors["owed" if owed and row["code"].startswith(("empty", "missing_field")) else row["code"]] += 1
            continue
        different = [key for key in wanted if wanted[key] != seen(row, held)[key]]
        if different:
            key = different[0]
            outcome.faults.append(f"row {number}: {key}: held {wanted[key]!r:.300}, read {seen(row, held)[key]!r:.300}")
        else:
            outcome.equal += 1
    return outcome


def expected(held: Held, number: int) -> dict[str, Any]:
    """The cells of a row in the writer's table."""
    table = held.table

    def cell(name: str) -> Any:
        value = table.columns[name][number]
        if value is None:
            return held.nothing
        return str(value) if held.texts else value

    own = {"question": cell(table.question), "context": cell(table.context)}
    id_ = cell(table.id) if table.id else None
    own["id"] = id_ if id_ and id_.strip() else None
    return own | {f"other {held.names.get(name, name)}": cell(name) for name in table.others}


def seen(row: dict[str, Any], held: Held) -> dict[str, Any]:
    """The cells of a row as they were read."""
    others = row.get("passthrough")
    others = json.loads(others) if isinstance(others, str) else others or {}
    wanted = [held.names.get(name, name) for name in held.table.others]
    cells = {f"other {name}": others.get(name, None) for name in [*wanted, *others] if name not in held.extra}
    return {"question": row["question"], "context": row["context"], "id": row["id"], **cells}
