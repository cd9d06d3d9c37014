"""Rows in flight when an attempt died, and what follows: which rows are poison, and whether a chunk is given up.

A killed process cannot say what killed it. So attempts leave a record of the rows in flight; the next attempt takes
those as suspects into quarantine (`worker.attempt`): each is scored alone in a process of its own. Pure but for `read`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from contract.format import codec, layout
from contract.storage import Storage

#: A worker may be killed by anything while a row is in quarantine. Twice by chance is unlikely.
_DEATHS = 2


@dataclass(frozen=True, slots=True)
class InFlight:
    """What an attempt leaves behind: rows in flight, whether they were in quarantine, and the poison rows so far.

    In storage the fields keep their first names.
    """

    rows: tuple[int, ...] = ()
    quarantine: Annotated[bool, Field(alias="trial")] = False
    poison: Annotated[tuple[int, ...], Field(alias="condemned")] = ()

    def to_bytes(self) -> bytes:
        """The record as its file holds it."""
        return codec.line(self, (", ", ": ")).encode()


def read(storage: Storage, job: str, chunk: int, attempt: int) -> InFlight:
    """What an attempt left; an empty record if it left none, or none that can be read."""
    try:
        return codec.read(InFlight, storage.read(layout.in_flight(job, chunk, attempt)))
    except (FileNotFoundError, ValueError):
        return InFlight()


def poison(left: Collection[InFlight]) -> set[int]:
    """The rows that ended the process that scored them alone, or twice the worker that had them in quarantine."""
    deaths = Counter(row for one in left if one.quarantine for row in one.rows)
    return {row for one in left for row in one.poison} | {row for row, n in deaths.items() if n >= _DEATHS}


def given_up(left: Iterable[InFlight], max_attempts: int) -> bool:
    """Whether a chunk has killed enough workers, given what each dead attempt left.

    A death beside a poison row found since is explained by it, and the next attempt passes over that row. All others
    count: also those that name a row and find none guilty, however many rows there are.
    """
    left = list(left)
    guilty = poison(left)
    return sum(guilty.isdisjoint(one.rows) for one in left) >= max_attempts
