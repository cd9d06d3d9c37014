"""What became of attempts that did not go well: kept with a job when the records of its attempts are deleted.

Nothing is written where all went well: what happened there follows from the footers of the parts. A chunk that took
more than one attempt gets one small object, written once, by the attempt that ends it. Until then, and for good where
no attempt did, the same is read from the records of the attempts themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from contract.format import codec, layout
from contract.ledger import quarantine, records
from contract.storage import Storage

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Started:
    """The record of an attempt, written before the work."""

    worker: str = ""
    started_at: float | None = None


@dataclass(frozen=True, slots=True)
class Released:
    """The record of an attempt that ended in order, and why."""

    why: str = ""
    ended_at: float | None = None


@dataclass(frozen=True, slots=True)
class Attempted:
    """An attempt at a chunk, as it is on record."""

    chunk: int = -1
    attempt: int = 0
    worker: str = ""
    started_at: float | None = None
    ended_at: float | None = None
    end: str = ""  #: "given_back"; "last" of a chunk that it finished, "late" if another had; "" if it left no word
    why: str = ""  #: it was given back
    rows: tuple[int, ...] = ()  #: in flight when it died
    quarantine: bool = False  #: those were in quarantine
    suspects: tuple[int, ...] = ()  #: rows that the last attempt took into quarantine
    poison: tuple[int, ...] = ()  #: rows found to be poison until then


@dataclass(frozen=True, slots=True)
class _Story:
    """All attempts at a chunk."""

    attempts: tuple[Any, ...] = ()


def on_record(storage: Storage, job: str, chunk: int, attempt: int) -> Attempted:
    """What the records of one attempt say. What cannot be read is left out."""
    started = _read(storage, layout.attempt(job, chunk, attempt), Started)
    left = quarantine.read(storage, job, chunk, attempt)
    attempted = Attempted(chunk, attempt, started.worker, started.started_at)
    attempted = replace(attempted, rows=left.rows, quarantine=left.quarantine, poison=left.poison)
    if not storage.exists(layout.released(job, chunk, attempt)):
        return attempted
    released = _read(storage, layout.released(job, chunk, attempt), Released)
    return replace(attempted, end="given_back", why=released.why, ended_at=released.ended_at)


def keep(storage: Storage, job: str, last: Attempted) -> None:
    """Write down how the attempts at a chunk went, of which `last` ended it. Before their records are deleted."""
    before = [on_record(storage, job, last.chunk, number) for number in range(1, last.attempt)]
    story = codec.dump(_Story((*before, last)))
    storage.create(layout.event(job, last.chunk, last.started_at or 0.0), story, durable=False)


def attempts(storage: Storage, job: str) -> Iterator[Attempted]:
    """All attempts at a job that did not go well or are under way, in no order; some may come twice."""
    for name in storage.list(layout.events(job)):
        if layout.event_of(name) is not None:
            story = _read(storage, f"{layout.events(job)}/{name}", _Story)
            yield from (codec.salvage(Attempted, each) for each in story.attempts if isinstance(each, dict))
    for chunk, made in records.attempts(storage, job).items():
        for attempt in sorted(made.started):
            yield on_record(storage, job, chunk, attempt)


def _read(storage: Storage, key: str, kind: type[T]) -> T:
    """A record that may be missing, or altered: what is of the wrong type is left out."""
    try:
        return codec.salvage(kind, storage.read(key))
    except FileNotFoundError:
        return kind()
