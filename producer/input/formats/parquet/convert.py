"""Columns of Parquet in types that JSON can hold.

What JSON cannot hold becomes a string: timestamps, dates and times in ISO 8601 (`dates`), decimals as printed,
durations as the number of their unit, binary in base64. NaN and infinities stay, and are text in a prediction
(`contract.format.chunk`).
"""

from __future__ import annotations

import base64
import math
from typing import Any

import numpy as np
import pyarrow as pa

from producer.input.formats.parquet import dates
from producer.input.rows import Column, Fault, Lists, pc, reject_encoding

#: An Arrow type.
DataType = Any


def is_text(kind: DataType) -> bool:
    """Whether a type is one of strings."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def is_list_of_texts(kind: DataType) -> bool:
    """Whether an Arrow type is one of lists of strings."""
    if not pa.types.is_nested(kind) or pa.types.is_map(kind) or not hasattr(kind, "value_type"):
        return False
    item = kind.value_type
    return is_text(item.value_type if pa.types.is_dictionary(item) else item) or pa.types.is_null(item)


def lists_of(column: Column) -> Lists:
    """The lists in an Arrow column of them."""
    faults: dict[int, Fault] = {}
    lengths = pc.fill_null(pc.list_value_length(column), -1).to_numpy(zero_copy_only=False).astype(np.int64)
    return Lists(lengths, converted(column.flatten(), pa.string(), faults), faults)


def json_type(kind: DataType) -> DataType:
    """The type that a column of type `kind` has in a chunk."""
    types = pa.types
    if isinstance(kind, pa.BaseExtensionType):
        return json_type(kind.storage_type)
    if types.is_boolean(kind) or types.is_integer(kind) or types.is_float32(kind) or types.is_float64(kind):
        return kind
    if types.is_float16(kind):
        return pa.float32()
    if types.is_dictionary(kind):
        return json_type(kind.value_type)
    if types.is_map(kind):
        pair = [pa.field("key", json_type(kind.key_type)), pa.field("value", json_type(kind.item_type))]
        return pa.list_(pa.struct(pair))
    if types.is_nested(kind) and hasattr(kind, "value_type"):  # the kinds of list
        return pa.list_(json_type(kind.value_type))
    if types.is_struct(kind) and kind.num_fields:
        return pa.struct([pa.field(f.name, json_type(f.type)) for f in kind])
    return pa.string()


def converted(column: Column, kind: DataType, faults: dict[int, Fault]) -> Column:
    """The column as type `kind`, which is `json_type` of its own, or string."""
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    own = column.type
    if is_text(own):
        return _valid(column.cast(pa.string()) if not pa.types.is_string(own) else column, faults)
    if pa.types.is_floating(kind):
        return column.cast(kind)
    if pa.types.is_struct(kind):
        children = [converted(child, f.type, faults) for child, f in zip(column.flatten(), kind, strict=True)]
        return pa.StructArray.from_arrays(children, fields=list(kind), mask=column.is_null())
    if pa.types.is_list(kind):
        return _list(column, kind, faults)
    return column if own == kind else _printed(column)


def _list(column: Column, kind: DataType, faults: dict[int, Fault]) -> Column:
    """A column of lists of any kind, or of maps, which are lists of pairs."""
    if pa.types.is_map(column.type):
        own = column.type
        column = column.cast(pa.list_(pa.struct([("key", own.key_type), ("value", own.item_type)])))
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    offsets = np.append(0, np.cumsum(lengths)).astype(np.int32)
    within: dict[int, Fault] = {}
    values = converted(column.flatten(), kind.value_type, within)
    for index, fault in within.items():
        faults.setdefault(int(np.searchsorted(offsets, index, side="right")) - 1, fault)
    return pa.ListArray.from_arrays(pa.array(offsets), values, mask=column.is_null())


def _printed(column: Column) -> Column:
    """A column of values that JSON lacks, or of ids, as strings."""
    kind = column.type
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return dates.printed(column)
    if pa.types.is_duration(kind):
        column = column.cast(pa.int64())
    if pa.types.is_time(kind) or pa.types.is_integer(column.type):
        return column.cast(pa.string())
    return pa.array([None if _is_nothing(value) else _as_text(value) for value in column.to_pylist()], pa.string())


def _valid(column: Column, faults: dict[int, Fault]) -> Column:
    """Parquet declares strings to be UTF-8, and no writer has to check."""
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        raw = column.cast(pa.binary()).to_pylist()
        text = [None if value is None else value.decode("utf-8", "replace") for value in raw]
        bad = (i for i, value in enumerate(raw) if value is not None and value != (text[i] or "").encode())
        reject_encoding(bad, faults)
        return pa.array(text, pa.string())
    return column


def _as_text(value: Any) -> str:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def _is_nothing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
