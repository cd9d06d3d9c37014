"""Times and spans of time as people write and read them. Storage and Python have seconds since 1970."""

from __future__ import annotations

import re
import time
from dataclasses import is_dataclass
from datetime import UTC, datetime
from typing import Any

from contract.errors import UsageError
from contract.format.job import LAST_MOMENT

_SPAN = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def span(text: str) -> float:
    """The seconds in `90s`, `10m`, `2h`, `30d` or `4w`. Raises UsageError."""
    if not (match := _SPAN.fullmatch(text.strip())):
        raise UsageError(f"{text!r} is not a span of time", "Give a number and one of s, m, h, d, w, such as 30d.")
    return float(match[1]) * _SECONDS[match[2]]


def moment(text: str, now: float | None = None) -> float:
    """Seconds since 1970 for a span before now, or for an ISO 8601 date or time, in this machine's zone by default.

    Raises UsageError.
    """
    if _SPAN.fullmatch(text.strip()):
        return (time.time() if now is None else now) - span(text)
    try:
        return datetime.fromisoformat(text.strip()).timestamp()
    except (ValueError, OverflowError):
        raise UsageError(
            f"{text!r} is not a time",
            "Give a span before now, such as 2h or 3d, or a date, such as 2026-11-26T08:00+01:00.",
        ) from None


def iso(seconds: float) -> str:
    """ISO 8601 in UTC: 2026-11-26T08:00:00.123Z."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def local(seconds: float) -> str:
    """For people, in this machine's zone: 2026-11-26 09:00:00+01:00."""
    return datetime.fromtimestamp(seconds, UTC).astimezone().isoformat(sep=" ", timespec="seconds")


def duration(seconds: float) -> str:
    """Seconds for people: `2 h 5 min`, `1 min 3 s`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def dated(value: Any) -> Any:
    """A record or JSON value in which every number `<name>_at` is followed by the same time as ISO 8601, `<name>`."""
    if is_dataclass(value):
        from contract.format import codec

        value = codec.values(value)
    if isinstance(value, list | tuple):
        return [dated(item) for item in value]
    if not isinstance(value, dict):
        return value
    fields: dict[str, Any] = {}
    for key, field in value.items():
        fields[key] = dated(field)
        name = str(key).removesuffix("_at")
        if name != key and name not in value and (field is None or isinstance(field, float | int)):
            fields[name] = iso(field) if field is not None and 0 <= field < LAST_MOMENT else None
    return fields
