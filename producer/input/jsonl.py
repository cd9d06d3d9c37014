"""JSON Lines into records: one object a line, or a file that is one object. A bad line is a fault of its row.

Keys beside question, context and id are kept as JSON text, since their types may change from line to line. Covers no
checks of what the strings hold (`rows`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

from contract.format import nesting
from producer.input.csv import BATCH_BYTES, BATCH_ROWS, Batch, Fault, decoded, raw_text, too_large
from producer.input.stored import BLOCK, unsupported

_SAMPLE_LINES = 1000
_SAMPLE_BYTES = 4 * BLOCK


class NotJsonError(ValueError):
    pass


def _refuse(constant: str) -> Any:
    raise NotJsonError(f"{constant} is no JSON value")


_DECODE = json.JSONDecoder(parse_constant=_refuse).decode
# Not escaped, so that a lone surrogate stays one and is found with all others when columns are made.
_ENCODE = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def json_object(text: str) -> dict[str, Any]:
    """Raise NotJsonError if the text is no JSON object."""
    try:
        value = nesting.loads(text, _DECODE)
    except NotJsonError:
        raise
    except json.JSONDecodeError as error:
        raise NotJsonError(f"not JSON: {error.msg} at character {error.pos + 1}") from error
    except ValueError as error:  # a number of 5,000 digits, or nesting without end
        raise NotJsonError(f"not JSON that can be read: {error}") from error
    if not isinstance(value, dict):
        raise NotJsonError(f"not a JSON object: {json_type(value)}")
    return value


def json_type(value: object) -> str:
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
        found = value.get(self.id) if self.id is not None else None
        if isinstance(found, dict | list):
            raise NotJsonError(f"{self.id!r} is {json_type(found)}, not a string or a number")
        return found if found is None or isinstance(found, str) else _encoded(found)


def _string(value: dict[str, Any], key: str) -> str | None:
    found = value.get(key)
    if found is not None and not isinstance(found, str):
        raise NotJsonError(f"{key!r} is {json_type(found)}, not a string")
    return found


def _encoded(value: object) -> str:
    try:
        return _ENCODE(value)
    except ValueError as error:  # 1e999 is read as infinity
        raise NotJsonError(f"a value that JSON cannot hold: {error}") from error


def json_batches(lines: Iterator[tuple[int, bytes]], keys: JsonKeys, limit: int) -> Iterator[Batch]:
    """The records of numbered JSON Lines: id, question, context, passthrough."""
    batch, size = Batch(), 0
    for number, line in lines:
        _add_object(batch, number, line, keys, limit)
        size += len(line)
        if len(batch.records) >= BATCH_ROWS or size >= BATCH_BYTES:
            yield batch
            batch, size = Batch(), 0
    if batch.records:
        yield batch


def _add_object(batch: Batch, number: int, line: bytes, keys: JsonKeys, limit: int) -> None:
    if len(line) > limit:
        batch.reject([None] * 4, number, too_large(line, limit))
        return
    try:
        record = keys.record(json_object(decoded(line)))
    except NotJsonError as error:
        batch.reject([None] * 4, number, Fault("parse_error", str(error), raw_text([line])))
    else:
        batch.records.append(record)
        batch.lines.append(number)


def one_line_if_one_object(blocks: Iterator[bytes], limit: int, label: str) -> Iterator[bytes]:
    """The bytes of a file, in which one object over several lines is put on one, if a row may be so large."""
    held = _take(blocks, limit)
    whole = b"".join(held)
    first = next((line for line in whole.splitlines() if line.strip()), b"")
    if _is_object(first):
        return chain(held, blocks)
    if len(whole) <= limit and _is_object(whole):
        # Line ends are allowed between the parts of an object, never within a string.
        before = whole[: len(whole) - len(whole.lstrip())]
        return iter([before + whole.strip().replace(b"\r", b" ").replace(b"\n", b" ") + b"\n"])
    if first.strip() == b"{":
        raise unsupported(label, "JSON over several lines", "Write one object a line: jq -c . FILE > NEW")
    return chain(held, blocks)


def _take(blocks: Iterator[bytes], limit: int) -> list[bytes]:
    """The first blocks: all of them, or a little over `limit` bytes."""
    held: list[bytes] = []
    size = 0
    while size <= limit and (block := next(blocks, b"")):
        held.append(block)
        size += len(block)
    return held


def sample(lines: Iterator[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """The first lines, as many as show what keys there are."""
    taken: list[tuple[int, bytes]] = []
    size = 0
    for numbered in lines:
        taken.append(numbered)
        size += len(numbered[1])
        if len(taken) >= _SAMPLE_LINES or size >= _SAMPLE_BYTES:
            break
    return taken


def _is_object(text: bytes) -> bool:
    try:
        json_object(decoded(text))
    except NotJsonError:
        return False
    return True


def keys_of(lines: list[tuple[int, bytes]]) -> list[str]:
    """The keys of the objects in these lines, in the order in which they come up, as far as they are UTF-8."""
    keys: dict[str, None] = {}
    for _, line in lines:
        try:
            keys |= dict.fromkeys(json_object(decoded(line)))
        except NotJsonError:
            pass  # its row will say so
    return [key for key in keys if key.encode("utf-8", "ignore").decode() == key]  # rows with others will say so
