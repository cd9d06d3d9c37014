"""Which parts a job has, and what they add up to, without listing and reading all of them each time.

A tally of the first parts is kept in storage. It is a hint: whoever counts may rewrite it, anybody may delete it, and
nothing is published from it.
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

#: With this many parts beyond the stored tally, a new one is written.
KEEP_EVERY = 128
#: Names that an object store lists per call.
_LISTED = 1000


def missing(storage: Storage, manifest: Manifest) -> list[int]:
    """The chunks that have no part yet, in order. Trusts the stored tally: a part that was removed since is noticed
    when the outputs are written."""
    tally = _stored_tally(storage, manifest.id)
    present = _beyond(storage, manifest.id, tally)
    candidates = sorted(tally.without) + list(range(tally.until, manifest.chunks))
    return [number for number in candidates if number not in present and number < manifest.chunks]


def done(storage: Storage, job: str) -> set[int]:
    """The numbers of the chunks that have a part."""
    return _numbers(storage.list(layout.parts(job)))


def footers(storage: Storage, job: str, cache: dict[int, Footer]) -> dict[int, Footer]:
    """The footers of all parts, by number. `cache` holds footers and is brought up to date: parts never change."""
    return _footers(storage, job, done(storage, job), cache)


def _footers(storage: Storage, job: str, present: set[int], cache: dict[int, Footer]) -> dict[int, Footer]:
    for number in cache.keys() - present:
        del cache[number]
    cache.update(read_footers(storage, job, sorted(present - cache.keys())))
    return cache


def read_footers(storage: Storage, job: str, numbers: Sequence[int]) -> Iterator[tuple[int, Footer]]:
    """The footers of some parts. Damaged and missing parts are left out: publishing notices them and has them scored
    again."""
    results = many(storage, lambda number: read_footer(storage, job, number), numbers)
    return ((number, footer) for number, footer in zip(numbers, results, strict=True) if isinstance(footer, Footer))


def _beyond(storage: Storage, job: str, tally: Tally) -> set[int]:
    """The numbers of the parts that exist and are not in a tally, in as few calls as possible: if the tally has only a
    few gaps, as when one worker is slow, the gaps are looked up one by one instead of listing everything behind."""
    gaps_filled: list[int] = []
    after = tally.first_without
    if len(tally.without) * _LISTED < (tally.until - after) * storage.at_once:
        after, gaps = tally.until, sorted(tally.without)
        filled = many(storage, lambda number: storage.exists(layout.part(job, number)), gaps)
        gaps_filled = [number for number, exists in zip(gaps, filled, strict=True) if exists]
    names = storage.list(layout.parts(job), after=layout.part_name(after - 1) if after else "")
    return {number for number in _numbers(names) if not tally.has(number)}.union(gaps_filled)


def counted(storage: Storage, job: str, cache: dict[int, Footer]) -> tuple[Tally, dict[int, Footer]]:
    """The stored tally of a job's parts, and the footers of all parts that are not in it. `cache` as for `footers`.

    With enough parts beyond it, the stored tally is replaced by a newer one.
    """
    tally = _stored_tally(storage, job)
    _footers(storage, job, _beyond(storage, job, tally), cache)
    if len(cache) >= KEEP_EVERY:
        tally = tally.plus(cache)
        cache.clear()
        with suppress(StorageUnreachable, FileNotFoundError):  # read-only; or the job was just published
            storage.replace(layout.progress(job), sealed(tally))
    return tally, cache


def _stored_tally(storage: Storage, job: str) -> Tally:
    """The tally in storage; an empty one if it is missing or was altered."""
    try:
        return unsealed(storage.read(layout.progress(job)))
    except (FileNotFoundError, ValueError):
        return Tally()


def _numbers(names: list[str]) -> set[int]:
    return {number for number in map(layout.number, names) if number is not None}
