"""What a backend does, whichever it is. Raises errors of `contract.errors` only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from contract.format.job import Manifest
    from contract.ledger.progress import Progress
    from contract.notifications.record import Notification
    from contract.queue import WorkerInfo
    from producer.jobs.diff_document import Summary
    from producer.jobs.select import JobFilter
    from producer.jobs.submit import File, Submitted
    from producer.request import Request
    from producer.results.columns import InputColumns


class Reading(Protocol):
    """An input on its way, for who shows how far it is. `size` in bytes; None: a pipe has none."""

    @property
    def bytes_read(self) -> int: ...  # noqa: D102

    @property
    def size(self) -> int | None: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Listed:
    """Jobs in their order, and what is wrong with those that cannot be told of, by id."""

    jobs: list[Progress]
    damaged: dict[str, str] = field(default_factory=dict)


class Backend(Protocol):
    """Jobs are given by their id, as `find` gives it."""

    @property
    def url(self) -> str:
        """Of the storage, or of the server."""
        ...

    def submit(self, file: File, request: Request, progress: Callable[[Reading], None] | None = None) -> Submitted:
        """Make a job of a file and put it on the queue, or find it by its key. Raises InputError, UsageError,
        Unreachable."""
        ...

    def find(self, job: str) -> str:
        """The id of a job, given the whole of it or an unambiguous beginning. Raises UnknownJob."""
        ...

    def manifest(self, job: str) -> Manifest:
        """What was asked of a job."""
        ...

    def status(self, job: str, *, reason: bool = True) -> Progress:
        """Where a job stands; without `reason`, Redis is not asked why it waits."""
        ...

    def follow(self, job: str, timeout: float | None = None) -> Iterator[Progress]:
        """The same again and again until it has ended, at least every few seconds.

        Raises `producer.jobs.follow.TimedOut` after `timeout` seconds.
        """
        ...

    def jobs(self, wanted: JobFilter) -> Listed:
        """Jobs that are wanted, in their order."""
        ...

    def ids(self, limit: int | None) -> list[str]:
        """The ids of all jobs, oldest first; the last `limit`."""
        ...

    def lines(self, job: str, *, wait: Callable[[], bool] | None = None) -> Iterator[bytes]:
        """Predictions as JSON lines, in blocks of whole lines, in row order: of a job under way those that are ready
        without a gap. With `wait`, goes on for as long as it returns True where the next is not there yet."""
        ...

    def columns(self, job: str) -> InputColumns | None:
        """The types of the input's columns; None where nothing is known of them."""
        ...

    def errors(self, job: str) -> Iterator[bytes] | None:
        """The rows that failed, in the input's own columns; None where none did, or the job has not ended."""
        ...

    def cancel(self, job: str) -> None:
        """Ask for a job's end: rows that are done stay. Raises RedisUnreachable once the cancel is noted."""
        ...

    def delete(self, job: str, *, cancel: bool = False, force: bool = False) -> tuple[str, int]:
        """Remove a job, given as to `find`: its id, and the bytes that it took. Raises UsageError for one that has not
        ended, unless it is to be cancelled first, or removed as it is."""
        ...

    def diff(self, first: str, second: str, summary: Summary, *, by_id: bool = False) -> Iterator[dict[str, Any]]:
        """Rows whose outcome is another in the second job; `summary` has their counts at the end."""
        ...

    def notification(self, job: str) -> Notification:
        """How it stands with telling somebody that a job has ended."""
        ...

    def workers(self) -> list[WorkerInfo]:
        """The workers that are there. Raises RedisUnreachable."""
        ...

    def close(self) -> None:
        """Let go of connections. Jobs go on."""
        ...
