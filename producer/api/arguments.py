"""Checks arguments of the Python API: metadata, seconds, counts. `producer.request` checks the options of a job."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def check_kind(name: str, value: object, kind: type) -> None:
    """Raise UsageError unless a value is None or of a class."""
    from contract.errors import UsageError

    if value is not None and not isinstance(value, kind):
        raise UsageError(f"{name} must be {kind.__name__}(...), not a {type(value).__name__}")


def check_seconds(name: str, value: object) -> None:
    """Raise UsageError unless a value is None or a number of seconds."""
    from contract.errors import UsageError

    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value) or value < 0:
        raise UsageError(f"{name} must be a number of seconds, not {value!r}")


def check_count(name: str, value: object) -> None:
    """Raise UsageError unless a value is None or a number of jobs."""
    from contract.errors import UsageError

    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
        raise UsageError(f"{name} must be a number of jobs, not {value!r}")


def checked_metadata(metadata: Mapping[str, Any] | None) -> dict[str, str]:
    """A copy; empty for None. Raises UsageError unless it is a dict of text."""
    from producer.request import OPTIONS, check_type

    if metadata is None:
        return {}
    copy = dict(metadata) if isinstance(metadata, Mapping) else metadata
    check_type(OPTIONS["metadata"], copy)
    return copy
