"""Parsing JSON from users with a limit on nesting, so that every process can read what another accepted. Pure.

How deep Python's own parser goes depends on its version and on the stack that it is called from: a worker might fail on
what a producer accepted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

#: Levels of arrays and objects, including the outermost.
LIMIT = 64


class TooDeepError(ValueError):
    """JSON that is nested deeper than LIMIT."""

    def __init__(self) -> None:
        super().__init__(f"nested more than {LIMIT} deep")


def loads(text: str, decode: Callable[[str], Any] = json.loads) -> Any:
    """Parse JSON. Raises ValueError if it is invalid, TooDeepError if it is nested too deep."""
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
