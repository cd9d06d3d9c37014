"""Predictions as JSON lines, a chunk at a time, in row order: of a job under way those ready, else the published."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate, islice

from contract.errors import BulkqaError
from contract.format import layout, part
from contract.ledger import records
from contract.ledger.progress import Progress
from contract.ledger.records import Index
from contract.storage import Storage


def ready_lines(
    job: str, storage: Storage, *, offset: int = 0, wait: Callable[[], bool] | None = None
) -> Iterator[bytes]:
    """Predictions as JSON lines, a chunk at a time, in row order from the row `offset` on: all of a job that has ended,
    else as far as they are there without a gap.

    With `wait`, goes on for as long as it returns True where the next part is not there yet, or is damaged: it is
    scored again then. Raises BulkqaError if a job has ended and not all of its predictions can be had.
    """
    index = records.load_index(storage, records.load(storage, job))
    ends = list(accumulate(index.rows))
    first = bisect_right(ends, offset)  # the part that holds the row; those before it are not read
    within = offset - (ends[first - 1] if first else 0)
    for lines in _from(job, storage, index, first, wait):
        yield lines.split(b"\n", within)[-1] if within else lines
        within = 0


def _from(job: str, storage: Storage, index: Index, first: int, wait: Callable[[], bool] | None) -> Iterator[bytes]:
    """The lines of each part, from the `first` on."""
    given = first
    if not storage.exists(layout.report(job)):
        for rows in index.rows[first:]:
            while (lines := _part(storage, job, given, rows)) is None and wait and wait():
                pass
            if lines is None:
                break
            yield lines
            given += 1
    if given < len(index.rows) and (report := records.report(storage, job)):  # which may have come meanwhile
        yield from islice(_published(storage, job, index, report), given, None)


def _part(storage: Storage, job: str, number: int, rows: int) -> bytes | None:
    """The lines of a part, None if it is missing or damaged."""
    try:
        return records.read_part(storage, job, number, rows)[0]
    except (part.DamagedPart, FileNotFoundError):
        return None


def _published(storage: Storage, job: str, index: Index, report: Progress) -> Iterator[bytes]:
    """The predictions of a job that has ended, from its document; if that was altered or removed, from the parts.

    The document is read twice, and checked before anything of it is believed.
    """
    key = layout.predictions(job)
    try:
        whole = digest(storage.blocks(key))[0] == report.outputs.get("predictions", {}).get("sha256")
    except FileNotFoundError:
        whole = False
    document = document_lines(storage.blocks(key)) if whole else iter(())
    for number, rows in enumerate(index.rows):
        lines = b"".join(islice(document, rows)) if whole else _part(storage, job, number, rows)
        if lines is None or lines.count(b"\n") != rows:
            places = storage.locate(key), storage.locate(layout.report(job))
            raise BulkqaError(
                f"{places[0]} was altered or removed since job {job} ended, and so was part {number} of it",
                f"Remove {' and '.join(places)}, then: producer repair {job}. What is lost is scored again.",
            )
        yield lines


def document_lines(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The predictions of a published document as JSON lines."""
    for line in _lines(blocks):
        if line not in (b'{"predictions": [', b"]}"):
            yield line.removesuffix(b",") + b"\n"


def _lines(blocks: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for block in blocks:
        *whole, rest = (rest + block).split(b"\n")
        yield from whole
    if rest:
        yield rest


def digest(blocks: Iterable[bytes]) -> tuple[str, int]:
    """The sha256 and the size of an object."""
    sha, size = hashlib.sha256(), 0
    for block in blocks:
        sha.update(block)
        size += len(block)
    return sha.hexdigest(), size
