"""JSON that is not one row a line: the rows in it, whatever wraps them. Pure.

SQuAD (1.1, 2.0; articles, paragraphs, questions), MRQA, an array of rows, rows under a key such as "data", columns as
pandas and `datasets` write them, an index of rows, and the request of an inference server. Such a file is parsed as a
whole, in bounded memory (`memory`); JSON Lines are not.
"""

from __future__ import annotations

from typing import Any

from contract.squad import objects, questions

Row = dict[str, Any]
_WRAPPERS = (
    "data", "rows", "records", "examples", "items", "instances", "inputs", "predictions", "hits", "response", "docs",
    "results", "dataframe_split", "dataframe_records",
)  # fmt: skip


def rows_of(document: Any) -> list[Row] | None:
    """The rows in a document; None if it has no known form."""
    items = _rows(document)
    return [row for item in items for row in questions(item)] if items else None


def source_of(document: Any) -> str:
    """The filter of jq that gives the rows of a document, as far as its top shows."""
    if isinstance(document, list):
        return ".[]"
    names = (name for name in _WRAPPERS if isinstance(document, dict) and objects(document.get(name)))
    return next((f".{name}[]" for name in names), ".")


def is_heading(item: Row) -> bool:
    """Whether an object is the first line of MRQA, which is not a row."""
    return list(item) == ["header"] and isinstance(item["header"], dict)


def _rows(document: Any) -> list[Row] | None:
    if objects(document):
        return [row["row"] if _is_served(row) else row for row in document]
    if not isinstance(document, dict):
        return None
    if "question" in document and not isinstance(document["question"], list | dict):
        return None  # it is a row
    if split := _split(document):
        return split
    for name in _WRAPPERS:
        inner = document.get(name)
        if tensors := _tensors(inner):
            return tensors
        if rows := _rows(inner) if isinstance(inner, list | dict) else None:
            return rows
        if name == "inputs" and isinstance(inner, dict) and "question" in inner:
            return [inner]
    return _columns(document) or _index(document)


def _is_served(row: Row) -> bool:
    """Whether a row is wrapped as by the server of `datasets`."""
    return "row_idx" in row and isinstance(row.get("row"), dict)


def _tensors(value: Any) -> list[Row] | None:
    """The inputs of KServe and Triton: a name and its data for each column."""
    if not objects(value) or not all(isinstance(each.get("data"), list) and "name" in each for each in value):
        return None
    if len({len(each["data"]) for each in value}) != 1:
        return None
    columns = {
        str(each["name"]): [cell[0] if isinstance(cell, list) and len(cell) == 1 else cell for cell in each["data"]]
        for each in value
    }
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _split(document: Row) -> list[Row] | None:
    """pandas' orient="split"."""
    names, data = document.get("columns"), document.get("data")
    if not isinstance(names, list) or not isinstance(data, list) or not data:
        return None
    if not all(isinstance(row, list) and len(row) == len(names) for row in data):
        return None
    return [dict(zip(map(str, names), row, strict=True)) for row in data]


def _columns(document: Row) -> list[Row] | None:
    """A list, or an object by index, for each column; all of one length."""
    values = list(document.values())
    if "question" not in {name.strip().casefold() for name in document}:
        return None
    if all(isinstance(value, list) for value in values) and len({len(value) for value in values}) == 1:
        return [dict(zip(document, row, strict=True)) for row in zip(*values, strict=True)]
    if all(isinstance(value, dict) for value in values) and len({tuple(value) for value in values}) == 1:
        return [{name: document[name][key] for name in document} for key in values[0]]
    return None


def _index(document: Row) -> list[Row] | None:
    """Rows by an index, as pandas' orient="index"."""
    values = list(document.values())
    if len(values) > 0 and objects(values) and all("question" in value for value in values):
        return values
    return None
