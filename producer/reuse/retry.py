"""A job tried again: a new job of the same rows, of which those that have their outcome carry it, and only those are
scored that have a processing error."""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace
from json import loads

from contract.errors import NotEnded, UsageError
from contract.format import codec, layout
from contract.format.job import CHUNKS, Manifest, Reuse, new_job_id
from contract.ledger import counting, records
from contract.ledger.stored import Part, StoredJob
from contract.remedy import Call, Remedy
from contract.removal import write_notes
from contract.reuse.carried import Way, encode, outcome_of
from contract.storage import Storage
from contract.storage.many import created, many
from producer.reuse.carry import way_of

#: The errors that a row has because of the work, and not because of what it holds.
OF_THE_WORK = ("inference_error", "worker_crash", "chunk_damaged", "job_cancelled")


def retry(storage: Storage, job: str) -> Manifest:
    """Make the new job; sends no messages. Raises NotEnded, and UsageError if no row has a processing error."""
    if records.report(storage, job) is None:
        remedy = Remedy("Wait for it, or cancel it: ", Call("cancel", job))
        raise NotEnded(f"job {job} has not ended, and still retries its rows itself", remedy)
    stored = StoredJob.open(storage, job)
    failed = failed_by_the_work(storage, job)
    if not failed:
        raise UsageError(
            f"job {job} has no row with a processing error: there is nothing to retry",
            "Fix rejected rows in its error file, and submit that.",
        )
    new = new_job_id()
    try:
        return _made(stored, new)
    except BaseException:
        if not storage.exists(layout.manifest(new)):
            storage.discard(layout.chunks(new))
            storage.delete(layout.model(new))
            storage.prune(layout.folder(new))
        raise


def failed_by_the_work(storage: Storage, job: str) -> int:
    """How many rows of a job have a processing error, cancelled ones included."""
    footers = counting.footers(storage, job, {})
    return sum(footer.codes.get(code, 0) for footer in footers.values() for code in OF_THE_WORK)


def _made(old: StoredJob, job: str) -> Manifest:
    storage, manifest = old.storage, old.manifest
    _copy(old, job)
    digests, counts = [], []
    with created(storage) as create:
        for number in range(manifest.chunks):
            outcomes = _outcomes(old, number)
            data = encode(outcomes)
            if outcomes:
                create(layout.carried(job, number), data)
            digests.append(hashlib.sha256(data).hexdigest() if outcomes else "")
            counts.append(len(outcomes))
        left = zip(old.index.work, counts, old.index.rows, strict=True) if old.index.work else ()
        work = tuple(round(seconds * (1 - count / rows), 4) for seconds, count, rows in left)
        index = replace(old.index, work=work, carried=tuple(digests) if any(counts) else ()).to_bytes()
        create(layout.index(job), index)
    storage.settle()
    new = replace(
        manifest,
        id=job,
        created_at=time.time(),
        key=None,
        chunks_folder=CHUNKS,
        index_sha256=hashlib.sha256(index).hexdigest(),
        forecast=None,
        reuse=Reuse((old.id,), sum(counts), any=True),
        retry_of=old.id,
    )
    if pinned := records.model(storage, old.id):
        records.pin_at_submit(storage, job, pinned)
    write_notes(storage, new, time.time())
    storage.create(layout.manifest(job), codec.dump(new))
    _link(storage, old.id, job)
    return new


def _copy(old: StoredJob, job: str) -> None:
    """Copy what lies in the chunks folder, but the index and what rows carried."""
    storage = old.storage
    folder = layout.chunks(old.id, old.manifest.chunks_folder)

    def copy(name: str) -> None:
        storage.create(f"{layout.chunks(job)}/{name}", storage.blocks(f"{folder}/{name}"), durable=False)

    for _ in many(storage, copy, [name for name, _ in storage.sizes(folder) if layout.is_input(name)], ahead=8):
        pass


def _outcomes(old: StoredJob, number: int) -> list[tuple[int, Way, bytes]]:
    """The answers to a chunk's rows, as they are carried: of a part that is gone or damaged, none."""
    part = old.part(number)
    way = way_of(part.footer, part.footer.model, whole=True) if isinstance(part, Part) else None
    if not isinstance(part, Part) or way is None:
        return []
    predictions = map(loads, part.lines.splitlines())
    answers = [(each["row"], outcome_of(each)) for each in predictions if each["status"] != "error"]
    return [(row, way, outcome) for row, outcome in answers if outcome]


def _link(storage: Storage, old: str, new: str) -> None:
    """Note in the old job that it was tried again. It may be removed meanwhile: then nothing is left in its place."""
    storage.create(layout.retried(old, new), codec.dump(records.Retried(time.time())))
    if not storage.exists(layout.manifest(old)):
        storage.delete(layout.retried(old, new))
        storage.prune(layout.folder(old))
