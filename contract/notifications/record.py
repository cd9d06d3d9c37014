"""The webhook of a job: whether its delivery is pending, the attempts, and the retry schedule.

A job with a webhook has a small object under `notifications/` from before it exists until its event was delivered or
given up: so a round costs what is pending, not what is stored. Each attempt is an object in the job's folder, written
once, after the attempt: a death between the two repeats it, with the same event id.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from contract.format import codec, layout
from contract.ledger import records
from contract.ledger.progress import Progress
from contract.ledger.stored import load_manifest
from contract.storage import Storage

#: Seconds between attempts, a day in all, as Standard Webhooks recommends.
PAUSES = (5.0, 60.0, 300.0, 1800.0, 3600.0, 7200.0, 14400.0, 28800.0, 30600.0)
#: The status by which a receiver unsubscribes (Standard Webhooks).
_GONE = 410
#: Fields of a job's status that name places in storage, which a receiver does not get.
_PLACES = ("output_uri", "error_uri", "outputs")


@dataclass(frozen=True, slots=True)
class Attempt:
    """A delivery attempt."""

    number: int  #: from 1
    at: float  #: when it began, in seconds since 1970
    seconds: float
    status: int | None  #: HTTP status; None: no response
    problem: str = ""  #: why it failed

    @property
    def delivered(self) -> bool:
        """Whether the receiver has confirmed the event."""
        return not self.problem


@dataclass(frozen=True, slots=True)
class Notification:
    """The delivery of a job's webhook."""

    url: str  #: empty: the job has no webhook
    state: str  #: none, waiting (the job has not ended), pending, delivered or given_up
    attempts: tuple[Attempt, ...] = ()
    next_at: float | None = None  #: when it is retried


def owed(storage: Storage) -> list[str]:
    """The jobs with a pending webhook, ended or not."""
    return storage.list(layout.OWED)


def of(storage: Storage, job: str) -> Notification:
    """The delivery of a job's webhook. Raises UnknownJob."""
    url = load_manifest(storage, job).notify
    if not url:
        return Notification("", "none")
    report = records.report(storage, job)
    if report is None:
        return Notification(url, "waiting")
    tried = attempts(storage, job)
    if tried and tried[-1].delivered:
        return Notification(url, "delivered", tried)
    due = next_at(tried, report.finished_at or 0.0)
    return Notification(url, "given_up" if due is None else "pending", tried, due)


def attempts(storage: Storage, job: str) -> tuple[Attempt, ...]:
    """All recorded attempts, in order."""
    folder = layout.notifications(job)
    return tuple(codec.read(Attempt, storage.read(f"{folder}/{name}")) for name in storage.list(folder))


def save(storage: Storage, job: str, attempt: Attempt) -> None:
    """Record an attempt."""
    storage.create(layout.notification(job, attempt.number), codec.dump(attempt))


def next_at(tried: tuple[Attempt, ...], ended_at: float) -> float | None:
    """When the next attempt is due, in seconds since 1970; None: never. Pure."""
    if not tried:
        return ended_at
    if len(tried) > len(PAUSES) or tried[-1].status == _GONE or tried[-1].delivered:
        return None
    return tried[-1].at + PAUSES[len(tried) - 1]


def event_of(report: Progress, timestamp: str) -> dict[str, Any]:
    """The event that a job has ended: the fields of its status, without places in storage."""
    data = {name: value for name, value in codec.values(report).items() if name not in _PLACES}
    return {"type": f"job.{report.status}", "timestamp": timestamp, "data": data}


def event_id(job: str) -> str:
    """The id of a job's event: the same at every attempt, so a receiver recognizes a repeated event."""
    return f"msg_{job}"
