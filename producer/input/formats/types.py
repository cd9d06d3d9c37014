"""Types of columns that mean the same: files of one input may differ in them, as several writers make them.

Text of any kind is text, in a dictionary or not; an integer is an integer. What else differs is not the same: a file
with another unit of time, or with decimals for numbers, is refused. Pure.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from producer.input.formats.parquet.convert import is_text
from producer.input.formats.parquet.int96 import INT96, int96_field

#: An Arrow type.
DataType = Any

types = pa.types


def common_schema(first: pa.Schema | None, second: pa.Schema | None) -> pa.Schema | None:
    """The columns of the first file in types that hold the values of both, if they have any. Raises TypeError if they
    do not mean the same."""
    if first is None or second is None:
        if first is not second:
            raise TypeError
        return None
    others = {field.name: field for field in second}
    fields = [_common_field(field, others.get(field.name, field)) for field in first]
    return pa.schema(fields, metadata=first.metadata)


def _common_field(first: pa.Field[Any], second: pa.Field[Any]) -> pa.Field[Any]:
    marked = [field for field in (first, second) if INT96 in (field.metadata or {})]
    if marked and types.is_timestamp(first.type) and types.is_timestamp(second.type) and first.type != second.type:
        return int96_field(first.with_type(common(_in_micros(first.type), _in_micros(second.type))))
    return (marked[0] if marked else pa.field(first.name, first.type)).with_type(common(first.type, second.type))


def _in_micros(kind: DataType) -> DataType:
    return pa.timestamp("us", kind.tz) if kind.unit == "ns" else kind


def common(first: DataType, second: DataType) -> DataType:
    """The type that holds the values of both. A column without values, of the type null, fits any. Raises TypeError if
    they do not mean the same."""
    if first == second or types.is_null(second):
        return first
    if types.is_null(first):
        return second
    first, second = _plain(first), _plain(second)
    if is_text(first) and is_text(second):
        return pa.large_string() if pa.large_string() in (first, second) else pa.string()
    if types.is_integer(first) and types.is_integer(second):
        return _integer(first, second)
    if _is_list(first) and _is_list(second):
        return pa.list_(common(first.value_type, second.value_type))
    if types.is_struct(first) and types.is_struct(second) and _names(first) == _names(second):
        return pa.struct([field.with_type(common(field.type, second.field(field.name).type)) for field in first])
    if first != second:
        raise TypeError
    return first


def unified(passthrough: DataType, own: DataType, known: pa.Schema | None) -> DataType:
    """The type of a struct of columns, in which those without values have the types of `own`."""
    if not types.is_struct(passthrough) or not types.is_struct(own) or _names(passthrough) != _names(own):
        return passthrough
    empty = {name for name, kind in zip(known.names, known.types, strict=True) if types.is_null(kind)} if known else ()
    return pa.struct([own.field(f.name) if f.name in empty else f for f in passthrough])


def widened(kind: DataType) -> DataType:
    """A type of JSON that holds the values of every type that means the same."""
    if types.is_integer(kind):
        return pa.uint64() if types.is_uint64(kind) else pa.int64()
    if _is_list(kind):
        return pa.list_(widened(kind.value_type))
    if types.is_struct(kind):
        return pa.struct([field.with_type(widened(field.type)) for field in kind])
    return kind


def _plain(kind: DataType) -> DataType:
    return kind.value_type if types.is_dictionary(kind) else kind


def _is_list(kind: DataType) -> bool:
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _integer(first: DataType, second: DataType) -> DataType:
    """The integers that hold those of both. Raises TypeError for signed ones and unsigned ones of 64 bits."""
    signed = types.is_signed_integer(first) or types.is_signed_integer(second)
    bits = max(kind.bit_width * (2 if signed and types.is_unsigned_integer(kind) else 1) for kind in (first, second))
    if bits > 64:
        raise TypeError
    return getattr(pa, f"{'' if signed else 'u'}int{bits}")()


def _names(kind: DataType) -> list[str]:
    return [field.name for field in kind]
