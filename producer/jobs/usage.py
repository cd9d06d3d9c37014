"""The space that jobs take in the storage, by what it is for."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from contract.format import layout
from contract.format.job import is_made_here
from contract.storage import Storage

#: What the objects of a job are; `other` is what nobody of ours put into its folder.
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
    submitted: bool = False  #: whether it has a manifest: without, it is a submission under way or what is left of one

    @property
    def total(self) -> int:
        """All of it."""
        return sum(getattr(self, kind) for kind in KINDS)

    def add(self, name: str, size: int) -> None:
        """Count an object, given its name below the folder of the job."""
        kind = layout.kind_of(name) or "other"
        setattr(self, kind, getattr(self, kind) + size)
        self.submitted = self.submitted or name == "manifest.json"

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON holds them."""
        return asdict(self) | {"total": self.total}


def of_all(storage: Storage) -> list[Usage]:
    """The space that each job takes, oldest first by name. One pass over the storage; what is in no folder of a job is
    not counted."""
    found: dict[str, Usage] = {}
    for key, size in storage.sizes(layout.JOBS):
        job, _, name = key.partition("/")
        if name and is_made_here(job):
            found.setdefault(job, Usage(job)).add(name, size)
    return [found[job] for job in sorted(found)]


def of(storage: Storage, job: str) -> Usage:
    """The space that one job takes."""
    found = Usage(job)
    for name, size in storage.sizes(layout.folder(job)):
        found.add(name, size)
    return found
