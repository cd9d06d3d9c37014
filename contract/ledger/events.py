"""What became of attempts that did not go well: kept with a job when the records of its attempts are deleted.

Nothing is written where all went well: what happened there follows from the footers of the parts. A chunk that took
more than one attempt gets one small object, written once, by the attempt that ends it. Until then, and for good where
no attempt did, the same is read from the records of the attempts themselves.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from contract.format import layout
from contract.format.job import known
from contract.ledger import quarantine, records
from contract.storage import Storage


@dataclass(frozen=True, slots=True)
class Attempted:
    """An attempt at a chunk, as it is on record."""

    chunk: int
    attempt: int
    worker: str = ""
    started_at: float | None = None
    ended_at: float | None = None
    end: str = ""  #: "given_back"; "last" of a chunk that it finished, "late" if another had; "" if it left no word
    why: str = ""  #: it was given back
    rows: tuple[int, ...] = ()  #: in flight when it died
    quarantine: bool = False  #: those were in quarantine
    suspects: tuple[int, ...] = ()  #: rows that the last attempt took into quarantine
    poison: tuple[int, ...] = ()  #: rows found to be poison until then


def released(why: str, at: float) -> bytes:
    """What the record of an attempt that ended in order says."""
    return records.dump({"why": why, "ended_at": at})


def on_record(storage: Storage, job: str, chunk: int, attempt: int) -> Attempted:
    """What the records of one attempt say. What cannot be read is left out."""
    began = _read(storage, layout.attempt(job, chunk, attempt))
    left = quarantine.read(storage, job, chunk, attempt)
    values: dict[str, Any] = {"worker": began.get("worker"), "started_at": began.get("started_at")}
    if storage.exists(layout.released(job, chunk, attempt)):
        ended = _read(storage, layout.released(job, chunk, attempt))
        values |= {"end": "given_back", "why": ended.get("why"), "ended_at": ended.get("ended_at")}
    values |= {"rows": left.rows, "quarantine": left.quarantine, "poison": left.poison}
    return _attempted({**values, "chunk": chunk, "attempt": attempt})


def keep(storage: Storage, job: str, last: Attempted) -> None:
    """Write down how the attempts at a chunk went, of which `last` ended it. Before their records are deleted."""
    before = [on_record(storage, job, last.chunk, number) for number in range(1, last.attempt)]
    story = {"attempts": [asdict(one) for one in [*before, last]]}
    storage.create(layout.event(job, last.chunk, last.started_at or 0.0), records.dump(story), durable=False)


def attempts(storage: Storage, job: str) -> Iterator[Attempted]:
    """All attempts at a job that did not go well or are under way, in no order; some may come twice."""
    for name in storage.list(layout.events(job)):
        if layout.event_of(name) is not None:
            kept = _read(storage, f"{layout.events(job)}/{name}").get("attempts")
            for values in kept if isinstance(kept, list) else ():
                if isinstance(values, dict):
                    yield _attempted(values)
    for chunk, made in records.attempts(storage, job).items():
        for attempt in sorted(made.started):
            yield on_record(storage, job, chunk, attempt)


def _read(storage: Storage, key: str) -> dict[str, Any]:
    try:
        values = json.loads(storage.read(key))
    except (FileNotFoundError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def _attempted(values: Mapping[str, Any]) -> Attempted:
    """A record that may be of another version, or altered: what is of the wrong type is left out."""
    fits = {name: value for name, value in known(Attempted, values).items() if _fits(name, value)}
    for name in ("rows", "suspects", "poison"):
        if name in fits:
            fits[name] = tuple(fits[name])
    return Attempted(**{"chunk": -1, "attempt": 0, **fits})


def _fits(name: str, value: Any) -> bool:
    if name in ("rows", "suspects", "poison"):
        return isinstance(value, list | tuple) and all(isinstance(one, int) for one in value)
    if name in ("started_at", "ended_at"):
        return value is None or isinstance(value, int | float)
    return isinstance(value, {"chunk": int, "attempt": int, "quarantine": bool}.get(name, str))
