"""JSON of a user, nested no deeper than every process that comes across it can read. Pure.

How deep Python's own parser goes depends on its version and on the stack that it is called from: what a producer
accepted, a worker might not read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

#: Arrays and objects within one another, the outermost included.
LIMIT = 64


class TooDeepError(ValueError):
    """JSON that is nested more than LIMIT deep."""

    def __init__(self) -> None:
        super().__init__(f"nested more than {LIMIT} deep")


def loads(text: str, decode: Callable[[str], Any] = json.loads) -> Any:
    """Raises ValueError for what is no JSON, TooDeepError for what is too deep."""
    try:
        value = decode(text)
    except RecursionError:
        raise TooDeepError from None
    if text.count("[") + text.count("{") > LIMIT and _is_deep(value):
        raise TooDeepError
    return value


def _is_deep(value: Any) -> bool:
    level = _nests([value])
    for _ in range(LIMIT):
        level = _nests(child for item in level for child in (item.values() if isinstance(item, dict) else item))
    return bool(level)


def _nests(values: Iterable[Any]) -> list[Any]:
    return [value for value in values if isinstance(value, list | dict)]
