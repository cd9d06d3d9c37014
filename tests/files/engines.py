"""CSV, JSON and Parquet as polars, DuckDB and `datasets` write them, if they are installed."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa

from tests.files.compare import Held
from tests.files.tables import Table
from tests.files.texts import DELIMITERS, frame, options, plain


def polars_csv(table: Table, dice: random.Random, path: Path) -> Held:
    import polars

    style, delimiter = dice.choice(["necessary", "always", "non_numeric", "never"]), dice.choice(DELIMITERS)
    end, nothing = dice.choice(["\n", "\r\n"]), dice.choice(["", "NULL"])
    if style == "never":
        table = plain(table, delimiter)
    path = path.with_suffix(".csv")
    polars.from_arrow(pa.table(frame(table))).write_csv(
        path, separator=delimiter, quote_style=style, line_terminator=end, null_value=nothing or None,
        include_bom=dice.random() < 0.2,
    )  # fmt: skip
    return Held(
        path, table, f"{style} {'crlf' if len(end) > 1 else 'lf'}", options(table, delimiter=delimiter), nothing
    )


def polars_json(table: Table, dice: random.Random, path: Path) -> Held:
    import polars

    lines = dice.random() < 0.5
    path = path.with_suffix(".json")
    data = polars.from_arrow(pa.table(frame(table)))
    data.write_ndjson(path) if lines else data.write_json(path)
    return Held(path, table, "lines" if lines else "array", options(table), texts=False)


def polars_parquet(table: Table, dice: random.Random, path: Path) -> Held:
    import polars

    packed = dice.choice(["lz4", "uncompressed", "snappy", "gzip", "brotli", "zstd"])
    path = path.with_suffix(".parquet")
    data = polars.from_arrow(pa.table(frame(table)))
    if dice.random() < 0.3:
        data = data.with_columns(polars.col(table.context).cast(polars.Categorical))
    data.write_parquet(path, compression=packed, row_group_size=dice.choice([1, 50, None]))
    return Held(path, table, packed, options(table), texts=False)


def duckdb_csv(table: Table, dice: random.Random, path: Path) -> Held:
    delimiter, nothing = dice.choice(DELIMITERS), dice.choice(["", "NULL"])
    forced, packed = dice.random() < 0.3, dice.choice(["none", "none", "gzip", "zstd"])
    path = path.with_suffix(".csv")
    copy_options = f"FORMAT csv, HEADER, DELIMITER '{delimiter}', NULLSTR '{nothing}', COMPRESSION {packed}"
    _copy(table, path, copy_options + (", FORCE_QUOTE *" if forced else ""))
    return Held(
        path, table, f"{'forced' if forced else 'needed'} {packed}", options(table, delimiter=delimiter), nothing
    )


def duckdb_json(table: Table, dice: random.Random, path: Path) -> Held:
    array = dice.random() < 0.5
    path = path.with_suffix(".json")
    _copy(table, path, f"FORMAT json, ARRAY {str(array).lower()}")
    return Held(path, table, "array" if array else "lines", options(table), texts=False)


def duckdb_parquet(table: Table, dice: random.Random, path: Path) -> Held:
    packed, version = dice.choice(["snappy", "zstd", "gzip", "brotli", "lz4_raw", "uncompressed"]), dice.choice("12")
    path = path.with_suffix(".parquet")
    _copy(table, path, f"FORMAT parquet, COMPRESSION {packed}, PARQUET_VERSION V{version}")
    return Held(path, table, f"{packed} v{version}", options(table), texts=False)


def _copy(table: Table, path: Path, copy_options: str) -> None:
    import duckdb

    with duckdb.connect() as db:
        db.register("held", pa.table(frame(table)))
        db.execute(f"COPY (SELECT * FROM held) TO '{path}' ({copy_options})")  # noqa: S608


def datasets_file(table: Table, dice: random.Random, path: Path) -> Held:
    from datasets import Dataset
    from datasets.utils import disable_progress_bars

    disable_progress_bars()
    kind = dice.choice(["csv", "jsonl", "parquet"])
    path = path.with_suffix(f".{kind}")
    data = Dataset(pa.table(frame(table)))
    if kind == "csv":
        delimiter = dice.choice(DELIMITERS)
        data.to_csv(path, sep=delimiter)
        return Held(path, table, kind, options(table, delimiter=delimiter), "")
    data.to_json(path) if kind == "jsonl" else data.to_parquet(path)
    return Held(path, table, kind, options(table), texts=False)


WRITERS = {
    "polars csv": polars_csv, "polars json": polars_json, "polars parquet": polars_parquet, "duckdb csv": duckdb_csv,
    "duckdb json": duckdb_json, "duckdb parquet": duckdb_parquet, "datasets": datasets_file,
}  # fmt: skip
