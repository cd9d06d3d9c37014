"""The jobs of a list: filters and order. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from contract.errors import UsageError
from contract.ledger.progress import STATES, Progress
from producer.request import suggest

#: What a list can be sorted by. Equal jobs are in the order of their submission.
ORDERS: Mapping[str, Callable[[Progress], Any]] = {
    "created": lambda job: job.created_at,
    "finished": lambda job: job.finished_at or float("inf"),
    "rows": lambda job: job.request_counts.total,
    "failed": lambda job: job.request_counts.failed,
    "progress": lambda job: job.progress,
    "status": lambda job: job.status,
    "model": lambda job: job.model.name,
}


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs to list, and in which order. A field that is not set matches all."""

    status: tuple[str, ...] = ()  #: one of these
    since: float | None = None  #: submitted at this time or later
    model: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)  #: a job has all of these, and perhaps others
    sort: str = "created"
    reverse: bool = False
    limit: int | None = None  #: only this many, the last ones

    def __post_init__(self) -> None:
        for state in self.status:
            if state not in STATES:
                raise UsageError(f"no job has the status {state!r}", suggest(state, STATES))
        if self.sort not in ORDERS:
            raise UsageError(f"jobs cannot be sorted by {self.sort!r}", f"Sort by one of: {', '.join(ORDERS)}.")


def select(jobs: Iterable[Progress], job_filter: JobFilter) -> list[Progress]:
    """The jobs that match a filter, in its order."""
    selected = [job for job in jobs if _matches(job, job_filter)]
    selected.sort(key=lambda job: (ORDERS[job_filter.sort](job), job.created_at, job.id), reverse=job_filter.reverse)
    return selected if job_filter.limit is None else selected[max(0, len(selected) - job_filter.limit) :]


def _matches(job: Progress, job_filter: JobFilter) -> bool:
    return (
        (not job_filter.status or job.status in job_filter.status)
        and (job_filter.since is None or job.created_at >= job_filter.since)
        and (job_filter.model is None or job.model.name == job_filter.model)
        and all(job.metadata.get(name) == value for name, value in job_filter.metadata.items())
    )


def pairs(texts: Iterable[str]) -> dict[str, str]:
    """Metadata as it is given in flags and queries, KEY=VALUE. Raises UsageError."""
    metadata: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"metadata {text!r} is not KEY=VALUE", "For example: team=search")
        if metadata.setdefault(name.strip(), value) != value:
            raise UsageError(f"metadata {name.strip()!r} has two values")
    return metadata
