"""Find the job that somebody means: by its id, or the beginning of that, or by its key."""

from __future__ import annotations

from dataclasses import asdict
from difflib import get_close_matches

from contract.errors import UnknownJob, UsageError
from contract.format import layout
from contract.format.job import Manifest
from contract.ledger import records
from contract.ledger.stored import load_manifest, no_such_job
from contract.remedy import LIST_JOBS, Remedy
from contract.storage import Storage
from producer.request import OPTIONS

#: Suggestions if no job matches, and how similar an id has to be: half of the id is the same for all jobs of a day.
_SUGGESTED, _SIMILARITY = 3, 0.8
#: Options of reading that decide what the rows are, besides those that the manifest has anyway.
READING = ("escape", "quote", "header", "skip_lines", "encoding", "sheet", "text")


def is_id(storage: Storage, job: str) -> bool:
    """Whether that is the full id of a job."""
    try:
        return storage.exists(layout.manifest(job))
    except UnknownJob:  # a beginning may not be a valid id: it may end in a dash
        return False


def find(storage: Storage, job: str) -> str:
    """The full id of a job, given the id or an unambiguous beginning. Raises UnknownJob."""
    if is_id(storage, job):
        return job
    ids = records.jobs(storage)
    matches = [full for full in ids if full.startswith(job)]
    if len(matches) == 1:
        return matches[0]
    message = f"{len(matches)} jobs begin with {job}" if matches else no_such_job(storage, job).message
    similar = matches[-_SUGGESTED:] if matches else get_close_matches(job, ids, _SUGGESTED, _SIMILARITY)
    suggestion = f"Did you mean {' or '.join(similar)}? " if similar else ""
    raise UnknownJob(message, Remedy(suggestion, LIST_JOBS))


def find_by_key(storage: Storage, requested: Manifest) -> Manifest:
    """The job with the key of another request. Raises UsageError if its file or options are others."""
    manifest = load_manifest(storage, requested.id)
    then, now = _deciding(manifest), _deciding(requested)
    changes = [f"{name} {then[name]}, now {now[name]}" for name in then if then[name] != now[name]]
    if changes:
        raise UsageError(
            f"the key {requested.key!r} belongs to job {manifest.id}, which was submitted differently: "
            + "; ".join(changes),
            "Submit the same to find that job, or use a new key.",
        )
    return manifest


def _deciding(manifest: Manifest) -> dict[str, object]:
    """Everything that decides the outcome of rows, by option: not the size of chunks, nor the file's name."""
    reading = manifest.reading  # None in older jobs: then it is not compared
    read = {} if reading is None else {name: repr(reading.get(name, OPTIONS[name].default)) for name in READING}
    return (
        {
            "file": f"sha256 {manifest.source.sha256[:16]}",
            "format": manifest.source.format,
            "delimiter": repr(manifest.source.delimiter),
            "question": repr(manifest.question_column),
            "context": repr(manifest.context_column),
            "id": repr(manifest.id_column),
            "answers": repr(manifest.answers_column),
            "group_by": repr(manifest.groups.column if manifest.groups else None),
            "BULKQA_MAX_ROW_BYTES": manifest.max_row_bytes,
            "model": repr(manifest.model),
            "sample": manifest.sample and manifest.sample.rows,
            "sample_seed": manifest.sample and manifest.sample.seed,
            "trust": repr(manifest.trust and manifest.trust.job),
            "precision": manifest.trust and manifest.trust.precision,
        }
        | asdict(manifest.options)
        | read
    )
