"""Predictions as JSON lines, a chunk at a time, in row order: those that are ready of a running job, and all of them of
a job that has ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

from contract.errors import BulkqaError
from contract.format import document, layout
from contract.ledger import records
from contract.ledger.progress import Progress
from contract.ledger.stored import StoredJob
from contract.remedy import Call, Remedy
from contract.storage import Storage
from contract.storage.digest import digest_of
from contract.storage.many import many

#: Parts that are read ahead from a slow storage; this many are held in memory.
AHEAD = 8


def ready_lines(
    job: str, storage: Storage, *, offset: int = 0, wait: Callable[[], bool] | None = None, ahead: int = AHEAD
) -> Iterator[bytes]:
    """Predictions as JSON lines, a chunk at a time, in row order from the row `offset` on. Of a job that has not ended:
    those before the first gap.

    At a gap, `wait` is called for as long as it returns True: the next part may be written meanwhile, or a damaged one
    scored again. `ahead`: how many parts are read at once where that pays off, in threads; with 1, in none. Raises
    BulkqaError if the job has ended and some of its predictions are lost.
    """
    stored = StoredJob.open(storage, job)
    first = stored.chunk_of(offset)  # earlier parts are not read
    within = offset - stored.first_rows[first]
    for lines in _from(stored, first, wait, ahead):
        yield lines.split(b"\n", within)[-1] if within else lines
        within = 0


def lines_of(job: StoredJob, number: int) -> bytes:
    """The predictions of a chunk of a job that has ended, as JSON lines: of its part, or as published if that is
    damaged or gone. Raises BulkqaError if both are."""
    lines = job.lines(number)
    return next(_from(job, number, None, 1), b"") if lines is None else lines


def _from(job: StoredJob, first: int, wait: Callable[[], bool] | None, ahead: int) -> Iterator[bytes]:
    """The lines of each part, from the `first` on. A part is checked as it is read, by its own digest. If one of a job
    that has ended is damaged or gone, the rest comes from the document."""
    parts = many(job.storage, job.lines, range(first, job.manifest.chunks), ahead)
    for number, part in enumerate(parts, first):
        lines = part
        while lines is None:
            if report := records.report(job.storage, job.id):
                yield from _published(job, report, number)
                return
            if wait is None:
                return
            if not wait():
                wait = None  # one more look: the job may have ended meanwhile
            lines = job.lines(number)
        yield lines


def _published(job: StoredJob, report: Progress, first: int) -> Iterator[bytes]:
    """The lines of each chunk, from the `first` on, as they were published. The document is read twice: its digest is
    checked before its first line is used. Raises BulkqaError if it was altered or removed."""
    storage, key = job.storage, layout.predictions(job.id)
    try:
        whole = digest_of(storage.blocks(key)).sha256 == report.outputs.get("predictions", {}).get("sha256")
    except FileNotFoundError:
        whole = False
    published = islice(document.read(storage.blocks(key)), job.first_rows[first], None) if whole else iter(())
    for number in range(first, job.manifest.chunks):
        lines = b"".join(islice(published, job.index.rows[number]))
        if lines.count(b"\n") != job.index.rows[number]:
            places = storage.locate(key), storage.locate(layout.report(job.id))
            raise BulkqaError(
                f"{places[0]} was altered or removed since job {job.id} ended, and so was part {number} of it",
                Remedy(
                    f"Remove {' and '.join(places)}, then: ", Call("repair", job.id), ". What is lost is scored again."
                ),
            )
        yield lines
