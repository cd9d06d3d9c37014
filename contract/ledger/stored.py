"""A job in storage: its manifest, its chunks as they were submitted, its parts as they were scored.

Everything is checked as it is read: the manifest as a whole, the index and the chunks by their digests, a part by its
footer. A damaged manifest or index is an error. A damaged chunk or part is a value, `Damage`, since the rest of the job
can still be used. Covers no attempts, reports or other records: see `records`.
"""

from __future__ import annotations

import hashlib
import json
import time
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple, TypeVar

from contract import evaluation
from contract.errors import BulkqaError, UnknownJob, UsageError
from contract.format import chunk, codec, layout, part
from contract.format.job import MANIFEST_BYTES, Manifest, Row, RowError, failed, read_manifest
from contract.format.part import DamagedPart, Footer
from contract.remedy import LIST_JOBS
from contract.reuse import carried
from contract.reuse.carried import Carried
from contract.storage import Storage
from contract.trust import split

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Index:
    """Rows and sha256 of every chunk of a job, by number."""

    rows: tuple[int, ...]
    sha256: tuple[str, ...]
    work: tuple[float, ...] = ()  #: seconds of one thread that each is forecast to take; of older jobs empty
    carried: tuple[str, ...] = ()  #: of the outcomes beside each chunk, empty for none; in most jobs nothing

    def to_bytes(self) -> bytes:
        """The index as its file holds it: what is empty is left out."""
        return json.dumps(
            {name: value for name, value in codec.values(self).items() if value}, separators=(",", ":")
        ).encode()


@dataclass(frozen=True, slots=True)
class Damage:
    """Why a chunk or a part cannot be used: its object is missing, or was altered since it was written."""

    reason: str
    missing: bool = False


class Part(NamedTuple):
    """A part that is whole and unaltered."""

    lines: bytes  #: predictions as JSON lines
    footer: Footer


@dataclass(frozen=True, eq=False)
class StoredJob:
    """A submitted job. Its manifest and index never change, so they are read once, by `open`."""

    storage: Storage
    manifest: Manifest
    index: Index

    @classmethod
    def open(cls, storage: Storage, job: str) -> StoredJob:
        """Read the manifest and the index. Raises UnknownJob, and BulkqaError if one of them is damaged."""
        manifest = load_manifest(storage, job)
        return cls(storage, manifest, _load_index(storage, manifest))

    @property
    def id(self) -> str:
        """The job's id."""
        return self.manifest.id

    @cached_property
    def first_rows(self) -> list[int]:
        """The number of the first row of each chunk, and at the end the number of rows."""
        return list(accumulate(self.index.rows, initial=0))

    def chunk_of(self, row: int) -> int:
        """The number of the chunk that holds a row; past the last row, the number of chunks."""
        return bisect_right(self.first_rows, row) - 1

    def chunk(self, number: int) -> bytes | Damage:
        """The file of a chunk, as it was submitted."""
        try:
            data = self.storage.read(layout.chunk(self.id, number, self.manifest.chunks_folder))
        except FileNotFoundError:
            return Damage("the chunk file is missing", missing=True)
        if hashlib.sha256(data).hexdigest() != self.index.sha256[number]:
            return Damage("the chunk file was altered since it was submitted")
        return data

    def rows(self, number: int) -> list[Row]:
        """The rows of a chunk. If its file is damaged: as many rows, each with the error chunk_damaged."""
        return self.rows_of(number, self.chunk(number))

    def rows_of(self, number: int, data: bytes | Damage) -> list[Row]:
        """The same, given the result of `chunk`."""
        if isinstance(data, bytes):
            return list(chunk.rows(chunk.from_bytes(data)))
        error = RowError("chunk_damaged", f"{data.reason}; submit these rows again")
        return [Row(row, None, None, error=error) for row in range(*self.first_rows[number : number + 2])]

    def carried(self, number: int) -> dict[int, Carried] | Damage:
        """The outcomes that rows of a chunk carry, by row number."""
        digest = self.index.carried[number] if self.index.carried else ""
        if not digest:
            return {}
        try:
            data = self.storage.read(layout.carried(self.id, number, self.manifest.chunks_folder))
        except FileNotFoundError:
            return Damage("the outcomes beside the chunk are missing", missing=True)
        if hashlib.sha256(data).hexdigest() != digest:
            return Damage("the outcomes beside the chunk were altered")
        return carried.decode(data)

    def part(self, number: int) -> Part | Damage:
        """The part of a chunk, if it is whole, unaltered and under the right key."""

        def read() -> Part:
            data = self.storage.read(layout.part(self.id, number))
            return Part(*part.body(data, self.index.rows[number], (self.id, number)))

        return _checked(read)

    def lines(self, number: int) -> bytes | None:
        """The predictions of a chunk as JSON lines; None if its part is missing or damaged."""
        part_ = self.part(number)
        return part_.lines if isinstance(part_, Part) else None

    def fail(self, number: int, error: RowError, attempts: int) -> bool:
        """Write the part of a chunk with the same error for every row that has none of its own. True if this wrote it,
        False if there was a part already."""
        now = time.time()
        rows = self.rows(number)
        predictions = (failed(row, row.error or error, self.manifest.options) for row in rows)
        marked = split.marked(predictions, self.manifest.trust)
        judged, sums = evaluation.judge(marked, rows, self.manifest.answers_column, self.manifest.answers_form)
        data, _ = part.encode(
            judged, started_at=now, finished_at=now, evaluation=sums, attempts=attempts, job=self.id, chunk=number
        )
        return self.storage.create(layout.part(self.id, number), data)


def read_footer(storage: Storage, job: str, number: int) -> Footer | Damage:
    """The footer of a part. Reads only the end of the part, so its predictions are not checked."""
    return _checked(lambda: part.footer(storage.tail(layout.part(job, number), part.FOOTER_BYTES), (job, number)))


def _checked(read: Callable[[], T]) -> T | Damage:
    try:
        return read()
    except FileNotFoundError:
        return Damage("it is missing", missing=True)
    except DamagedPart as damage:
        return Damage(str(damage))


def load_manifest(storage: Storage, job: str) -> Manifest:
    """The manifest of a job, checked as a whole. Raises UnknownJob, and BulkqaError if it is damaged."""
    try:
        data = storage.tail(layout.manifest(job), MANIFEST_BYTES + 1)
        if len(data) > MANIFEST_BYTES:
            raise ValueError(f"it has more than {MANIFEST_BYTES:,} bytes")
        manifest = read_manifest(data)
        manifest.check()
    except FileNotFoundError:
        raise no_such_job(storage, job) from None
    except (UsageError, ValueError) as error:
        if isinstance(error, UnknownJob) and error.message.startswith(repr(job)):
            raise
        raise _damaged(job, error.message if isinstance(error, BulkqaError) else str(error)) from error
    if manifest.id != job:
        raise _damaged(job, f"it is the manifest of job {manifest.id}")
    return manifest


def no_such_job(storage: Storage, job: str) -> UnknownJob:
    """The error for a job that the storage does not have."""
    return UnknownJob(f"there is no job {job} in {storage.url}", LIST_JOBS)


def _load_index(storage: Storage, manifest: Manifest) -> Index:
    try:
        data = storage.read(layout.index(manifest.id, manifest.chunks_folder))
    except FileNotFoundError:
        data = b""
    if hashlib.sha256(data).hexdigest() != manifest.index_sha256:
        raise BulkqaError(f"the chunk index of job {manifest.id} was altered or removed", "Submit the file again.")
    index = codec.read(Index, data)
    sizes = len(index.rows), len(index.sha256), len(index.carried) or manifest.chunks, sum(index.rows)
    if sizes != (manifest.chunks, manifest.chunks, manifest.chunks, manifest.rows):
        raise _damaged(manifest.id, "its chunks and rows are not those of the chunk index")
    return index


def _damaged(job: str, reason: str) -> BulkqaError:
    return BulkqaError(f"the manifest of job {job} is damaged: {reason[:300]}", "Submit the file again.")
