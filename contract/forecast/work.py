"""Work in three sums, the curve that makes seconds of them, and the record of a forecast."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class Work:
    """Windows: their number, the sum of their tokens, and of the squares of these. A curve of degree two needs no
    more, so the work of a job can be priced for any model, as often as one likes."""

    windows: float = 0.0
    tokens: float = 0.0
    squares: float = 0.0

    def __add__(self, other: Work) -> Work:
        return Work(self.windows + other.windows, self.tokens + other.tokens, self.squares + other.squares)

    def times(self, factor: float) -> Work:
        """So many times this work."""
        return Work(self.windows * factor, self.tokens * factor, self.squares * factor)

    @classmethod
    def of(cls, lengths: Iterable[int]) -> Work:
        """The work of windows with these lengths, in tokens."""
        tokens = tuple(lengths)
        return cls(len(tokens), sum(tokens), sum(length * length for length in tokens))


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost curve of a model: seconds of one thread for a window of T tokens, window + token * T + square * T ** 2.

    The defaults are those of the reader that ships, on a core of an AMD EPYC of the fourth generation.
    """

    window: float = 1.3e-3
    token: float = 6.4e-5
    square: float = 1.26e-7
    bytes_per_token: float = 4.4  #: of text such as that of the known questions

    def __post_init__(self) -> None:
        """Raises ValueError for a curve that cannot be: anybody may have written it."""
        curve = self.window, self.token, self.square
        if not (
            self.window > 0 and all(0 <= each < math.inf for each in curve) and 0.1 <= self.bytes_per_token <= 1000
        ):
            raise ValueError(f"a cost curve cannot be {self}")

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Cost:
        """The curve in parsed JSON, without what a later version may have added. Not by `contract.format.codec`, which
        wants pydantic: where a model alone is used there is none. Raises TypeError or ValueError for anything else."""
        values = dict(values)
        return cls(**{field.name: values[field.name] for field in fields(cls) if field.name in values})

    def seconds(self, work: Work) -> float:
        """Seconds of one thread that work takes."""
        return self.window * work.windows + self.token * work.tokens + self.square * work.squares


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a job was expected to take, and what it took. Seconds are of the clock unless they say otherwise."""

    windows: int
    tokens: int
    work: float  #: seconds of one thread, by the cost curve; `Index.work` has it by chunk
    cpu_hours: float  #: the same at the speed of the workers
    workers: int = 0
    threads: int = 0  #: of all of them
    seconds: float | None = None  #: from now until its end; None if nothing is known of workers
    seconds_low: float | None = None  #: eight of ten jobs end between these
    seconds_high: float | None = None
    seconds_before: float = 0.0  #: of `seconds`, for jobs that are due before it
    actual_seconds: float | None = None  #: in the report: from its submission to its end

    @property
    def held(self) -> bool | None:
        """Whether the job ended within the interval; None if that is not known."""
        if self.seconds_low is None or self.seconds_high is None or self.actual_seconds is None:
            return None
        return self.seconds_low <= self.actual_seconds <= self.seconds_high


@dataclass(frozen=True, slots=True)
class Sample:
    """A job of some rows of an input, drawn by a hash of seed and number, instead of all."""

    rows: int  #: requested
    of: int  #: rows of the input
    rest: Forecast | None = None  #: of the others
    seed: int = 1
