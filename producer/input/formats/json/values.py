"""Values of JSON: parsed, named in words, and taken apart into the columns of a row.

Keys beside question, context and id are kept as JSON text, since their types may change from row to row.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from contract.format import nesting
from contract.format.chunk import finite
from producer.input.formats.records import decoded


class NotJsonError(ValueError):
    """A text that is not JSON, or not such that a row can hold. The text says why."""


class _Twice(dict[str, Any]):
    """An object in which a key is repeated: which value was meant cannot be known."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    return value if len(value) == len(pairs) else _Twice(value)


def _line(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise NotJsonError(REPEATED)
    return value


#: Why an object with a repeated key is not read.
REPEATED = "not JSON that can be read: a key is there twice"
# By the standard library: msgspec parses in a third of the time, but parsing is a third of reading a row and nothing
# beside answering it, and it knows no NaN, no repeated key and no lone surrogate, each of which costs a row only.
_DECODE_LINE = json.JSONDecoder(object_pairs_hook=_line).decode
_SPACE = re.compile(r"[ \t\r\n]*")
_DECODE = json.JSONDecoder(object_pairs_hook=_object).decode
# Not escaped, so that a lone surrogate stays one and is found with all others when columns are made.
_ENCODE = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def parsed(text: str, decode: Callable[[str], Any] = _DECODE) -> Any:
    """The value of a text. Raises NotJsonError."""
    try:
        return nesting.loads(text, decode)
    except NotJsonError:
        raise
    except json.JSONDecodeError as error:
        raise NotJsonError(f"not JSON: {error.msg} at character {error.pos + 1}") from error
    except ValueError as error:  # a number of 5,000 digits, or nesting without end
        raise NotJsonError(f"not JSON that can be read: {error}") from error


def parsed_sequence(text: str) -> list[Any]:
    """The values of a text with several of them, one after another. Raises NotJsonError."""
    value: list[Any] = parsed(text, _sequence)
    return value


def _sequence(text: str) -> list[Any]:
    decoder = json.JSONDecoder(object_pairs_hook=_object)
    values, at = [], 0
    while (at := _SPACE.match(text, at).end()) < len(text):  # type: ignore[union-attr]
        value, at = decoder.raw_decode(text, at)
        values.append(value)
    return values


def json_object(text: str) -> dict[str, Any]:
    """The object that a text is. Raises NotJsonError."""
    value = parsed(text, _DECODE_LINE)
    if not isinstance(value, dict):
        raise NotJsonError(f"not a JSON object: {json_type(value)}")
    return value


def json_type(value: object) -> str:
    """The type of a value in words."""
    names = {
        bool: "a boolean",
        int: "a number",
        float: "a number",
        str: "a string",
        list: "an array",
        dict: "an object",
    }
    return names.get(type(value), "null")


@dataclass(frozen=True, slots=True)
class JsonKeys:
    """Which keys of an object are not passthrough. `ignored` is a prefix."""

    question: str
    context: str
    id: str | None
    ignored: str

    def record(self, value: dict[str, Any]) -> list[str | None]:
        """id, question, context, and the rest as JSON text. Raises NotJsonError for a value of a wrong type."""
        own = (self.id, self.question, self.context)
        rest = {k: v for k, v in value.items() if k not in own and not k.startswith(self.ignored)}
        return [
            self._id(value),
            _string(value, self.question),
            _string(value, self.context),
            _encoded(rest) if rest else None,
        ]

    def _id(self, value: dict[str, Any]) -> str | None:
        id_ = value.get(self.id) if self.id is not None else None
        if isinstance(id_, dict | list):
            raise NotJsonError(f"{self.id!r} is {json_type(id_)}, not a string or a number")
        if id_ is None or isinstance(id_, str):
            return id_
        return None if isinstance(id_, float) and not math.isfinite(id_) else _encoded(id_)


def _string(value: dict[str, Any], key: str) -> str | None:
    text = value.get(key)
    if text is None or (isinstance(text, float) and not math.isfinite(text)):  # what pandas writes for nothing
        return None
    if not isinstance(text, str):
        raise NotJsonError(f"{key!r} is {json_type(text)}, not a string")
    return text


def has_repeated_key(value: Any) -> bool:
    """Whether a key is repeated in an object or one within it."""
    if isinstance(value, dict):
        return isinstance(value, _Twice) or any(map(has_repeated_key, value.values()))
    return isinstance(value, list) and any(map(has_repeated_key, value))


def _encoded(value: object) -> str:
    try:
        return _ENCODE(value)
    except ValueError:  # NaN, or infinity, which is also what 1e999 is read as
        return _ENCODE(finite(_without_nan(value)))


def _without_nan(value: Any) -> Any:
    """A value with null for NaN, which pandas and others write for nothing, of text as well."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def is_object(text: bytes) -> bool:
    """Whether a text is one JSON object."""
    try:
        json_object(decoded(text))
    except NotJsonError:
        return False
    return True


def is_utf8(text: str) -> bool:
    """Whether a text has no lone surrogate."""
    return text.encode("utf-8", "ignore").decode() == text
