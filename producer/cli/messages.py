"""Messages on stderr: which are shown, and how often where no bar can be drawn. Numbers and foreign text in them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from rich.console import Console
from rich.markup import escape

from contract.errors import printable

#: Where messages and bars go.
stderr = Console(stderr=True, highlight=False)
#: Seconds between two lines of progress where stderr is not a terminal.
EVERY = 10.0

QUIET, NORMAL, VERBOSE = range(3)


class Verbosity:
    """How many messages there are beside data and errors."""

    def __init__(self) -> None:
        self.level = NORMAL

    def set(self, *, quiet: bool, verbose: bool) -> None:
        """Set it for the rest of this command."""
        self.level = QUIET if quiet else VERBOSE if verbose else NORMAL

    @property
    def quiet(self) -> bool:
        """Whether there are only data and errors."""
        return self.level == QUIET

    @property
    def verbose(self) -> bool:
        """Whether there are details too."""
        return self.level == VERBOSE


#: Of this process.
verbosity = Verbosity()


def say(text: str) -> None:
    """Print a message on stderr."""
    if not verbosity.quiet:
        warn(text)


def warn(text: str) -> None:
    """Print a message on stderr, even with --quiet."""
    print(printable(text, keep="\n"), file=sys.stderr)


def detail(text: str) -> None:
    """Print a message on stderr with --verbose."""
    if verbosity.verbose:
        warn(text)


class Ticker:
    """Prints progress as a line at most every ten seconds, for log files, where a bar is of no use. The first line
    comes after ten seconds, so quick work prints none."""

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._say = say
        self._clock = clock
        self._last = clock()

    def tick(self, text: Callable[[], str]) -> None:
        """Report progress; `text` is called only if a line is due."""
        if self._clock() - self._last >= EVERY:
            self._last = self._clock()
            self._say(text())


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
