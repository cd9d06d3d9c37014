"""The storage space that jobs take, by purpose."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from contract.format import layout
from contract.format.job import is_made_here
from contract.storage import Storage

#: The kinds of objects of a job; `other` are foreign objects in its folder.
KINDS = ("chunks", "parts", "outputs", "records", "other")


@dataclass(slots=True)
class Usage:
    """The bytes of one job."""

    job: str
    chunks: int = 0
    parts: int = 0
    outputs: int = 0
    records: int = 0
    other: int = 0
    submitted: bool = False  #: it has a manifest; if not, a submission is under way or was killed

    @property
    def total(self) -> int:
        """The bytes of all kinds."""
        return sum(getattr(self, kind) for kind in KINDS)

    def add(self, name: str, size: int) -> None:
        """Add an object, given its name below the job's folder."""
        kind = layout.kind_of(name) or "other"
        setattr(self, kind, getattr(self, kind) + size)
        self.submitted = self.submitted or name == "manifest.json"

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON holds them."""
        return asdict(self) | {"total": self.total}


def of_all(storage: Storage) -> list[Usage]:
    """The space of each job, sorted by id, the oldest first. One pass over the storage; objects outside the folders of
    jobs are not counted."""
    by_job: dict[str, Usage] = {}
    for key, size in storage.sizes(layout.JOBS):
        job, _, name = key.partition("/")
        if name and is_made_here(job):
            by_job.setdefault(job, Usage(job)).add(name, size)
    return [by_job[job] for job in sorted(by_job)]


def of(storage: Storage, job: str) -> Usage:
    """The space of one job."""
    usage = Usage(job)
    for name, size in storage.sizes(layout.folder(job)):
        usage.add(name, size)
    return usage
