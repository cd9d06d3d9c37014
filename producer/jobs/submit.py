"""Submitting: a file is checked and becomes a job. First its chunks are written, then the manifest, then messages sent.

Without a manifest the job doesn't exist. A submission that fails before it deletes its chunks. Those of one that is
killed are deleted by whoever knows its place (`withdraw`), or after a day by `contract.ledger.sweeper`.
"""

from __future__ import annotations

import errno
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from contract.errors import BulkqaError, RedisUnreachable, StorageUnreachable, UsageError
from contract.forecast.work import Sample
from contract.format import codec, layout
from contract.format.job import (
    CHUNKS,
    MANIFEST_BYTES,
    InputFile,
    Manifest,
    Trust,
    has_key,
    job_of_key,
    new_job_id,
)
from contract.ledger import records
from contract.ledger.reconcile import BRIEF, reconcile
from contract.ledger.stored import load_manifest
from contract.queue import Queue
from contract.remedy import Call, Remedy, Set
from contract.removal import write_notes
from contract.settings import Settings
from contract.storage import Storage
from producer.chunks import Place, write
from producer.forecast.outlook import NOTHING, Outlook, look
from producer.input.location import InputSpec
from producer.input.open import Input, open_input
from producer.jobs.find import READING, find, find_by_key
from producer.request import Request
from producer.reuse.retry import retry
from producer.reuse.sources import Source, is_latest, open_sources, summary_of
from producer.trust import split

#: A submission says that its rows expand this many times, from this many bytes on. Compressed text is five to twenty
#: times as large.
_EXPANDED, _LARGE = 100, 64 << 20
#: What to know of a threshold that is set for groups.
_THRESHOLD = (
    "no_answer_threshold depends on the number of passages: the more there are, the more often one of them is answered "
    "by mistake. For five passages -3.9 was the best balance, with the model that ships"
)


def place_of(key: str | None) -> Place:
    """A new place for the job with a key; without one, for a new job."""
    return Place(job_of_key(key), layout.new_chunks()) if key else Place(new_job_id(), CHUNKS)


def withdraw(storage: Storage, place: Place) -> None:
    """Delete what a submission wrote that was killed, unless its job came to be."""
    if not _may_exist(storage, place):
        _delete_chunks(storage, place)


@dataclass(frozen=True, slots=True)
class Submitted:
    """The job of a file."""

    manifest: Manifest
    new: bool  #: False if the job with this key existed already

    @property
    def notes(self) -> tuple[str, ...]:
        """What the submitter should know about the input, the size of its rows, and what they reuse."""
        source, size = self.manifest.source, self.manifest.text_bytes
        ratio = size // max(1, source.bytes)
        reuse = self.manifest.reuse
        reused = [summary_of(reuse, self.manifest.rows)] if reuse and not reuse.rows else []
        if size < _LARGE or ratio < _EXPANDED:
            return (*source.notes, *reused)
        expands = (
            f"{source.name}: its {source.bytes:,} bytes expand {ratio:,} times, to {size:,} bytes of rows. "
            f"All of them are scored, and the outputs are as large"
        )
        return (*source.notes, expands, *reused)


def submit_and_send(
    file: InputSpec,
    storage: Storage,
    queue: Queue,
    settings: Settings,
    request: Request,
    progress: Callable[[Input], None] | None = None,
    place: Place | None = None,
    outlook: Outlook | None = None,
) -> Submitted:
    """`submit`, with a forecast by the `outlook` of now, then send the first messages. Raises UsageError for a model's
    path instead of its name, and RedisUnreachable: before anything is written, or saying that the job is stored."""
    check_model(request.model or settings.model)
    queue.ping()
    outlook = outlook or look(settings, request.model or settings.model, storage, queue)
    submitted = submit(file, storage, settings, request, progress, place, outlook)
    _send(submitted.manifest.id, storage, queue, settings)  # with a key, the job may be an old one
    return submitted


def retry_and_send(job: str, storage: Storage, queue: Queue, settings: Settings) -> Submitted:
    """Make a job that tries the failed rows of another again, and send the first messages. Raises NotEnded, UsageError
    if there is none, and RedisUnreachable as `submit_and_send`."""
    queue.ping()
    submitted = Submitted(retry(storage, job), new=True)
    _send(submitted.manifest.id, storage, queue, settings)
    return submitted


def _send(job: str, storage: Storage, queue: Queue, settings: Settings) -> None:
    try:
        reconcile(job, storage, queue, settings, bound=BRIEF)
    except RedisUnreachable as error:
        raise RedisUnreachable(
            f"job {job} is stored but not on the queue: {error.message}",
            Remedy(error.remedy or "", " Then a sweeper sends it, or: ", Call("repair", job)),
        ) from error


def check_model(name: str) -> None:
    """Raise UsageError for a path instead of a model's name, suggesting the name: no worker serves a path."""
    if not ("/" in name or "\\" in name or name.startswith((".", "~"))):
        return
    folder = Path(name).expanduser()
    try:
        suggested = str(json.loads((folder / "reader.json").read_text("utf-8"))["name"])
    except (OSError, ValueError, KeyError, TypeError):
        suggested = folder.resolve().name
    raise UsageError(
        f"the model {name!r} is a path: jobs name the model",
        Remedy("Perhaps you mean: ", Set(model=suggested)),
    )


def submit(
    file: InputSpec,
    storage: Storage,
    settings: Settings,
    request: Request,
    progress: Callable[[Input], None] | None = None,
    place: Place | None = None,
    outlook: Outlook = NOTHING,
) -> Submitted:
    """Write a job's chunks and manifest, at a `place` that somebody has to know beforehand. Sends no messages: see
    `submit_and_send`.

    With a key, the job's id is made from it, so that submitting twice finds the first job. Raises InputError if the
    file cannot be read, UsageError if the key was used for another request.
    """
    place = place or place_of(request.key)
    job, chunks_folder = place.job, place.chunks_folder
    trust = _trust(storage, job, settings, request)
    with open_input(file, request.read, settings.read_memory, request.sampling) as source:
        if request.key and storage.exists(layout.manifest(job)):
            for _ in source.tables(1 << 16, 1 << 26):
                pass  # the digest is known at the end
            requested = replace(_manifest(job, chunks_folder, source, settings, request), trust=trust)
            return Submitted(find_by_key(storage, requested), new=False)
        with _undone(storage, place):
            sources = sources_of(storage, settings, request, trust) or []
            written = write(place, source, storage, settings, request, sources, outlook, progress)
            about = _manifest(job, chunks_folder, source, settings, request)
            manifest = replace(about, trust=trust, **written)
            data = _dumped(manifest)
            write_notes(storage, manifest, time.time())
            if trust:
                records.pin_at_submit(storage, job, trust.model)
            is_first = storage.create(layout.manifest(job), data)
    if not is_first:
        _delete_chunks(storage, place)
        return Submitted(find_by_key(storage, manifest), new=False)  # another submission with this key was first
    write_notes(storage, manifest, time.time())  # a removal of the key's former job may have deleted them
    return Submitted(manifest, new=True)


def _trust(storage: Storage, job: str, settings: Settings, request: Request) -> Trust | None:
    """The promise that splits a job, if one is requested. Raises UsageError if there is none, or not for such a job."""
    if not request.trust:
        return None
    if request.key and storage.exists(layout.manifest(job)):
        first = load_manifest(storage, job).trust
        if first and first.job.startswith(request.trust) and first.precision == request.precision:
            return first  # which may not be promised any more
    earlier = find(storage, request.trust)
    split.check(storage, earlier, request.model or settings.model, request.options)
    return split.promise_of(storage, earlier, request.precision)


@contextmanager
def _undone(storage: Storage, place: Place) -> Iterator[None]:
    """Delete the chunks if the job does not come to be. Raises StorageUnreachable that says so."""
    try:
        yield
    except BaseException as error:
        if _may_exist(storage, place):  # the manifest is the last that is written
            raise
        _delete_chunks(storage, place)
        if not isinstance(error, StorageUnreachable):
            raise
        full = isinstance(error.__cause__, OSError) and error.__cause__.errno in (errno.ENOSPC, errno.EDQUOT)
        remedy = "Make room, then submit again." if full else error.remedy
        raise StorageUnreachable(f"nothing was submitted: {error.message}", remedy) from error


def _may_exist(storage: Storage, place: Place) -> bool:
    """Whether a job is made of these chunks, or that cannot be known."""
    try:
        if not storage.exists(layout.manifest(place.job)):
            return False
        return load_manifest(storage, place.job).chunks_folder == place.chunks_folder
    except BulkqaError:
        return True


def _dumped(manifest: Manifest) -> bytes:
    """A manifest as its file. Raises UsageError if it is too large to be read again."""
    data = codec.dump(manifest)
    if len(data) > MANIFEST_BYTES:
        raise UsageError(
            f"the metadata and column names of this job take {len(data):,} bytes, and {MANIFEST_BYTES:,} are allowed",
            "Give less metadata.",
        )
    return data


def sources_of(
    storage: Storage, settings: Settings, request: Request, trust: Trust | None = None
) -> list[Source] | None:
    """The jobs from which rows may take their outcome; None if the request names none. Raises what `open_sources`
    raises."""
    if not request.reuse:
        return None
    names = [name if is_latest(name) else find(storage, name) for name in request.reuse]
    return open_sources(storage, names, request.model or settings.model, request.options, trust)


def _manifest(job: str, chunks_folder: str, source: Input, settings: Settings, request: Request) -> Manifest:
    """The manifest of a file that was read to its end, without what only its chunks tell."""
    depends = source.groups is not None and request.options.no_answer_threshold is not None
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
            files=source.files,
            notes=(*source.notes, *([_THRESHOLD] if depends else [])),
        ),
        options=request.options,
        question_column=source.question_column,
        context_column=source.context_column,
        id_column=source.id_column,
        answers_column=source.answers_column,
        answers_form=source.answers_form,
        max_row_bytes=request.read.max_row_bytes,
        key=request.key,
        metadata=request.metadata,
        chunks_folder=chunks_folder,
        notify=request.notify,
        expire=request.expire,
        max_errors=request.max_errors,
        groups=source.groups,
        sample=Sample(request.sample, request.sample, seed=request.sample_seed) if request.sample else None,
        reading={option.name: value for option, value in request.changed() if option.name in READING},
    )


def _delete_chunks(storage: Storage, place: Place) -> None:
    with suppress(StorageUnreachable):  # then the sweeper does it
        storage.discard(layout.chunks(place.job, place.chunks_folder))
        if not has_key(place.job):
            storage.delete(layout.model(place.job))
            storage.prune(layout.folder(place.job))
