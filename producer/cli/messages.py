"""Messages on stderr: which are shown, and how often where no bar can be drawn."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from rich.console import Console

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
