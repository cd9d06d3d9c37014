"""Find the job that somebody means by an id or its beginning."""

from __future__ import annotations

from difflib import get_close_matches

from contract.errors import UnknownJob
from contract.format import layout
from contract.ledger import records
from contract.remedy import Call, Remedy
from contract.storage import Storage

#: Suggestions if no job matches, and how similar an id has to be: half of the id is the same for all jobs of a day.
_SUGGESTED, _SIMILARITY = 3, 0.8


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
    message = f"{len(matches)} jobs begin with {job}" if matches else f"there is no job {job} in {storage.url}"
    similar = matches[-_SUGGESTED:] if matches else get_close_matches(job, ids, _SUGGESTED, _SIMILARITY)
    suggestion = f"Did you mean {' or '.join(similar)}? " if similar else ""
    raise UnknownJob(message, Remedy(suggestion, "List the jobs with: ", Call("list")))
