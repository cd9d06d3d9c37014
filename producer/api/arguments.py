"""What the methods of the Python API are given, checked: metadata, seconds, counts. Options of a job are checked
by `producer.request`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def check_kind(name: str, value: object, kind: type) -> None:
    """Raise UsageError for what is neither None nor of this class of ours."""
    from contract.errors import UsageError

    if value is not None and not isinstance(value, kind):
        raise UsageError(f"{name} must be {kind.__name__}(...), not a {type(value).__name__}")


def check_seconds(name: str, value: object) -> None:
    """Raise UsageError unless it is a number of seconds, or None."""
    from contract.errors import UsageError

    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value) or value < 0:
        raise UsageError(f"{name} must be a number of seconds, not {value!r}")


def check_count(name: str, value: object) -> None:
    """Raise UsageError unless it is a count, or None."""
    from contract.errors import UsageError

    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
        raise UsageError(f"{name} must be a number of jobs, not {value!r}")


def checked_metadata(metadata: Mapping[str, Any] | None) -> dict[str, str]:
    """A copy of it. Raises UsageError unless it is a dict of text, or None."""
    from producer.request import OPTIONS, check_type

    if metadata is None:
        return {}
    found = dict(metadata) if isinstance(metadata, Mapping) else metadata
    check_type(OPTIONS["metadata"], found)
    return found
