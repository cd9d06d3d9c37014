"""What tries of a chunk leave behind of the rows under way, and what follows from it: which rows are condemned, and
whether the chunk has killed enough workers. How rows are put on trial is `worker.attempt`'s."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass

from contract.format import layout
from contract.storage import Storage

#: A worker may be killed by anything while a row is on trial. Twice by chance is unlikely.
_TRIALS = 2


@dataclass(frozen=True, slots=True)
class Crumb:
    """What an attempt leaves behind: rows under way, whether they were on trial, and rows condemned so far."""

    rows: tuple[int, ...] = ()
    trial: bool = False
    condemned: tuple[int, ...] = ()

    def to_bytes(self) -> bytes:
        return json.dumps(asdict(self)).encode()


def read(storage: Storage, job: str, chunk: int, attempt: int) -> Crumb:
    """The crumb of an attempt; an empty one if it left none, or none that can be read."""
    try:
        values = json.loads(storage.read(layout.crumb(job, chunk, attempt)))
        return Crumb(tuple(values["rows"]), values["trial"], tuple(values["condemned"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return Crumb()


def condemned(crumbs: Collection[Crumb]) -> set[int]:
    """The rows that ended the process that scored them alone, or twice the worker that had them on trial."""
    trials = Counter(row for crumb in crumbs if crumb.trial for row in crumb.rows)
    return {row for crumb in crumbs for row in crumb.condemned} | {row for row, n in trials.items() if n >= _TRIALS}


def given_up(crumbs: Iterable[Crumb], max_attempts: int) -> bool:
    """Whether a chunk has killed enough workers, given the crumb of each dead attempt.

    A death beside a row that was condemned since is explained by it, and the next try passes over that row. All others
    count: also those that name a row and condemn none, however many rows there are.
    """
    crumbs = list(crumbs)
    guilty = condemned(crumbs)
    return sum(guilty.isdisjoint(crumb.rows) for crumb in crumbs) >= max_attempts
