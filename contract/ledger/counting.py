"""Which parts a job has, and what they add up to: few of them are listed and read again when somebody looks.

The tally that is kept in storage is a hint, made anew by whoever comes by.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress

from contract.errors import StorageUnreachable
from contract.format import layout
from contract.format.job import Manifest
from contract.format.part import Footer
from contract.ledger.stored import read_footer
from contract.ledger.tally import Tally, sealed, unsealed
from contract.storage import Storage
from contract.storage.many import many

#: So many parts beyond those in the tally that is kept are worth a new one.
KEEP_EVERY = 128
#: Names that an object store lists in one call.
_LISTED = 1000


def missing(storage: Storage, manifest: Manifest) -> list[int]:
    """The chunks that have no part yet, in order. What the tally says is believed: a part that was taken away since is
    found when the outputs are made."""
    tally = _kept(storage, manifest.id)
    there = _beyond(storage, manifest.id, tally)
    open_ = sorted(tally.without) + list(range(tally.until, manifest.chunks))
    return [number for number in open_ if number not in there and number < manifest.chunks]


def done(storage: Storage, job: str) -> set[int]:
    """Numbers of the chunks that have their part."""
    return _numbers(storage.list(layout.parts(job)))


def footers(storage: Storage, job: str, known: dict[int, Footer]) -> dict[int, Footer]:
    """The footers of all parts. `known` holds those read before and is added to: parts never change."""
    return _footers(storage, job, done(storage, job), known)


def _footers(storage: Storage, job: str, present: set[int], known: dict[int, Footer]) -> dict[int, Footer]:
    for number in known.keys() - present:
        del known[number]
    known.update(read_footers(storage, job, sorted(present - known.keys())))
    return known


def read_footers(storage: Storage, job: str, numbers: Sequence[int]) -> Iterator[tuple[int, Footer]]:
    """The footers of some parts. One that is damaged or gone is left out: assembling finds it and has it scored
    again."""

    footers = many(storage, lambda number: read_footer(storage, job, number), numbers)
    return ((number, each) for number, each in zip(numbers, footers, strict=True) if isinstance(each, Footer))


def _beyond(storage: Storage, job: str, tally: Tally) -> set[int]:
    """Numbers of the parts that are there and not in a tally, by as few calls as may be: where only some are missing in
    a long row, as when one worker is slow, these are looked for, and the row is not listed."""
    found: list[int] = []
    after = tally.first_without
    if len(tally.without) * _LISTED < (tally.until - after) * storage.at_once:
        after, wanted = tally.until, sorted(tally.without)
        there = many(storage, lambda number: storage.exists(layout.part(job, number)), wanted)
        found = [number for number, one in zip(wanted, there, strict=True) if one]
    names = storage.list(layout.parts(job), after=layout.part_name(after - 1) if after else "")
    return {number for number in _numbers(names) if not tally.has(number)}.union(found)


def counted(storage: Storage, job: str, known: dict[int, Footer]) -> tuple[Tally, dict[int, Footer]]:
    """A tally of parts of a job, and the footers of all others; `known` as for `footers`.

    The tally is kept in storage and made again, by whoever comes by, as the parts become more. It is a hint: it may be
    removed at any time, and nothing is published from it.
    """
    tally = _kept(storage, job)
    _footers(storage, job, _beyond(storage, job, tally), known)
    if len(known) >= KEEP_EVERY:
        tally = tally.plus(known)
        known.clear()
        with suppress(StorageUnreachable, FileNotFoundError):  # it may be read-only; or the job was published
            storage.replace(layout.progress(job), sealed(tally))
    return tally, known


def _kept(storage: Storage, job: str) -> Tally:
    """The tally in storage, an empty one if there is none or it was altered."""
    try:
        return unsealed(storage.read(layout.progress(job)))
    except (FileNotFoundError, ValueError):
        return Tally()


def _numbers(names: list[str]) -> set[int]:
    return {number for number in map(layout.number, names) if number is not None}
