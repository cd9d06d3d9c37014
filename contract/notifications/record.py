"""What is owed, what was tried, and when it is tried again.

A job that is to be told of has a small object under `notifications/` from before it exists until it was told or given
up: so that a round costs as much as is owed, however many jobs there are. Each attempt is an object in the job's
folder, written once, after it was made: who dies between the two makes it again, and the event has the same id.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from contract.format import codec, layout
from contract.ledger import records
from contract.ledger.progress import Progress
from contract.ledger.stored import load_manifest
from contract.storage import Storage

#: Seconds from one attempt to the next; with the last of them it is a day. As Standard Webhooks advises.
PAUSES = (5.0, 60.0, 300.0, 1800.0, 3600.0, 7200.0, 14400.0, 28800.0, 30600.0)
#: Says that nobody wants to hear of it any more (Standard Webhooks).
_GONE = 410
#: What of a job's standing is a place of our storage, and nobody's business elsewhere.
_PLACES = ("output_uri", "error_uri", "outputs")


@dataclass(frozen=True, slots=True)
class Attempt:
    """A try to tell."""

    number: int  #: from 1
    at: float  #: when it began, in seconds since 1970
    seconds: float
    status: int | None  #: of HTTP; None: no answer came
    problem: str = ""  #: why it did not succeed

    @property
    def delivered(self) -> bool:
        """Whether it is known to have arrived."""
        return not self.problem


@dataclass(frozen=True, slots=True)
class Notification:
    """How it stands with telling of a job."""

    url: str  #: empty: nobody is to be told
    state: str  #: none, waiting (the job has not ended), pending, delivered or given_up
    attempts: tuple[Attempt, ...] = ()
    next_at: float | None = None  #: when it is tried again


def owed(storage: Storage) -> list[str]:
    """The jobs that are to be told of, ended or not."""
    return storage.list(layout.OWED)


def of(storage: Storage, job: str) -> Notification:
    """How it stands with a job. Raises UnknownJob."""
    url = load_manifest(storage, job).notify
    if not url:
        return Notification("", "none")
    report = records.report(storage, job)
    if report is None:
        return Notification(url, "waiting")
    found = attempts(storage, job)
    if found and found[-1].delivered:
        return Notification(url, "delivered", found)
    due = next_at(found, report.finished_at or 0.0)
    return Notification(url, "given_up" if due is None else "pending", found, due)


def attempts(storage: Storage, job: str) -> tuple[Attempt, ...]:
    """All attempts that are on record, in order."""
    folder = layout.notifications(job)
    return tuple(codec.read(Attempt, storage.read(f"{folder}/{name}")) for name in storage.list(folder))


def keep(storage: Storage, job: str, attempt: Attempt) -> None:
    """Put an attempt on record."""
    storage.create(layout.notification(job, attempt.number), codec.dump(attempt))


def next_at(found: tuple[Attempt, ...], ended_at: float) -> float | None:
    """When it is tried again, in seconds since 1970; None: never. Pure."""
    if not found:
        return ended_at
    if len(found) > len(PAUSES) or found[-1].status == _GONE or found[-1].delivered:
        return None
    return found[-1].at + PAUSES[len(found) - 1]


def event_of(report: Progress, timestamp: str) -> dict[str, Any]:
    """The event that a job has ended: its fields are those of `producer status --json`, without places of ours."""
    data = {name: value for name, value in codec.values(report).items() if name not in _PLACES}
    return {"type": f"job.{report.status}", "timestamp": timestamp, "data": data}


def id_of(job: str) -> str:
    """The id of the event of a job: the same at each attempt, so that who hears it twice knows."""
    return f"msg_{job}"
