"""The sum of the footers of a job's parts, and of what is scored of the chunks that have none. Pure.

The tally of some parts plus the footers of the others equals the tally of all. So a tally is stored (`counting`), and
status adds the rest. It knows which parts it includes, so a part that comes late does not force reading those behind it
again.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from contract import evaluation
from contract.format import codec
from contract.format.part import Footer
from contract.trust import split

#: What a tally only adds up, under the names of the footer.
_SUMS = (
    "scored", "repeated", "reused", "reused_others", "saved_seconds", "windows", "tokens", "cpu_seconds", "trusted",
    "work",
)  # fmt: skip
#: Parts finished within this many seconds before the latest give the rate.
RATE_WINDOW = 120
#: Seconds without a heartbeat from which on a chunk counts as stalled.
_SILENCE = 30.0


@dataclass(frozen=True, slots=True)
class Scored:
    """Rows by outcome of a chunk that has no part yet, as the last heartbeat of its worker has them."""

    chunk: int
    answered: int = 0
    no_answer: int = 0
    failed: int = 0
    work: float = 0.0  #: done, of what the chunk was forecast to take: seconds of one thread
    held: float = 0.0  #: seconds from when the worker took the chunk to that heartbeat
    age: float = 0.0  #: seconds since

    @property
    def rows(self) -> int:
        """All of them."""
        return self.answered + self.no_answer + self.failed

    def share_since(self, seconds: float) -> float:
        """The share of them that was scored in the last `seconds`, if all took the same time."""
        return min(1.0, max(0.0, seconds - self.age) / max(self.held, 1e-3))


def within(scored: Iterable[Scored], rows: int) -> tuple[Scored, ...]:
    """The first of them that together have at most this many rows: anybody may have written a heartbeat."""
    fit: list[Scored] = []
    for chunk in scored:
        if chunk.rows <= rows:
            fit.append(chunk)
            rows -= chunk.rows
    return tuple(fit)


class Rate(NamedTuple):
    """What is scored in a second."""

    rows: float
    work: float  #: of what it was forecast to take: seconds of one thread


@dataclass(frozen=True, slots=True)
class Tally:
    """Parts, and their rows by outcome."""

    parts: int = 0
    until: int = 0  #: all parts below this number are included,
    without: frozenset[int] = frozenset()  #: except these
    rows: int = 0
    answered: int = 0
    no_answer: int = 0
    failed: int = 0
    cancelled: int = 0
    codes: Mapping[str, int] = field(default_factory=dict)
    started_at: float | None = None
    #: For the rate, over parts that a model made: the latest finish; and for each recent second in which parts
    #: finished, their rows, the earliest start, and what they were forecast to take.
    finished_at: float = 0.0
    seconds: Mapping[int, tuple[int, float, float]] = field(default_factory=dict)
    batch_invariant: bool = True
    rules: tuple[int, ...] = ()  #: versions of the answering rule, ascending, of parts that a model made
    attempts: int = 0
    retried: int = 0  #: parts whose chunk took more than one attempt
    evaluation: dict[str, Any] | None = None  #: sums of `contract.evaluation`
    numerics: tuple[str, ...] = ()  #: sorted, of parts that a model made
    scored: int = 0
    repeated: int = 0
    reused: int = 0
    reused_others: int = 0
    saved_seconds: float = 0.0
    windows: int = 0
    tokens: int = 0
    cpu_seconds: float = 0.0
    #: Of a job whose answers are split: the trusted ones, and all of them by score.
    trusted: int = 0
    scores: tuple[int, ...] = ()
    work: float = 0.0

    def has(self, number: int) -> bool:
        """Whether a part is included."""
        return number < self.until and number not in self.without

    @property
    def first_without(self) -> int:
        """The first part that is not included."""
        return min(self.without, default=self.until)

    def plus(self, more: Mapping[int, Footer]) -> Tally:
        """The tally with more parts, by number, none of which is included yet. They are summed up in order."""
        if not more:
            return self
        footers = [more[number] for number in sorted(more)]
        until = max(self.until, max(more) + 1)
        codes = Counter(self.codes)
        for footer in footers:
            codes.update(footer.codes)
        starts = [footer.started_at for footer in footers if footer.started_at]
        timed = [footer for footer in footers if footer.finished_at and footer.model]
        finished_at = max([self.finished_at, *(footer.finished_at for footer in timed)])
        return Tally(
            parts=self.parts + len(footers),
            until=until,
            without=self.without.union(range(self.until, until)) - more.keys(),
            rows=self.rows + sum(footer.rows for footer in footers),
            answered=self.answered + sum(footer.answered for footer in footers),
            no_answer=self.no_answer + sum(footer.no_answer for footer in footers),
            failed=self.failed + sum(footer.failed for footer in footers),
            cancelled=self.cancelled + sum(footer.cancelled for footer in footers),
            codes=dict(codes),
            started_at=min([*starts, *([self.started_at] if self.started_at else [])], default=None),
            finished_at=finished_at,
            seconds=_seconds(self.seconds, timed, finished_at),
            batch_invariant=self.batch_invariant and all(footer.batch_invariant for footer in footers),
            rules=tuple(sorted({*self.rules, *(footer.rule for footer in footers if footer.model)})),
            attempts=self.attempts + sum(footer.attempts for footer in footers),
            retried=self.retried + sum(footer.attempts > 1 for footer in footers),
            evaluation=evaluation.total([self.evaluation, *(footer.evaluation for footer in footers)]),
            numerics=tuple(sorted({*self.numerics, *(footer.numerics for footer in footers if footer.numerics)})),
            **{name: getattr(self, name) + sum(getattr(footer, name) for footer in footers) for name in _SUMS},
            scores=split.added([self.scores, *(footer.scores for footer in footers)]),
        )

    def rate(self, now: float | None = None, scored: Iterable[Scored] = ()) -> Rate | None:
        """The rate over the latest parts and what is `scored` of other chunks; None before the first row. Time counts
        in which some chunk was held: not a pause, nor the wait behind other jobs. So a chunk that stalls lowers it."""
        now = now or self.finished_at
        held = tuple(scored)
        begun = [chunk for chunk in held if chunk.rows]
        starts = [started for _, started, _ in self.seconds.values()] or [now - each.age - each.held for each in begun]
        if not starts:
            return None
        since = min(starts)
        times = [(started, min(second + 1.0, self.finished_at)) for second, (_, started, _) in self.seconds.items()]
        times += [(max(since, now - each.age - each.held), now - min(each.age, _SILENCE)) for each in held]
        span = max(_covered(times), 1e-3)
        shares = [each.share_since(now - since) for each in begun]
        rows = sum(rows for rows, _, _ in self.seconds.values())
        work = sum(work for _, _, work in self.seconds.values())
        return Rate(
            (rows + sum(each.rows * share for each, share in zip(begun, shares, strict=True))) / span,
            (work + sum(each.work * share for each, share in zip(begun, shares, strict=True))) / span,
        )


def sealed(tally: Tally) -> bytes:
    """A tally with its digest, as it lies in storage."""
    text = codec.line(tally)
    return f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}\n".encode()


def unsealed(data: bytes) -> Tally:
    """What `sealed` made. Raises ValueError if it was altered."""
    digest, _, text = data.removesuffix(b"\n").partition(b"\n")
    if hashlib.sha256(text).hexdigest().encode() != digest:
        raise ValueError("its digest does not match")
    return codec.read(Tally, text)


def _seconds(
    before: Mapping[int, tuple[int, float, float]], timed: Iterable[Footer], latest: float
) -> dict[int, tuple[int, float, float]]:
    seconds = dict(before)
    for footer in timed:
        rows, start, work = seconds.get(int(footer.finished_at), (0, footer.started_at, 0.0))
        seconds[int(footer.finished_at)] = (rows + footer.rows, min(start, footer.started_at), work + footer.work)
    return {second: value for second, value in seconds.items() if second > latest - RATE_WINDOW}


def _covered(times: Iterable[tuple[float, float]]) -> float:
    """Seconds that are within at least one of these spans, (begin, end)."""
    covered, until = 0.0, -math.inf
    for begin, end in sorted(times):
        covered += max(0.0, end - max(begin, until))
        until = max(until, end)
    return covered
