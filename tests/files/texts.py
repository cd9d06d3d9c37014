"""CSV as the standard library, pandas and Arrow write it, and by the rules of other programs."""

from __future__ import annotations

import csv
import gzip
import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from pyarrow import csv as arrow_csv

from producer.input.options import ReadOptions
from tests.files.compare import Held
from tests.files.tables import Cell, Table

DELIMITERS = "|,;\t^"
_ENDS = {"\n": "lf", "\r\n": "crlf", "\r": "cr"}
_PACKED = {"gzip": ".gz", "bz2": ".bz2", "xz": ".xz", "zip": ".zip"}  # zstd needs another library


def options(table: Table, **more: Any) -> ReadOptions:
    """How to read a file that has the table's names."""
    return ReadOptions(question=table.question, context=table.context, id=table.id or "", answers="", **more)


def frame(table: Table) -> pd.DataFrame:
    kinds = {name: "Int64" if name == "number" else object for name in table.columns}
    return pd.DataFrame({name: pd.Series(cells, dtype=kinds[name]) for name, cells in table.columns.items()})


def plain(table: Table, delimiter: str) -> Table:
    """Without text that needs quotes."""
    return table.mapped({delimiter: "/", '"': "''", "\r": " ", "\n": " "})


def encodable(table: Table, encoding: str) -> Table:
    """With question marks where an encoding has no letter."""
    letters = {letter for cell in table.cells() for letter in cell}
    return table.mapped({c: "?" for c in letters if not _in_encoding(c, encoding)})


def _first_on_a_line(table: Table, *, index: bool) -> Table:
    """Names without newlines, nor one before the first field: behind a return it is part of the line end."""
    columns = {name.replace("\n", " "): cells for name, cells in table.columns.items()}
    first = next(iter(columns))
    if not index:
        columns[first] = [cell.lstrip("\n") if isinstance(cell, str) else cell for cell in columns[first]]
    return Table(table.question, table.context, table.id, columns)


def _in_encoding(letter: str, encoding: str) -> bool:
    try:
        return letter.encode(encoding).decode(encoding) == letter
    except UnicodeError:
        return False


def pandas_csv(table: Table, dice: random.Random, path: Path) -> Held:
    delimiter, end = dice.choice(DELIMITERS), dice.choice(list(_ENDS))
    quoting = dice.choice(["minimal", "minimal", "all", "nonnumeric", "none"])
    encoding = dice.choice(
        ["utf-8"] * 6 + ["utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252", "gb18030", "shift_jis"]
    )
    nothing = dice.choice(["", "", "NA", "NULL"])
    packed = dice.choice([None] * 5 + list(_PACKED)) if encoding not in ("utf-16", "utf-32") else None
    header, index = dice.random() < 0.85, dice.random() < 0.2
    if quoting == "none":
        table = plain(table, delimiter)
    if end == "\r":  # the csv module quotes no newline then, and a header over two lines tells another line end
        table = _first_on_a_line(table, index=index)
    if not encoding.startswith("utf"):
        table = encodable(table, encoding)
    path = path.with_suffix(".csv" + _PACKED.get(packed or "", ""))
    data = frame(table)
    data.to_csv(
        path, sep=delimiter, lineterminator=end, quoting=getattr(csv, f"QUOTE_{quoting.upper()}"), encoding=encoding,
        na_rep=nothing, compression=packed, header=header, index=index,
    )  # fmt: skip
    names = list(table.columns)
    read = options(table, delimiter=delimiter, encoding=None if encoding.startswith("utf-8") else encoding)
    if header:
        return Held(
            path, table, f"{quoting} {_ENDS[end]} {encoding}", read, nothing, extra=("",), may_refuse=end == "\r"
        )
    numbers = {name: str(names.index(name) + 1 + index) for name in names}
    read = ReadOptions(
        question=numbers[table.question], context=numbers[table.context], id=numbers[table.id] if table.id else "",
        answers="", delimiter=delimiter, encoding=read.encoding, header=False,
    )  # fmt: skip
    return Held(
        path, table, f"{quoting} {_ENDS[end]} no header", read, nothing, extra=("1",) if index else (), names=numbers
    )


def python_csv(table: Table, dice: random.Random, path: Path) -> Held:
    dialect = dice.choice(["excel", "excel-tab", "unix"])
    delimiter = dice.choice(DELIMITERS) if dialect != "excel-tab" else "\t"
    path = path.with_suffix(".csv")
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, dialect, delimiter=delimiter)
        writer.writerow(table.columns)
        writer.writerows(zip(*table.columns.values(), strict=True))
    return Held(path, table, dialect, options(table, delimiter=delimiter), "")


def arrow_csv_file(table: Table, dice: random.Random, path: Path) -> Held:
    delimiter, style = dice.choice(DELIMITERS), dice.choice(["needed", "all_valid", "none"])
    if style == "none":
        table = plain(table, delimiter)
    path = path.with_suffix(".csv")
    chosen = arrow_csv.WriteOptions(delimiter=delimiter, quoting_style=style, batch_size=dice.choice([1, 7, 1024]))
    arrow_csv.write_csv(pa.table(frame(table)), path, chosen)
    return Held(path, table, style, options(table, delimiter=delimiter), "")


# Programs that are not in Python


def excel_csv(table: Table, dice: random.Random, path: Path) -> Held:
    """Excel: records end in CRLF, lines within a cell in LF; sometimes `sep=` above the header."""
    kind = dice.choice(["utf-8", "ansi", "unicode text", "sep"])
    delimiter = {"unicode text": "\t"}.get(kind) or dice.choice(",;")
    encoding = {"ansi": "cp1252", "unicode text": "utf-16"}.get(kind, "utf-8-sig")
    table = table.mapped({"\r\n": "\n", "\r": "\n"})
    if kind == "ansi":
        table = encodable(table, "cp1252")
    text = written(table, delimiter, "\r\n", lambda cell, _: needs_quotes(cell, delimiter))
    if kind == "sep":
        text = f"sep={delimiter}\r\n{text}"
    path = path.with_suffix(".csv")
    path.write_bytes(text.encode(encoding))
    read = options(table, delimiter="|" if kind == "sep" else delimiter)
    if kind != "utf-8" and kind != "sep":
        read = options(table, delimiter=delimiter, encoding=encoding)
    return Held(path, table, kind, read, "")


def libreoffice_csv(table: Table, dice: random.Random, path: Path) -> Held:
    """LibreOffice Calc: LF, and quotes where needed or around all texts."""
    delimiter, everything = dice.choice(DELIMITERS), dice.random() < 0.5
    text = written(
        table,
        delimiter,
        "\n",
        lambda cell, value: (everything and isinstance(value, str)) or needs_quotes(cell, delimiter),
    )
    path = path.with_suffix(".csv")
    path.write_text(text, encoding="utf-8", newline="")
    return Held(path, table, "all" if everything else "needed", options(table, delimiter=delimiter), "")


def r_csv(table: Table, dice: random.Random, path: Path) -> Held:
    """R's write.csv: texts in quotes, NA without, and a column of row names with an empty name."""
    named, nothing = dice.random() < 0.7, dice.choice(["NA", ""])
    if named:
        numbered = {"": [str(n + 1) for n in range(table.rows)], **table.columns}
        whole = Table(table.question, table.context, table.id, numbered)
    else:
        whole = table
    text = written(whole, ",", "\n", lambda _, value: isinstance(value, str), nothing)
    path = path.with_suffix(".csv")
    path.write_text(text, encoding="utf-8", newline="")
    return Held(path, table, "row names" if named else "plain", options(table, delimiter=","), nothing, extra=("",))


def postgres_csv(table: Table, dice: random.Random, path: Path) -> Held:
    r"""PostgreSQL's COPY: an empty text is quoted, NULL is nothing, and a line of \. alone is quoted."""
    delimiter = dice.choice(DELIMITERS)
    text = written(
        table, delimiter, "\n",
        lambda cell, value: value is not None and (cell in ("", "\\.") or needs_quotes(cell, delimiter)),
    )  # fmt: skip
    path = path.with_suffix(".csv")
    path.write_text(text, encoding="utf-8", newline="")
    return Held(path, table, "copy", options(table, delimiter=delimiter), "")


def needs_quotes(cell: str, delimiter: str) -> bool:
    return any(mark in cell for mark in (delimiter, '"', "\n", "\r"))


def written(
    table: Table, delimiter: str, end: str, quoted: Callable[[str, Cell], bool], nothing: str = "", escape: str = '"'
) -> str:
    def cell(value: Cell) -> str:
        text = nothing if value is None else str(value)
        if not quoted(text, value):
            return text
        return '"' + (text if escape == '"' else text.replace(escape, escape * 2)).replace('"', escape + '"') + '"'

    file = io.StringIO(newline="")
    for record in (table.columns, *zip(*table.columns.values(), strict=True)):
        file.write(delimiter.join(map(cell, record)) + end)
    return file.getvalue()


def stored(path: Path, data: bytes, packed: str | None) -> None:
    path.write_bytes(gzip.compress(data) if packed == "gzip" else data)


WRITERS = {
    "python csv": python_csv, "pandas csv": pandas_csv, "arrow csv": arrow_csv_file, "excel csv": excel_csv,
    "libreoffice csv": libreoffice_csv, "r csv": r_csv, "postgres csv": postgres_csv,
}  # fmt: skip
