"""JSON into records: an object a line, or the rows of a document (`documents`). A bad line is a fault of its row.

Keys beside question, context and id are kept as JSON text, since their types may change from line to line. Covers no
checks of what the strings hold (`rows`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from contract import squad
from contract.format import nesting
from producer.input.formats.csv.parser import BATCH_BYTES, BATCH_ROWS, RAW_LIMIT, Batch, decoded, raw_text, too_large
from producer.input.formats.json import documents
from producer.input.raw import BLOCK
from producer.input.rows import Fault

_SAMPLE_LINES = 1000
_SAMPLE_BYTES = 4 * BLOCK


class NotJsonError(ValueError):
    """A text that is no JSON, or none that a row can hold. The text says why."""


class _Twice(dict[str, Any]):
    """An object in which a key is repeated: there is no telling which value was meant."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else _Twice(found)


def _line(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise NotJsonError(_REPEATED)
    return found


_REPEATED = "not JSON that can be read: a key is there twice"
# By the standard library: msgspec parses in a third of the time, but parsing is a third of reading a row and nothing
# beside answering it, and it knows no NaN, no repeated key and no lone surrogate, each of which costs a row only.
_DECODE_LINE = json.JSONDecoder(object_pairs_hook=_line).decode
_DECODE = json.JSONDecoder(object_pairs_hook=_object).decode
# Not escaped, so that a lone surrogate stays one and is found with all others when columns are made.
_ENCODE = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def parsed(text: str, decode: Callable[[str], Any] = _DECODE) -> Any:
    """Raise NotJsonError if the text is no JSON."""
    try:
        return nesting.loads(text, decode)
    except NotJsonError:
        raise
    except json.JSONDecodeError as error:
        raise NotJsonError(f"not JSON: {error.msg} at character {error.pos + 1}") from error
    except ValueError as error:  # a number of 5,000 digits, or nesting without end
        raise NotJsonError(f"not JSON that can be read: {error}") from error


def json_object(text: str) -> dict[str, Any]:
    """Raise NotJsonError if the text is no JSON object."""
    value = parsed(text, _DECODE_LINE)
    if not isinstance(value, dict):
        raise NotJsonError(f"not a JSON object: {json_type(value)}")
    return value


def json_type(value: object) -> str:
    """What a value of JSON is, in words."""
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
        if found is None or isinstance(found, str):
            return found
        return None if isinstance(found, float) and not math.isfinite(found) else _encoded(found)


def _string(value: dict[str, Any], key: str) -> str | None:
    found = value.get(key)
    if found is None or (isinstance(found, float) and not math.isfinite(found)):  # what pandas writes for nothing
        return None
    if not isinstance(found, str):
        raise NotJsonError(f"{key!r} is {json_type(found)}, not a string")
    return found


def _repeated(value: Any) -> bool:
    """Whether an object within has a key twice."""
    if isinstance(value, dict):
        return isinstance(value, _Twice) or any(map(_repeated, value.values()))
    return isinstance(value, list) and any(map(_repeated, value))


def _encoded(value: object) -> str:
    try:
        return _ENCODE(value)
    except ValueError:  # NaN, or 1e999, which is read as infinity: nothing, as in Parquet
        return _ENCODE(_finite(value))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


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
        item = json_object(decoded(line))
        if number == 1 and documents.is_heading(item):
            return
        records = [keys.record(row) for row in squad.questions(item)]
    except NotJsonError as error:
        batch.reject([None] * 4, number, Fault("parse_error", str(error), raw_text([line])))
    else:
        batch.records += records
        batch.lines += [number] * len(records)


def document_batches(rows: list[dict[str, Any]], keys: JsonKeys, limit: int) -> Iterator[Batch]:
    """The records of rows that were one document. They have no lines."""
    for start in range(0, len(rows), BATCH_ROWS):
        batch = Batch()
        for row in rows[start : start + BATCH_ROWS]:
            try:
                if _repeated(row):
                    raise NotJsonError(_REPEATED)
                record = keys.record(row)
            except NotJsonError as error:
                batch.reject([None] * 4, 0, Fault("parse_error", str(error), repr(row)[:RAW_LIMIT]))
                continue
            size = sum(len(text.encode("utf-8", "surrogatepass")) for text in record if text)
            if size > limit:
                fault = Fault("row_too_large", f"the row has more than {limit:,} bytes")
                batch.reject([record[0], None, None, None], 0, fault)
            else:
                batch.records.append(record)
        batch.lines.clear()
        yield batch


def is_lines(head: bytes, question: str) -> bool:
    """Whether a file that begins so is JSON Lines: its first or second line is an object, and no document."""
    lines = [line for line in head.splitlines() if line.strip()]
    if len(lines) > 1 and is_object(lines[1]) and lines[0].strip() not in (b"[", b"{"):
        return True
    if not lines or not is_object(lines[0]):
        return False
    first = json_object(decoded(lines[0]))
    return (
        (question in first and not isinstance(first[question], list | dict))
        or len(lines) > 1
        or documents.rows_of(first) is None
    )


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


def is_object(text: bytes) -> bool:
    """Whether a text is one JSON object."""
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
            for row in squad.questions(json_object(decoded(line))):
                keys |= dict.fromkeys(row)
        except NotJsonError:
            pass  # its row will say so
    return [key for key in keys if is_utf8(key)]  # rows with others will say so


def is_utf8(text: str) -> bool:
    """Whether a text has no lone surrogate."""
    return text.encode("utf-8", "ignore").decode() == text
