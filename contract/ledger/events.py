"""The history of chunks that took more than one attempt: kept with the job when the records of its attempts are
deleted.

A chunk that was scored at the first attempt needs none: its part has a footer. Any other gets one small object, written
once, by the attempt that finishes it. Until then, or if no attempt ever does, the history is read from the records of
the attempts themselves.
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
    """The record of an attempt that ended in order, without finishing the chunk."""

    why: str = ""
    ended_at: float | None = None


@dataclass(frozen=True, slots=True)
class Attempted:
    """What the records say of an attempt at a chunk."""

    chunk: int = -1
    attempt: int = 0
    worker: str = ""
    started_at: float | None = None
    ended_at: float | None = None
    end: str = ""  #: "given_back"; "last" if it finished the chunk, "late" if another had; "" if it died
    why: str = ""  #: why it was given back
    rows: tuple[int, ...] = ()  #: in flight when it died
    quarantine: bool = False  #: whether those were in quarantine
    suspects: tuple[int, ...] = ()  #: rows that the last attempt took into quarantine
    poison: tuple[int, ...] = ()  #: rows found to be poison until then


@dataclass(frozen=True, slots=True)
class _Story:
    """All attempts at a chunk."""

    attempts: tuple[Any, ...] = ()


def on_record(storage: Storage, job: str, chunk: int, attempt: int) -> Attempted:
    """What the records of one attempt say. Fields that cannot be read are left out."""
    started = _read(storage, layout.attempt(job, chunk, attempt), Started)
    in_flight = quarantine.read(storage, job, chunk, attempt)
    attempted = Attempted(chunk, attempt, started.worker, started.started_at)
    attempted = replace(attempted, rows=in_flight.rows, quarantine=in_flight.quarantine, poison=in_flight.poison)
    if not storage.exists(layout.released(job, chunk, attempt)):
        return attempted
    released = _read(storage, layout.released(job, chunk, attempt), Released)
    return replace(attempted, end="given_back", why=released.why, ended_at=released.ended_at)


def keep(storage: Storage, job: str, last: Attempted) -> None:
    """Save the attempts at a chunk, of which `last` ended it, before their records are deleted."""
    before = [on_record(storage, job, last.chunk, number) for number in range(1, last.attempt)]
    story = codec.dump(_Story((*before, last)))
    storage.create(layout.event(job, last.chunk, last.started_at or 0.0), story, durable=False)


def attempts(storage: Storage, job: str) -> Iterator[Attempted]:
    """All attempts at chunks that took several, and those under way, in no order; some may come twice."""
    for name in storage.list(layout.events(job)):
        if layout.event_of(name) is not None:
            story = _read(storage, f"{layout.events(job)}/{name}", _Story)
            yield from (codec.salvage(Attempted, each) for each in story.attempts if isinstance(each, dict))
    for chunk, made in records.attempts(storage, job).items():
        for attempt in sorted(made.started):
            yield on_record(storage, job, chunk, attempt)


def _read(storage: Storage, key: str, kind: type[T]) -> T:
    """A record that may be missing or altered: fields of a wrong type get their default."""
    try:
        return codec.salvage(kind, storage.read(key))
    except FileNotFoundError:
        return kind()
