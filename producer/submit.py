"""A checked file becomes a job: chunk files first, then the manifest, and only then messages.

Until the manifest is there the job does not exist, and whoever fails before that takes the chunks away again.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import pyarrow.compute as pc

from contract import chunk, layout, records
from contract.errors import UnknownJob, UsageError
from contract.job import Manifest, Options, new_job_id
from contract.job import Source as SourceRecord
from contract.records import Index
from contract.settings import Settings
from contract.storage import Storage
from producer.reader import ReadOptions, Source, open_source

File = str | Path | BinaryIO


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for, beside the file."""

    read: ReadOptions = field(default_factory=ReadOptions)
    options: Options = field(default_factory=Options)
    model: str = ""
    key: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Submitted:
    manifest: Manifest
    new: bool  #: False if the key had its job already


def submit(
    file: File, storage: Storage, settings: Settings, request: Request, progress: Callable[[Source], None] | None = None
) -> Submitted:
    """Write a job's chunks and manifest. Sends nothing: that is `contract.reconcile`'s.

    With a key, the job's id is made from it, so that submitting twice finds the first job, whoever is first.
    Raises InputError for the file, UsageError if the key was used for something else.
    """
    job = job_of_key(request.key) if request.key else new_job_id()
    with open_source(file, request.read) as source:
        if request.key and storage.exists(layout.manifest(job)):
            return Submitted(_same(records.load(storage, job), source, request), new=False)
        written: list[str] = []
        try:
            manifest = _write(job, source, storage, settings, request, written, progress)
        except BaseException as error:
            # Interrupted with a key: another submission may have found these chunks, and rely on them.
            if not request.key or isinstance(error, UsageError):
                for key in written:
                    storage.delete(key)
            raise
    if not storage.create(layout.manifest(job), records.dump(manifest.to_json())):
        return Submitted(records.load(storage, job), new=False)  # another submission with the key was quicker
    return Submitted(manifest, new=True)


def job_of_key(key: str) -> str:
    return f"key-{hashlib.sha256(key.encode()).hexdigest()[:24]}"


def _write(
    job: str,
    source: Source,
    storage: Storage,
    settings: Settings,
    request: Request,
    written: list[str],
    progress: Callable[[Source], None] | None,
) -> Manifest:
    rows, digests, rejected = [], [], 0
    for number, table in enumerate(source.tables(settings.chunk_rows, settings.chunk_bytes)):
        data = chunk.to_bytes(table)
        _create(storage, layout.chunk(job, number), data, written, request.key)
        rows.append(table.num_rows)
        digests.append(hashlib.sha256(data).hexdigest())
        rejected += pc.sum(pc.is_valid(table["code"])).as_py() or 0
        if progress:
            progress(source)
    index = Index(tuple(rows), tuple(digests)).to_bytes()
    _create(storage, layout.index(job), index, written, request.key)
    storage.settle()  # once for all chunks, before the manifest speaks of them
    return Manifest(
        id=job,
        created_at=time.time(),
        model=request.model or settings.model,
        rows=sum(rows),
        rejected=rejected,
        chunks=len(rows),
        index_sha256=hashlib.sha256(index).hexdigest(),
        source=SourceRecord(
            name=source.name,
            format=source.format,
            bytes=source.bytes_read,
            sha256=source.sha256,
            columns=tuple(source.columns),
            delimiter=source.delimiter,
        ),
        options=request.options,
        question_column=request.read.question,
        context_column=request.read.context,
        id_column=source.id_column,
        answers_column=source.answers_column,
        key=request.key,
        metadata=request.metadata,
    )


def _create(storage: Storage, key: str, data: bytes, written: list[str], by_key: str | None) -> None:
    """Write an object of the job. With a key it may be there from a submission that died: then it must be the same."""
    if storage.create(key, data, durable=False):
        written.append(key)
    elif storage.read(key) != data:
        raise UsageError(
            f"the key {by_key!r} belongs to a submission of other content that was not finished", "Use another key."
        )


def _same(manifest: Manifest, source: Source, request: Request) -> Manifest:
    """The job that a key stands for, if this is the same request. Raises UsageError if it is not."""
    for _ in source.tables(1 << 16, 1 << 26):
        pass
    columns = (manifest.question_column, manifest.context_column, manifest.answers_column)
    was = (manifest.source.sha256, manifest.options, columns)
    columns = (request.read.question, request.read.context, source.answers_column)
    now = (source.sha256, request.options, columns)
    if was != now:
        raise UsageError(
            f"the key {request.key!r} was used for job {manifest.id} with another file or other options",
            "Use a new key for a new request.",
        )
    return manifest


def find(storage: Storage, job: str) -> str:
    """The full id of a job, given the whole of it or an unambiguous beginning. Raises UnknownJob."""
    with suppress(UnknownJob):  # the beginning of an id need not be one: it may end in a dash
        if storage.exists(layout.manifest(job)):
            return job
    matches = [known for known in records.jobs(storage) if known.startswith(job)]
    if len(matches) == 1:
        return matches[0]
    what = f"{len(matches)} jobs begin with {job}" if matches else f"there is no job {job} in {storage.url}"
    raise UnknownJob(what, "List the jobs with: producer list")
