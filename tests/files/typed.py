"""JSON and Parquet, as pandas, Arrow and the standard library write them."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.files.compare import Held
from tests.files.tables import Table
from tests.files.texts import frame, options


def pandas_json(table: Table, dice: random.Random, path: Path) -> Held:
    orient = dice.choice(["lines", "lines", "records", "columns", "index", "split"])
    lines = orient == "lines"
    packed = dice.choice([None, None, "gzip", "bz2"])
    path = path.with_suffix(".json" + {"gzip": ".gz", "bz2": ".bz2"}.get(packed or "", ""))
    if orient in ("columns", "index"):  # these are known by their names
        table = _usual(table)
    frame(table).to_json(
        path, orient="records" if lines else orient, lines=lines, force_ascii=dice.random() < 0.5,
        indent=None if lines else dice.choice([None, 2]), compression=packed,
    )  # fmt: skip
    return Held(path, table, orient, options(table), texts=False)


def python_json(table: Table, dice: random.Random, path: Path) -> Held:
    kind = dice.choice(["lines", "array", "data", "utf-16", "gzip"])
    rows = [dict(zip(table.columns, row, strict=True)) for row in zip(*table.columns.values(), strict=True)]
    if kind in ("array", "data"):
        indent = dice.choice([None, 1])
        text = json.dumps(rows if kind == "array" else {"data": rows}, ensure_ascii=dice.random() < 0.5, indent=indent)
    else:
        end = dice.choice(["\n", "\r\n"])
        ascii_ = dice.random() < 0.5
        text = end.join(json.dumps(row, ensure_ascii=ascii_) for row in rows) + dice.choice(["", end, end * 2])
    data = text.encode("utf-16" if kind == "utf-16" else "utf-8")
    path = path.with_suffix(".jsonl")
    path.write_bytes(gzip.compress(data) if kind == "gzip" else data)
    return Held(path, table, kind, options(table, encoding="utf-16" if kind == "utf-16" else None), texts=False)


def lines(table: Table, dice: random.Random, path: Path) -> Held:
    rows = [dict(zip(table.columns, row, strict=True)) for row in zip(*table.columns.values(), strict=True)]
    path.write_text("".join(json.dumps(row, ensure_ascii=dice.random() < 0.5) + "\n" for row in rows))
    return Held(path, table, "lines", options(table), texts=False)


def pandas_parquet(table: Table, dice: random.Random, path: Path) -> Held:
    packed, index = dice.choice(["snappy", "gzip", "brotli", "lz4", "zstd", None]), dice.choice([None, True, False])
    path = path.with_suffix(".parquet")
    frame(table).to_parquet(path, compression=packed, index=index, row_group_size=dice.choice([1, 7, 1000]))
    return Held(path, table, str(packed), options(table), texts=False, extra=("__index_level_0__",))


def arrow_parquet(table: Table, dice: random.Random, path: Path) -> Held:
    kind = dice.choice([pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())])
    columns = [pa.array(cells, pa.int64() if name == "number" else kind) for name, cells in table.columns.items()]
    path = path.with_suffix(".parquet")
    pq.write_table(
        pa.table(columns, names=list(table.columns)), path, version=dice.choice(["1.0", "2.6"]),
        data_page_version=dice.choice(["1.0", "2.0"]), use_dictionary=dice.random() < 0.5,
        row_group_size=dice.choice([1, 100, 5000]), store_schema=dice.random() < 0.8,
    )  # fmt: skip
    return Held(path, table, str(kind).partition("<")[0], options(table), texts=False)


def _usual(table: Table) -> Table:
    names = {table.question: "question", table.context: "context"}
    columns = {names.get(name, name): cells for name, cells in table.columns.items()}
    return Table("question", "context", table.id, columns)


WRITERS = {
    "python json": python_json, "pandas json": pandas_json, "pandas parquet": pandas_parquet,
    "arrow parquet": arrow_parquet,
}  # fmt: skip
