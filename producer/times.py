"""Moments and spans as people write and read them. Storage and Python have seconds since 1970."""

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
    """The seconds of `90s`, `10m`, `2h`, `30d` or `4w`. Raises UsageError."""
    if not (match := _SPAN.fullmatch(text.strip())):
        raise UsageError(f"{text!r} is no span of time", "Give a number and one of s, m, h, d, w: 30d, for example.")
    return float(match[1]) * _SECONDS[match[2]]


def moment(text: str, now: float | None = None) -> float:
    """The time that is meant by a span before now, or by an ISO 8601 date or time. Without a zone it is this machine's.

    Raises UsageError.
    """
    if _SPAN.fullmatch(text.strip()):
        return (time.time() if now is None else now) - span(text)
    try:
        return datetime.fromisoformat(text.strip()).timestamp()
    except (ValueError, OverflowError):
        raise UsageError(
            f"{text!r} is no time",
            "Give a span before now, as 2h or 3d, or a date: 2026-11-26T08:00+01:00.",
        ) from None


def iso(seconds: float) -> str:
    """ISO 8601, of the zone UTC: 2026-11-26T08:00:00.123Z."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def local(seconds: float) -> str:
    """The same for people, of this machine's zone, which is named: 2026-11-26 09:00:00+01:00."""
    return datetime.fromtimestamp(seconds, UTC).astimezone().isoformat(sep=" ", timespec="seconds")


def duration(seconds: float) -> str:
    """Seconds, for people."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def dated(value: Any) -> Any:
    """A record or JSON value with, behind each number `<name>_at`, the same time as ISO 8601 under `<name>`."""
    if is_dataclass(value):
        from contract.format import codec

        value = codec.values(value)
    if isinstance(value, list | tuple):
        return [dated(one) for one in value]
    if not isinstance(value, dict):
        return value
    found: dict[str, Any] = {}
    for key, one in value.items():
        found[key] = dated(one)
        name = str(key).removesuffix("_at")
        if name != key and name not in value and (one is None or isinstance(one, float | int)):
            found[name] = iso(one) if one is not None and 0 <= one < LAST_MOMENT else None
    return found
