"""Messages on stderr: how much is said, and how often where no bar can be drawn."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from rich.console import Console

#: Where messages and bars go.
errors = Console(stderr=True, highlight=False)
#: Between two lines of progress on what is no terminal, in seconds.
EVERY = 10.0

QUIET, NORMAL, VERBOSE = range(3)


class Verbosity:
    """What is said beside data and errors: nothing, what matters, or more."""

    def __init__(self) -> None:
        self.level = NORMAL

    def set(self, *, quiet: bool, verbose: bool) -> None:
        """For the rest of this command."""
        self.level = QUIET if quiet else VERBOSE if verbose else NORMAL

    @property
    def quiet(self) -> bool:
        """Whether only data and errors are wanted."""
        return self.level == QUIET

    @property
    def verbose(self) -> bool:
        """Whether more is wanted."""
        return self.level == VERBOSE


#: Of this process.
verbosity = Verbosity()


def say(text: str) -> None:
    """A message, on stderr."""
    if not verbosity.quiet:
        warn(text)


def warn(text: str) -> None:
    """A message that has to be heard, however quiet it is to be."""
    print(text, file=sys.stderr)


def detail(text: str) -> None:
    """A message for those who want to know more."""
    if verbosity.verbose:
        warn(text)


class Ticker:
    """Says how far a thing is, at most every ten seconds: a log file has no use for a bar. The first words come after
    as long, so that what is quick says nothing."""

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._say = say
        self._clock = clock
        self._last = clock()

    def tick(self, text: Callable[[], str]) -> None:
        """Something went on; `text` is asked for only if it is said."""
        if self._clock() - self._last >= EVERY:
            self._last = self._clock()
            self._say(text())
