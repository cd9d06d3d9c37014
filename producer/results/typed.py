"""Predictions as a table: one schema per job whatever its outcome, with each column of the input in its own type.

| column | type | |
|---|---|---|
| row, line | int64 | `line` of a text file |
| id | the input's | |
| status, question, context, answer | string | |
| start, end | int64 | |
| score, raw_score, null_score, margin, exact_match, f1 | float64 | `probability` behind `score`, if it is asked for |
| flags | list of string | |
| error_code, error_message, raw | string | |
| alternatives | list of struct: answer, start, end, score, raw_score, margin | |
| the input's others | the input's | `input_<name>` where a column above has that name |
| passthrough | string | their JSON, instead of columns, if they have no types (JSON Lines) |

Behind `id`, where the job has them: group (string); passage (int64), of lists of contexts; document (string) and page
(int64), of questions asked of documents. Those have excerpt (string) and excerpt_start (int64) in place of
`context`. Behind `status`: trusted (bool), of a job that is split by the promise of another.

Reverses what `producer.input.formats.parquet` does to types that JSON doesn't have. Covers no pandas: see
`producer.api.pandas`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from itertools import accumulate
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import compute

from contract.errors import BulkqaError
from contract.format import csvfile
from contract.format.job import Manifest
from producer.input.columns import OURS
from producer.input.formats.parquet import dates
from producer.results.columns import InputColumns

types = pa.types

#: An Arrow type, or array.
DataType = Any
Array = Any

_SPAN = pa.struct(
    [
        ("answer", pa.string()),
        ("start", pa.int64()),
        ("end", pa.int64()),
        ("score", pa.float64()),
        ("raw_score", pa.float64()),
        ("margin", pa.float64()),
    ]
)
#: The columns of every job, with `id` as text.
CORE = pa.schema(
    [
        ("row", pa.int64()),
        ("line", pa.int64()),
        ("id", pa.string()),
        ("status", pa.string()),
        ("question", pa.string()),
        ("context", pa.string()),
        ("answer", pa.string()),
        ("start", pa.int64()),
        ("end", pa.int64()),
        ("score", pa.float64()),
        ("raw_score", pa.float64()),
        ("null_score", pa.float64()),
        ("margin", pa.float64()),
        ("flags", pa.list_(pa.string())),
        ("exact_match", pa.float64()),
        ("f1", pa.float64()),
        ("error_code", pa.string()),
        ("error_message", pa.string()),
        ("raw", pa.string()),
        ("alternatives", pa.list_(_SPAN)),
    ]
)
PASSTHROUGH = "passthrough"
_GROUP = (pa.field("group", pa.string()),)
_PASSAGE = (pa.field("passage", pa.int64()),)
_DOCUMENT = (pa.field("document", pa.string()), pa.field("page", pa.int64()))
_TRUSTED = pa.field("trusted", pa.bool_())
_EXCERPT = (pa.field("excerpt", pa.string()), pa.field("excerpt_start", pa.int64()))


def core(manifest: Manifest, id_type: DataType) -> pa.Schema:
    """The columns of a job's predictions without those of the input."""
    groups, documents = manifest.groups, manifest.documents
    behind_id = [
        *(_GROUP if groups else ()),
        *(_PASSAGE if groups and groups.by == "list" else ()),
        *(_DOCUMENT if documents else ()),
    ]
    instead: dict[str, Any] = {"id": [pa.field("id", id_type), *behind_id], "context": _EXCERPT if documents else None}
    if manifest.trust:
        instead["status"] = [CORE.field("status"), _TRUSTED]
    return pa.schema([field for each in CORE for field in (instead.get(each.name) or [each])])


def probable(manifest: Manifest, id_type: DataType) -> pa.Schema:
    """The same with the probability that an answer is right, after its score."""
    fields = core(manifest, id_type)
    return fields.insert(fields.get_field_index("score") + 1, pa.field("probability", pa.float64()))


#: Gives the columns of a job without those of the input, for a type of ids.
Core = Callable[[Manifest, DataType], pa.Schema]


@dataclass(frozen=True, slots=True)
class Column:
    """A passed-through column of the input."""

    name: str  #: in the input
    shown: str  #: in the table
    type: DataType
    dictionary: Array | None = None


class Shape:
    """The columns of a job's predictions, or of its groups."""

    def __init__(
        self,
        manifest: Manifest,
        columns: InputColumns | None,
        core: Core = core,
    ) -> None:
        """`columns`: the types of the input's columns, if they were stored."""
        own = {manifest.question_column, manifest.context_column, manifest.id_column}
        self.delimiter = manifest.source.delimiter or ","
        self.id = _id_type(manifest, columns)
        self.typed = columns is not None or manifest.source.format in ("csv", "xlsx")
        names = columns.types.column_names if columns else manifest.source.columns
        others = [name for name in names if name not in own and not name.startswith(OURS)]
        self.core = core(manifest, self.id)
        shown = self.shown(others)
        self.others = [_column(name, shown[name], columns) for name in others] if self.typed else []
        last = [pa.field(c.shown, c.type) for c in self.others] if self.typed else [pa.field(PASSTHROUGH, pa.string())]
        self.schema = pa.schema([*self.core, *last])

    def shown(self, names: Iterable[str]) -> dict[str, str]:
        """The names of the input's columns in the table, where none may collide with those of a prediction."""
        names = list(names)
        taken = {*self.core.names, PASSTHROUGH, "rank"}
        shown = {name: name for name in names if name not in taken}
        for name in names:
            if name in taken and name not in shown:
                free = f"input_{name}"
                while free in shown or free in shown.values():
                    free = f"input_{free}"
                shown[name] = free
        return {name: shown[name] for name in names}

    def table(self, predictions: list[dict[str, Any]]) -> pa.Table:
        """Predictions in the schema. Raises BulkqaError if a value doesn't fit the type of its column."""
        flat = [flattened(prediction) for prediction in predictions]
        arrays = [
            restored([row.get(f.name) for row in flat], self.id)
            if f.name == "id"
            else pa.array([row.get(f.name) for row in flat], f.type)
            for f in self.core
        ]
        passed = [prediction.get("passthrough") or {} for prediction in predictions]
        if self.typed:
            arrays += [_typed(column, [values.get(column.name) for values in passed]) for column in self.others]
        else:
            arrays.append(pa.array([json.dumps(values, ensure_ascii=False) for values in passed], pa.string()))
        return pa.table(arrays, schema=self.schema)

    def cells(self, prediction: dict[str, Any]) -> list[Any]:
        """A prediction as cells of text, numbers and None, in the order of the schema."""
        row = flattened(prediction)
        passed = prediction.get("passthrough") or {}
        others = [passed.get(column.name) for column in self.others] if self.typed else [passed]
        return [_cell(value) for value in [*(row.get(name) for name in self.core.names), *others]]


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, bool) else csvfile.cell(value)


def flattened(prediction: dict[str, Any]) -> dict[str, Any]:
    """A copy of a prediction with its error as two columns."""
    error = prediction.get("error") or {}
    return prediction | {"error_code": error.get("code"), "error_message": error.get("message")}


def _id_type(manifest: Manifest, columns: InputColumns | None) -> DataType:
    if columns is None or manifest.id_column is None:
        return pa.string()
    kind = settled(columns.types.schema.field(manifest.id_column).type)
    return settled(kind.value_type) if types.is_dictionary(kind) else kind


def _column(name: str, shown: str, columns: InputColumns | None) -> Column:
    if columns is None:
        return Column(name, shown, pa.string())
    kind = settled(columns.types.schema.field(name).type)
    if not types.is_dictionary(kind):
        return Column(name, shown, kind)
    chunks = columns.types.column(name).chunks
    if chunks and len(chunks[0].dictionary):
        return Column(name, shown, kind, chunks[0].dictionary)
    return Column(name, shown, pa.dictionary(pa.int32(), kind.value_type, kind.ordered))


def _typed(column: Column, values: list[Any]) -> Array:
    try:
        kind, array = column.type, restored(values, column.type)
        if not types.is_dictionary(kind):
            return array
        dictionary = array.unique().drop_null() if column.dictionary is None else column.dictionary
        indices = compute.index_in(array, value_set=dictionary).cast(kind.index_type)
        return pa.DictionaryArray.from_arrays(indices, dictionary, ordered=kind.ordered)
    except (pa.ArrowException, ValueError, TypeError, KeyError, ArithmeticError) as error:
        raise BulkqaError(
            f"the column {column.name!r} has values that cannot be converted back to {column.type}: {error}",
            "Take the answers as JSON Lines, where the column is text.",
        ) from error


def settled(kind: DataType, *, within: bool = False) -> DataType:
    """The type in which a column of type `kind` comes back: the same, except for types that are read as text.

    `within`: inside a list, struct or map.
    """
    if isinstance(kind, pa.BaseExtensionType):
        storage = settled(kind.storage_type, within=True)
        return kind if storage == kind.storage_type and not within else storage
    if types.is_dictionary(kind):
        value = settled(kind.value_type, within=True)
        return value if within or value != kind.value_type else kind
    if types.is_struct(kind) and kind.num_fields:
        return pa.struct([pa.field(f.name, settled(f.type, within=True)) for f in kind])
    if types.is_map(kind):
        return pa.map_(settled(kind.key_type, within=True), settled(kind.item_type, within=True))
    if types.is_fixed_size_list(kind):
        return pa.list_(settled(kind.value_type, within=True), kind.list_size)
    if types.is_large_list(kind):
        return pa.large_list(settled(kind.value_type, within=True))
    if types.is_nested(kind) and hasattr(kind, "value_type") and not types.is_run_end_encoded(kind):
        return pa.list_(settled(kind.value_type, within=True))
    return kind if (types.is_primitive(kind) and not types.is_interval(kind)) or _is_plain(kind) else pa.string()


def _is_plain(kind: DataType) -> bool:
    return bool(
        types.is_null(kind) or types.is_decimal(kind) or _is_binary(kind) or _is_text(kind) or types.is_time(kind)
    )


def _is_binary(kind: DataType) -> bool:
    return bool(
        types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind)
        or types.is_binary_view(kind)
    )  # fmt: skip


def _is_text(kind: DataType) -> bool:
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def restored(values: list[Any], kind: DataType) -> Array:
    """JSON values or text as an array of a settled type; for a dictionary type, an array of its value type."""
    if isinstance(kind, pa.BaseExtensionType):
        return kind.wrap_array(restored(values, kind.storage_type))
    if types.is_dictionary(kind):
        return restored(values, kind.value_type)
    if types.is_nested(kind):
        return _nested(values, kind)
    if types.is_time(kind):
        return pa.array([None if v is None else _ticks(v, kind.unit) for v in values], pa.int64()).cast(
            pa.int32() if types.is_time32(kind) else pa.int64()
        ).cast(kind)  # fmt: skip
    if make := _maker(kind):
        return pa.array([None if value is None else make(value) for value in values], kind)
    if types.is_duration(kind):
        return pa.array([None if value is None else int(value) for value in values], pa.int64()).cast(kind)
    if types.is_floating(kind):
        return pa.array([None if value is None else float(value) for value in values], pa.float64()).cast(kind)
    return dates.parsed(values, kind) if types.is_temporal(kind) else pa.array(values, kind)


def _nested(values: list[Any], kind: DataType) -> Array:
    """JSON objects or arrays as an array of a nested type."""
    missing = [value is None for value in values]
    if types.is_struct(kind):
        children = [restored([None if v is None else v.get(f.name) for v in values], f.type) for f in kind]
        return pa.StructArray.from_arrays(children, fields=list(kind), mask=pa.array(missing, pa.bool_()))
    if types.is_fixed_size_list(kind):
        slots = [item for value in values for item in ([None] * kind.list_size if value is None else value)]
        items = restored(slots, kind.value_type)
        return pa.FixedSizeListArray.from_arrays(items, kind.list_size, mask=pa.array(missing, pa.bool_()))
    ends = accumulate((len(value or ()) for value in values), initial=0)
    offsets = pa.array(
        list(ends), pa.int64() if types.is_large_list(kind) else pa.int32(), mask=np.array([*missing, False])
    )
    items = [item for value in values for item in value or ()]
    if types.is_map(kind):
        keys, entries = (restored([pair[name] for pair in items], each)
                         for name, each in (("key", kind.key_type), ("value", kind.item_type)))  # fmt: skip
        return pa.MapArray.from_arrays(offsets, keys, entries)
    make = pa.LargeListArray if types.is_large_list(kind) else pa.ListArray
    return make.from_arrays(offsets, restored(items, kind.value_type))


def _maker(kind: DataType) -> Callable[[Any], Any] | None:
    """Converts text or JSON to the Python value that Arrow takes for a type; None if Arrow converts it itself."""
    if types.is_boolean(kind):
        return lambda value: value == "True" if isinstance(value, str) else value
    if types.is_integer(kind):
        return int
    if types.is_decimal(kind):
        return Decimal
    return base64.b64decode if _is_binary(kind) else None


def _ticks(text: str, unit: str) -> int:
    """A time of day in its unit since midnight."""
    clock, _, fraction = text.partition(".")
    parts = [int(part) for part in clock.split(":")] + [0]
    seconds = parts[0] * 3600 + parts[1] * 60 + parts[2]
    digits = len(str(dates.PER_SECOND[unit])) - 1
    whole: int = seconds * 10**digits
    return whole + int((fraction + "0" * digits)[:digits] or 0)
