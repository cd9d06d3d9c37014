"""Dates and timestamps as text, in ISO 8601, and back: any value of Arrow, exactly.

A year outside Python's 1 to 9999 has a sign and as many digits as it needs, four at least: `+10001-02-03`. A timestamp
with a zone has its offset, `2024-02-29T13:30:00.000+0100`, but is in UTC where local time had an offset with seconds
(before standard time) or lies outside of these years.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from producer.input.rows import Column, pc

PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_DAY = 86_400
#: Python's years in seconds since 1970, and the largest number of ticks. Each less a day, which an offset may add.
_FIRST, _LAST, _MOST = -62_135_596_800 + _DAY, 253_402_300_800 - _DAY, (1 << 63) - 1
_TEXT = re.compile(
    r"([+-]?\d{4,}-\d\d-\d\d)(?:[T ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?)?(?:Z|([+-])(\d\d):?(\d\d))?", re.ASCII
)


def printed(column: Column) -> Column:
    """Dates or timestamps as strings."""
    kind = column.type
    is_date = pa.types.is_date(kind)
    unit: Any = ("D" if pa.types.is_date32(kind) else "ms") if is_date else kind.unit
    ticks = _ticks(column)
    plain = _is_plain(column, ticks, 1 / _DAY if unit == "D" else PER_SECOND[unit])
    usual = column if plain.all() else pc.if_else(pa.array(plain), column, None)
    text = usual.cast(pa.string()) if is_date else pc.strftime(usual, format=_format(kind))
    if plain.all():
        return text
    odd = np.flatnonzero(~plain & column.is_valid().to_numpy(zero_copy_only=False))
    values = text.to_pylist()
    suffix = "+0000" if not is_date and kind.tz else ""
    dates = ticks[odd].astype(f"datetime64[{unit}]")
    for index, value in zip(odd, np.datetime_as_string(dates, unit="D" if is_date else unit), strict=True):
        values[index] = _signed(str(value)) + suffix
    return pa.array(values, pa.string())


def _format(kind: Any) -> str:
    return "%Y-%m-%dT%H:%M:%S" + ("%z" if kind.tz else "")


def _ticks(column: Column) -> NDArray[np.int64]:
    """The numbers that dates or timestamps are stored as; 0 for null."""
    whole = column.cast(pa.int32()) if pa.types.is_date32(column.type) else column.cast(pa.int64())
    ticks: NDArray[np.int64] = pc.fill_null(whole, 0).to_numpy(zero_copy_only=False).astype(np.int64)
    return ticks


def _is_plain(column: Column, ticks: NDArray[np.int64], per_second: float) -> NDArray[np.bool_]:
    """Which values Arrow prints and parses."""
    low = max(int(_FIRST * per_second), -_MOST + int(_DAY * per_second))
    high = min(int(_LAST * per_second), _MOST - int(_DAY * per_second))
    plain: NDArray[np.bool_] = (low <= ticks) & (ticks < high)
    if getattr(column.type, "tz", None) and plain.any():
        local = _ticks(pc.local_timestamp(pc.if_else(pa.array(plain), column, None)))
        plain &= (local - ticks) % (60 * int(per_second)) == 0
    return plain


def _signed(text: str) -> str:
    """A text of numpy with the year in four digits at least, and a sign if it is not one of four."""
    sign = "-" if text.startswith("-") else ""
    year, rest = text.removeprefix("-").split("-", 1)
    return f"{sign or '+' * (len(year) > 4)}{year.zfill(4)}-{rest}"


def parsed(texts: list[str | None], kind: Any) -> Column:
    """An array of type `kind` of what `printed` gives. Raises ValueError."""
    try:
        if pa.types.is_timestamp(kind) and kind.unit == "s":  # Parquet has no seconds: it stores milliseconds
            return pa.array(texts, pa.string()).cast(pa.timestamp("ms", kind.tz)).cast(kind)
        return pa.array(texts, pa.string()).cast(kind)
    except pa.ArrowInvalid:
        stored = pa.int32() if pa.types.is_date32(kind) else pa.int64()
        return pa.array([None if text is None else _parsed(text, kind) for text in texts], stored).cast(kind)


def _parsed(text: str, kind: Any) -> int:
    match = _TEXT.fullmatch(text)
    if match is None:
        raise ValueError(f"not a date or time: {text!r}")
    date, hours, minutes, seconds, fraction, sign, *offset = match.groups()
    days = int(np.datetime64(date, "D").astype(np.int64))
    if pa.types.is_date(kind):
        return days if pa.types.is_date32(kind) else days * _DAY * 1000
    east = (int(offset[0]) * 60 + int(offset[1])) * (-60 if sign == "-" else 60) if sign else 0
    whole = days * _DAY + int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(seconds or 0) - east
    per_second = PER_SECOND[kind.unit]
    digits = len(str(per_second)) - 1
    return whole * per_second + int((fraction or "").ljust(digits, "0")[:digits] or 0)
