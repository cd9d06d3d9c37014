"""The codec of records: dataclasses to JSON and back. Pure.

Reading is strict: a number in quotes is not a number. Fields that the dataclass does not have are ignored: a later
version may have added them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")


def _adapter(kind: Any) -> TypeAdapter[Any]:
    return _made(kind)


@cache
def _made(kind: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter  # a tenth of a second: not where options are only declared, as for `--help`

    return TypeAdapter(kind)


def values(record: Any) -> dict[str, Any]:
    """The fields of a record under their names in JSON. `json.dumps` takes all but sets."""
    fields: dict[str, Any] = _adapter(type(record)).dump_python(record, by_alias=True, warnings=False)
    return fields


def dump(record: Any) -> bytes:
    """A record as a file, one value a line."""
    return json.dumps(values(record), ensure_ascii=False, indent=1).encode() + b"\n"


def line(record: Any, separators: tuple[str, str] = (",", ":")) -> str:
    """A record as one line of ASCII, sets sorted."""
    return json.dumps(values(record), separators=separators, default=sorted)


def read(kind: type[T], data: bytes | str) -> T:
    """The record in a JSON text. Raises ValueError that names the field at fault."""
    from pydantic import ValidationError

    try:
        record: T = _adapter(kind).validate_json(data, strict=True)
        return record
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, fault["loc"]))
        raise ValueError(f"{place}: {fault['msg']}" if place else fault["msg"]) from None


def parse(kind: type[T], data: Any) -> T:
    """The record in JSON that was parsed already. Raises ValueError as `read` does."""
    return read(kind, json.dumps(data))


def salvage(kind: type[T], data: bytes | str | Mapping[str, Any]) -> T:
    """The record in JSON that anybody may have written: a field with a wrong value gets its default, and all of them do
    if there is no object at all. Raises ValueError only for a kind whose fields have no defaults."""
    from pydantic import ValidationError

    text = json.dumps(data) if isinstance(data, Mapping) else data
    try:
        record: T = _adapter(kind).validate_json(text, strict=True)
        return record
    except ValidationError as error:
        wrong = {place[0] for each in error.errors(include_url=False, include_input=False) if (place := each["loc"])}
    object_ = json.loads(text) if wrong else {}
    return parse(kind, {name: value for name, value in object_.items() if name not in wrong})
