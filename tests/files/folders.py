"""Folders of files that are one table: as Spark writes them, and as data sets of Parquet."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tests.files import texts, typed
from tests.files.compare import Held
from tests.files.tables import Table

Writer = Callable[[Table, random.Random, Path], Held]


def spark_csv(table: Table, dice: random.Random, path: Path) -> Held:
    """CSV by Spark: LF, quotes where needed, an empty text in quotes; a quote within is escaped by a backslash, or
    doubled by an option. Parts may have no rows."""
    delimiter, packed = dice.choice(texts.DELIMITERS), dice.choice([None, None, "gzip"])
    escape = dice.choice(["\\", '"'])
    path = path.with_suffix(".csv")
    for name, part in _parts(table, dice, path, f".csv{'.gz' if packed else ''}"):
        text = texts.written(
            part, delimiter, "\n", lambda cell, value: value == "" or texts.needs_quotes(cell, delimiter), escape=escape
        )
        texts.stored(name, text.encode(), packed)
    read = texts.options(table, delimiter=delimiter, escape="\\" if escape == "\\" else None)
    return Held(path, table, f"{'backslash' if read.escape else 'doubled'} {packed or 'plain'}", read, "")


def parquet_set(table: Table, dice: random.Random, path: Path) -> Held:
    return _of_files(typed.arrow_parquet, table, dice, path, ".parquet", "parquet")


def json_set(table: Table, dice: random.Random, path: Path) -> Held:
    return _of_files(typed.lines, table, dice, path, ".jsonl", "jsonl")


def _of_files(writer: Writer, table: Table, dice: random.Random, path: Path, suffix: str, kind: str) -> Held:
    seed = dice.random()
    for name, part in _parts(table, dice, path, suffix):
        held = writer(part, random.Random(seed), name)
    return replace(held, path=path, table=table, option=kind)


def _parts(table: Table, dice: random.Random, folder: Path, suffix: str) -> list[tuple[Path, Table]]:
    """Names and tables of parts, in a folder with the other files that Spark writes."""
    folder.mkdir()
    (folder / "_SUCCESS").touch()
    (folder / f".part-00000-7c{suffix}.crc").write_bytes(b"crc\0\0")
    cuts = sorted(dice.choices(range(table.rows + 1), k=dice.choice([0, 1, 3])))
    parts = []
    for number, (start, end) in enumerate(zip([0, *cuts], [*cuts, table.rows], strict=True)):
        columns = {name: cells[start:end] for name, cells in table.columns.items()}
        name = folder / f"part-{number:05}-7c-c000{suffix}"
        parts.append((name, Table(table.question, table.context, table.id, columns)))
    return parts


WRITERS = {"spark folder": spark_csv, "parquet folder": parquet_set, "json folder": json_set}
