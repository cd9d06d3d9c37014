"""Which job is meant by what somebody typed."""

from __future__ import annotations

from contextlib import suppress

from contract.errors import UnknownJob
from contract.format import layout
from contract.ledger import records
from contract.storage import Storage


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
