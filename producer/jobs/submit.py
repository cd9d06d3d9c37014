"""A checked file becomes a job: chunk files first, then the manifest, and only then messages.

Until the manifest is there the job does not exist, and whoever fails before that deletes the chunks. Of who
is killed before that, `contract.ledger.sweeper` does.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import BinaryIO

import pyarrow.compute as pc

from contract.errors import BulkqaError, InputError, RedisUnreachable, StorageUnreachable, UsageError
from contract.format import chunk, codec, layout
from contract.format.job import CHUNKS, InputFile, Manifest, job_of_key, new_job_id
from contract.ledger import records
from contract.ledger.reconcile import reconcile
from contract.ledger.stored import Index, load_manifest
from contract.queue import Queue
from contract.remedy import Remedy, Set
from contract.settings import Settings
from contract.storage import Storage
from contract.storage.many import created
from producer.input.open import Input, open_input
from producer.request import Request
from producer.results.columns import InputColumns

File = str | Path | BinaryIO


@dataclass(frozen=True, slots=True)
class Submitted:
    """The job of a file."""

    manifest: Manifest
    new: bool  #: False if the key had its job already


def submit_and_send(
    file: File,
    storage: Storage,
    queue: Queue,
    settings: Settings,
    request: Request,
    progress: Callable[[Input], None] | None = None,
) -> Submitted:
    """`submit`, and its first messages on the queue. Raises UsageError for a model's folder in place of its name, and
    RedisUnreachable: before anything was written, or with a word that the job is stored."""
    check_model(request.model or settings.model)
    queue.ping()
    submitted = submit(file, storage, settings, request, progress)
    job = submitted.manifest.id
    try:
        reconcile(job, storage, queue, settings)
    except RedisUnreachable as error:
        raise RedisUnreachable(
            f"job {job} is stored but not on the queue: {error.message}",
            f"{error.remedy} A sweeper sends it then, or: producer repair {job}",
        ) from error
    return submitted


def check_model(name: str) -> None:
    """Raises UsageError for a path, with the name that is meant: no worker ever serves a model of such a name."""
    if not ("/" in name or "\\" in name or name.startswith((".", "~"))):
        return
    folder = Path(name).expanduser()
    try:
        meant = str(json.loads((folder / "reader.json").read_text("utf-8"))["name"])
    except (OSError, ValueError, KeyError, TypeError):
        meant = folder.resolve().name
    raise UsageError(
        f"the model {name!r} is a path, and jobs ask for a model by its name",
        Remedy("It is perhaps: ", Set(model=meant)),
    )


def submit(
    file: File, storage: Storage, settings: Settings, request: Request, progress: Callable[[Input], None] | None = None
) -> Submitted:
    """Write a job's chunks and manifest. Sends nothing: that is `submit_and_send`'s.

    With a key, the job's id is made from it, so that submitting twice finds the first job, whoever is first.
    Raises InputError for the file, UsageError if the key was used for something else.
    """
    job = job_of_key(request.key) if request.key else new_job_id()
    # Of several submissions with one key each has a folder of its own: nothing is shared before there is a manifest.
    within = layout.new_chunks() if request.key else CHUNKS
    with open_input(file, request.read, settings.read_memory) as source:
        if request.key and storage.exists(layout.manifest(job)):
            for _ in source.tables(1 << 16, 1 << 26):
                pass  # its digest is known at its end
            return _found(storage, _manifest(job, within, source, settings, request))
        try:
            manifest = _write(job, within, source, storage, settings, request, progress)
        except BaseException:
            _delete_chunks(storage, job, within)
            raise
    for wanted, note in ((request.notify, layout.owed(job)), (request.expire, layout.expiring(job))):
        if wanted:
            records.note(storage, note, time.time())
    if not storage.create(layout.manifest(job), codec.dump(manifest)):
        _delete_chunks(storage, job, within)
        return _found(storage, manifest)  # another submission with the key was quicker
    return Submitted(manifest, new=True)


def _write(
    job: str,
    within: str,
    source: Input,
    storage: Storage,
    settings: Settings,
    request: Request,
    progress: Callable[[Input], None] | None,
) -> Manifest:
    rows, digests, rejected = [], [], 0
    with created(storage) as create:
        for number, table in enumerate(source.tables(settings.chunk_rows, settings.chunk_bytes)):
            data = chunk.to_bytes(table)
            create(layout.chunk(job, number, within), data)
            rows.append(table.num_rows)
            digests.append(hashlib.sha256(data).hexdigest())
            rejected += pc.sum(pc.is_valid(table["code"])).as_py() or 0
            if progress:
                progress(source)
        index = Index(tuple(rows), tuple(digests)).to_bytes()
        create(layout.index(job, within), index)
        _check_columns(request.columns, source, sum(rows))
        columns = request.columns or (InputColumns(source.types.empty_table()) if source.types is not None else None)
        described = columns.to_bytes() if columns else b""
        if described:
            create(layout.columns(job, within), described)
    storage.settle()  # once for all chunks, before the manifest speaks of them
    if len(storage.list(layout.chunks(job, within))) != len(rows) + 1 + bool(described):
        raise BulkqaError(
            f"chunks of job {job} were removed while it was being submitted",
            "The sweeper does so when none was added for a day. Submit the file again.",
        )
    return replace(
        _manifest(job, within, source, settings, request),
        rows=sum(rows),
        rejected=rejected,
        chunks=len(rows),
        index_sha256=hashlib.sha256(index).hexdigest(),
        columns_sha256=hashlib.sha256(described).hexdigest() if described else "",
    )


def _check_columns(columns: InputColumns | None, source: Input, rows: int) -> None:
    """Raise InputError for columns that are not those of the table that they came with."""
    if columns is None:
        return
    levels = columns.index.num_columns and columns.index.num_rows
    if not set(source.columns) <= set(columns.types.column_names) or levels not in (0, rows):
        raise InputError(
            "unreadable", f"{source.name}: the columns beside the table are of another one", "Leave them out."
        )


def _manifest(job: str, within: str, source: Input, settings: Settings, request: Request) -> Manifest:
    """What is asked for, but for what only chunks tell. The source was read to its end."""
    return Manifest(
        id=job,
        created_at=time.time(),
        model=request.model or settings.model,
        rows=0,
        rejected=0,
        chunks=0,
        index_sha256="",
        source=InputFile(
            name=source.name,
            format=source.format,
            bytes=source.bytes_read,
            sha256=source.sha256,
            columns=tuple(source.columns),
            delimiter=source.delimiter,
        ),
        options=request.options,
        question_column=source.question_column,
        context_column=source.context_column,
        id_column=source.id_column,
        answers_column=source.answers_column,
        max_row_bytes=request.read.max_row_bytes,
        key=request.key,
        metadata=request.metadata,
        chunks_folder=within,
        notify=request.notify,
        expire=request.expire,
    )


def _delete_chunks(storage: Storage, job: str, within: str) -> None:
    with suppress(StorageUnreachable):  # the sweeper does it later
        storage.discard(layout.chunks(job, within))


def _found(storage: Storage, asked: Manifest) -> Submitted:
    """The job that a key stands for, if the same is asked of it. Raises UsageError if it is not."""
    manifest = load_manifest(storage, asked.id)
    was, now = _deciding(manifest), _deciding(asked)
    other = [f"{what} {was[what]}, now {now[what]}" for what in now if was[what] != now[what]]
    if other:
        raise UsageError(
            f"the key {asked.key!r} was used for job {manifest.id}, of which something else was asked: "
            + "; ".join(other),
            "Ask for the same to find that job, or take a new key.",
        )
    return Submitted(manifest, new=False)


def _deciding(manifest: Manifest) -> dict[str, object]:
    """All that decides the outcome of rows, by the names of options. Not how they are cut, nor the file's name."""
    return {
        "file": f"sha256 {manifest.source.sha256[:16]}",
        "format": manifest.source.format,
        "delimiter": repr(manifest.source.delimiter),
        "question": repr(manifest.question_column),
        "context": repr(manifest.context_column),
        "id": repr(manifest.id_column),
        "answers": repr(manifest.answers_column),
        "BULKQA_MAX_ROW_BYTES": manifest.max_row_bytes,
        "model": repr(manifest.model),
    } | asdict(manifest.options)
