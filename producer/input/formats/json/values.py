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
REPEATED = "not JSON that can be read: a key appears twice"
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


#: Fields of a record: id, question, context, the rest, group.
WIDTH = 5


@dataclass(frozen=True, slots=True)
class JsonKeys:
    """Which keys of an object are not passthrough. `ignored` is a prefix. With `lists`, a context may be a list."""

    question: str
    context: str
    id: str | None
    group: str | None
    ignored: str
    lists: bool

    def record(self, value: dict[str, Any]) -> list[Any]:
        """id, question, context (a text or a list of texts), the rest as JSON text, and group. Raises NotJsonError for
        a value of a wrong type."""
        own = (self.id, self.question, self.context)
        rest = {k: v for k, v in value.items() if k not in own and not k.startswith(self.ignored)}
        context = value.get(self.context)
        return [
            _name(value, self.id),
            _string(value, self.question),
            _texts(context, self.context) if self.lists and isinstance(context, list) else _string(value, self.context),
            _encoded(rest) if rest else None,
            _name(value, self.group),
        ]


def _name(value: dict[str, Any], key: str | None) -> str | None:
    """An id, or the name of a group."""
    name = value.get(key) if key is not None else None
    if isinstance(name, dict | list):
        raise NotJsonError(f"{key!r} is {json_type(name)}, not a string or a number")
    if name is None or isinstance(name, str):
        return name
    return None if _is_nothing(name) else _encoded(name)


def is_texts(value: Any) -> bool:
    """Whether a value is a list of texts, some of which may be missing."""
    return isinstance(value, list) and all(isinstance(item, str) or _is_nothing(item) for item in value)


def _texts(value: list[Any], key: str) -> list[str | None]:
    wrong = next((item for item in value if not (isinstance(item, str) or _is_nothing(item))), None)
    if wrong is not None:
        raise NotJsonError(f"{key!r} is an array with {json_type(wrong)} in it, not of strings")
    return [item if isinstance(item, str) else None for item in value]


def _is_nothing(value: Any) -> bool:
    """Whether a value is null, or what pandas writes for it."""
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def _string(value: dict[str, Any], key: str) -> str | None:
    text = value.get(key)
    if _is_nothing(text):
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
