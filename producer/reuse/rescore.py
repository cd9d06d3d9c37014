"""Reused rows scored again: a small job of some of them, whose predictions have to be the same, byte for byte."""

from __future__ import annotations

import hashlib
import heapq
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby

import pyarrow as pa

from contract.errors import UsageError
from contract.format import chunk, codec, layout
from contract.format.job import CHUNKS, Manifest, new_job_id
from contract.ledger import records
from contract.ledger.stored import Damage, Index, Part, StoredJob, read_footer
from contract.removal import write_notes
from contract.storage import Storage

#: Seconds until the small job is removed, if nobody did.
_EXPIRE = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Rescored:
    """A job of reused rows, and which rows of the other job they are."""

    manifest: Manifest
    rows: tuple[int, ...]


def rescore(storage: Storage, job: str, count: int) -> Rescored:
    """Make a job of at most `count` reused rows, always the same ones. Sends no messages. Raises UsageError if there
    are none."""
    old = StoredJob.open(storage, job)
    rows = sorted(heapq.nsmallest(count, _reused(old), key=lambda row: hashlib.sha256(b"%d" % row).digest()))
    pinned = records.model(storage, job)
    if not rows or pinned is None:
        raise UsageError(f"job {job} has no reused rows in chunks that are done", "Score it again as a job of its own.")
    data = chunk.to_bytes(_table(old, rows))
    new = new_job_id()
    index = Index((len(rows),), (hashlib.sha256(data).hexdigest(),)).to_bytes()
    storage.create(layout.chunk(new, 0), data)
    storage.create(layout.index(new), index)
    manifest = replace(
        old.manifest,
        id=new,
        created_at=time.time(),
        rows=len(rows),
        rejected=0,
        chunks=1,
        index_sha256=hashlib.sha256(index).hexdigest(),
        chunks_folder=CHUNKS,
        key=None,
        metadata={"rescore_of": job},
        columns_sha256="",
        keys_sha256="",
        notify="",
        expire=_EXPIRE,
        groups=None,
        documents=None,
        forecast=None,
        max_errors=None,
        reuse=None,
        retry_of="",
    )
    records.pin_at_submit(storage, new, pinned)
    write_notes(storage, manifest, time.time())
    storage.create(layout.manifest(new), codec.dump(manifest))
    return Rescored(manifest, tuple(rows))


def differences(storage: Storage, job: str, rescored: Rescored) -> list[str]:
    """What is wrong: a sentence for each reused row whose prediction is another than that in the small job, which has
    ended."""
    old, part = StoredJob.open(storage, job), StoredJob.open(storage, rescored.manifest.id).part(0)
    again = part.lines.splitlines() if isinstance(part, Part) else [b""] * len(rescored.rows)
    now = part.footer.numerics if isinstance(part, Part) else ""
    problems = []
    for row, (numerics, line), other in zip(rescored.rows, _lines(old, rescored.rows), again, strict=True):
        if _without_number(line) != _without_number(other):
            why = f" (by {now}; the job by {numerics})" if now != numerics else ""
            problems.append(f"row {row} is reused, and differs when scored again{why}")
    return problems


def _reused(job: StoredJob) -> Iterator[int]:
    """The rows whose outcome was reused, as far as chunks are done."""
    for number, digest in enumerate(job.index.carried):
        footer = read_footer(job.storage, job.id, number) if digest else Damage("")
        carried = job.carried(number)
        if isinstance(footer, Damage) or not footer.reused or isinstance(carried, Damage):
            continue
        for row, each in carried.items():
            if each.way.numerics == footer.numerics or footer.reused_others:
                yield row


def _by_chunk(job: StoredJob, rows: tuple[int, ...] | list[int]) -> Iterator[tuple[int, list[int]]]:
    """(chunk, places in it) of some rows, which are sorted."""
    for number, own in groupby(rows, job.chunk_of):
        yield number, [row - job.first_rows[number] for row in own]


def _table(job: StoredJob, rows: list[int]) -> pa.Table:
    tables = []
    for number, places in _by_chunk(job, rows):
        data = job.chunk(number)
        if isinstance(data, Damage):
            raise UsageError(f"chunk {number} of job {job.id} cannot be read: {data.reason}")
        tables.append(chunk.from_bytes(data).take(places))
    table = pa.concat_tables(tables).unify_dictionaries().combine_chunks()
    return table.set_column(0, chunk.FIELDS[0], pa.array(range(len(rows)), pa.int64()))


def _lines(job: StoredJob, rows: tuple[int, ...]) -> Iterator[tuple[str, bytes]]:
    """The predictions of some rows, with the numerics of their part; empty for those that are lost."""
    for number, places in _by_chunk(job, rows):
        part = job.part(number)
        lines = part.lines.splitlines() if isinstance(part, Part) else []
        numerics = part.footer.numerics if isinstance(part, Part) else ""
        yield from ((numerics, lines[place] if lines else b"") for place in places)


def _without_number(line: bytes) -> bytes:
    """A prediction but for the number of its row, with which it begins: in a small job that is another."""
    return line.partition(b",")[2]
