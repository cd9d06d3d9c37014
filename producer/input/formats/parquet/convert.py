"""Columns of Parquet in types that JSON can hold.

What JSON cannot hold becomes a string: timestamps, dates and times in ISO 8601, decimals and durations as printed,
binary in base64. NaN and infinities become null.
"""

from __future__ import annotations

import base64
import math
from typing import Any

import pyarrow as pa

from producer.input.rows import Column, Fault, pc, reject_encoding

#: An Arrow type.
DataType = Any


def is_text(kind: DataType) -> bool:
    """Whether a type is one of strings."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


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
        column = column.cast(kind)
        return pc.if_else(pc.is_finite(column), column, None)
    if own == kind and not pa.types.is_nested(kind):
        return column
    if pa.types.is_string(kind) and (pa.types.is_temporal(own) or pa.types.is_integer(own)):
        return _printed(column)
    return pa.array([_json_value(value, kind) for value in _values(column, faults)], kind)


def _printed(column: Column) -> Column:
    if pa.types.is_timestamp(column.type):
        return pc.strftime(column, format="%Y-%m-%dT%H:%M:%S" + ("%z" if column.type.tz else ""))
    if pa.types.is_duration(column.type):
        column = column.cast(pa.int64())
    return column.cast(pa.string())


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


def _values(column: Column, faults: dict[int, Fault]) -> list[Any]:
    try:
        values: list[Any] = column.to_pylist()
    except ValueError:  # within is a string that is not UTF-8, or a time that Python cannot hold
        values = [_value(column[i], i, faults) for i in range(len(column))]
    return values


def _value(scalar: Any, index: int, faults: dict[int, Fault]) -> Any:
    try:
        return scalar.as_py()
    except ValueError:
        reject_encoding([index], faults)
        return None


def _json_value(value: Any, kind: DataType) -> Any:
    """`value`, of a nested or unusual type, as type `kind`."""
    if value is None:
        return None
    if isinstance(value, dict) and pa.types.is_struct(kind):
        return {f.name: _json_value(value.get(f.name), f.type) for f in kind}
    if isinstance(value, list | tuple) and pa.types.is_list(kind):
        return [_json_value(_pair(item, kind.value_type), kind.value_type) for item in value]
    if isinstance(value, float) and pa.types.is_floating(kind):
        return value if math.isfinite(value) else None
    return _as_text(value) if pa.types.is_string(kind) else value


def _pair(item: Any, kind: DataType) -> Any:
    """An entry of a map, which comes as a tuple."""
    return (
        dict(zip(("key", "value"), item, strict=True)) if isinstance(item, tuple) and pa.types.is_struct(kind) else item
    )


def _as_text(value: Any) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
