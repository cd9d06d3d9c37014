"""Which job is meant by what somebody typed."""

from __future__ import annotations

from contextlib import suppress
from difflib import get_close_matches

from contract.errors import UnknownJob
from contract.format import layout
from contract.ledger import records
from contract.remedy import Call, Remedy
from contract.storage import Storage

#: Jobs that are named when none is meant for sure, and how like an id must be: all of a day are alike in a half of it.
_SHOWN, _LIKE = 3, 0.8


def find(storage: Storage, job: str) -> str:
    """The full id of a job, given the whole of it or an unambiguous beginning. Raises UnknownJob."""
    with suppress(UnknownJob):  # the beginning of an id need not be one: it may end in a dash
        if storage.exists(layout.manifest(job)):
            return job
    known = records.jobs(storage)
    matches = [one for one in known if one.startswith(job)]
    if len(matches) == 1:
        return matches[0]
    what = f"{len(matches)} jobs begin with {job}" if matches else f"there is no job {job} in {storage.url}"
    like = matches[-_SHOWN:] if matches else get_close_matches(job, known, _SHOWN, _LIKE)
    meant = f"Did you mean {' or '.join(like)}? " if like else ""
    raise UnknownJob(what, Remedy(meant, "List the jobs with: ", Call("list")))
