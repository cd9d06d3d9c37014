"""Rows in flight when an attempt died, and what follows: which rows are poison, and whether a chunk is given up.

A killed process cannot say what killed it. So attempts record the rows in flight, and the next attempt takes those as
suspects into quarantine (`worker.attempt`): each is scored alone in a process of its own. Pure except for `read`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from contract.format import codec, layout
from contract.storage import Storage

#: Anything may kill a worker while a row is in quarantine. Twice by chance is unlikely.
_DEATHS = 2


@dataclass(frozen=True, slots=True)
class InFlight:
    """What an attempt leaves: rows in flight, whether they were in quarantine, and the poison rows found so far.

    In storage the fields have the names that they were first given.
    """

    rows: tuple[int, ...] = ()
    quarantine: Annotated[bool, Field(alias="trial")] = False
    poison: Annotated[tuple[int, ...], Field(alias="condemned")] = ()

    def to_bytes(self) -> bytes:
        """The record as its file holds it."""
        return codec.line(self, (", ", ": ")).encode()


def read(storage: Storage, job: str, chunk: int, attempt: int) -> InFlight:
    """What an attempt left; an empty record if it left none, or an unreadable one."""
    try:
        return codec.read(InFlight, storage.read(layout.in_flight(job, chunk, attempt)))
    except (FileNotFoundError, ValueError):
        return InFlight()


def poison(in_flight: Collection[InFlight]) -> set[int]:
    """The rows that killed the process that scored them alone, or twice the worker that had them in quarantine."""
    deaths = Counter(row for record in in_flight if record.quarantine for row in record.rows)
    found = {row for record in in_flight for row in record.poison}
    return found | {row for row, count in deaths.items() if count >= _DEATHS}


def given_up(in_flight: Iterable[InFlight], max_attempts: int) -> bool:
    """Whether a chunk has killed enough workers, given what each dead attempt left.

    A poison row explains the deaths that had it in flight, and the next attempt skips it. All other deaths count, also
    those with rows in flight that turned out innocent, however many rows there are.
    """
    records = list(in_flight)
    guilty = poison(records)
    return sum(guilty.isdisjoint(record.rows) for record in records) >= max_attempts
