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


def ready_lines(
    job: str, storage: Storage, *, offset: int = 0, wait: Callable[[], bool] | None = None
) -> Iterator[bytes]:
    """Predictions as JSON lines, a chunk at a time, in row order from the row `offset` on. Of a job that has not ended:
    those before the first gap.

    At a gap, `wait` is called for as long as it returns True: the next part may be written meanwhile, or a damaged one
    scored again. Raises BulkqaError if the job has ended and some of its predictions are lost.
    """
    stored = StoredJob.open(storage, job)
    first = stored.chunk_of(offset)  # earlier parts are not read
    within = offset - stored.first_rows[first]
    for lines in _from(stored, first, wait):
        yield lines.split(b"\n", within)[-1] if within else lines
        within = 0


def _from(job: StoredJob, first: int, wait: Callable[[], bool] | None) -> Iterator[bytes]:
    """The lines of each part, from the `first` on."""
    number, chunks = first, job.manifest.chunks
    if not job.storage.exists(layout.report(job.id)):
        while number < chunks:
            while (lines := job.lines(number)) is None and wait and wait():
                pass
            if lines is None:
                break
            yield lines
            number += 1
    if number < chunks and (report := records.report(job.storage, job.id)):  # it may have ended meanwhile
        yield from islice(_published(job, report), number, None)


def _published(job: StoredJob, report: Progress) -> Iterator[bytes]:
    """The predictions of a job that has ended: from its document, or if that was altered or removed, from its parts.

    The document is read twice: its digest is checked before its first line is used.
    """
    storage, key = job.storage, layout.predictions(job.id)
    try:
        whole = digest_of(storage.blocks(key)).sha256 == report.outputs.get("predictions", {}).get("sha256")
    except FileNotFoundError:
        whole = False
    published = document.read(storage.blocks(key)) if whole else iter(())
    for number, rows in enumerate(job.index.rows):
        lines = b"".join(islice(published, rows)) if whole else job.lines(number)
        if lines is None or lines.count(b"\n") != rows:
            places = storage.locate(key), storage.locate(layout.report(job.id))
            raise BulkqaError(
                f"{places[0]} was altered or removed since job {job.id} ended, and so was part {number} of it",
                Remedy(
                    f"Remove {' and '.join(places)}, then: ", Call("repair", job.id), ". What is lost is scored again."
                ),
            )
        yield lines
