"""Numbers and foreign text for a terminal."""

from __future__ import annotations

from rich.markup import escape

from contract.errors import printable


def plural(count: int, noun: str) -> str:
    """`1 row`, `1,200 rows`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def size(count: int) -> str:
    """Bytes in a readable unit: `200 MiB`."""
    number, unit = float(count), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if number < 1024 or unit == "TiB":
            break
        number /= 1024
    return f"{number:,.0f} {unit}" if unit == "B" or number >= 100 else f"{number:,.1f} {unit}"


def shorten(text: str, width: int) -> str:
    """A text on one line, cut to `width` characters."""
    flat = " ".join(text.split())
    return flat if len(flat) <= width else flat[: width - 1] + "…"


def literal(text: str, keep: str = "") -> str:
    """Text from elsewhere for rich: `printable`, and brackets in it are not markup."""
    return escape(printable(text, keep))
