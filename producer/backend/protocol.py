"""What every backend can do. All methods raise errors of `contract.errors` only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from contract.errors import BulkqaError
    from contract.format.documents import Document
    from contract.format.job import Manifest
    from contract.ledger.progress import Progress
    from contract.notifications.record import Notification
    from contract.queue import WorkerInfo
    from producer.forecast.quote import Quote, Wish
    from producer.input.checks.pairs import Pair
    from producer.input.location import InputSpec
    from producer.jobs.diff_document import By, Summary
    from producer.jobs.select import JobFilter
    from producer.jobs.submit import Submitted
    from producer.request import Request
    from producer.results.columns import InputColumns
    from producer.trust.calibration.probability import Calibration
    from producer.trust.promises.trusted import Trusted
    from producer.trust.sample import Sample
    from producer.trust.verdicts import Verdict


class Reading(Protocol):
    """An input that is being read, for a progress bar. `size` in bytes; None for a pipe."""

    @property
    def bytes_read(self) -> int: ...  # noqa: D102

    @property
    def size(self) -> int | None: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Listed:
    """Jobs in order, and the error of each job whose records are damaged, by id."""

    jobs: list[Progress]
    damaged: dict[str, BulkqaError] = field(default_factory=dict)


class Backend(Protocol):
    """Jobs are named by their full id, as `find` returns it."""

    @property
    def url(self) -> str:
        """The URL of the storage, or of the server."""
        ...

    def submit(self, file: InputSpec, request: Request, progress: Callable[[Reading], None] | None = None) -> Submitted:
        """Make a job of a file and put it on the queue, or find it by its key. Raises InputError, UsageError,
        Unreachable."""
        ...

    def forecast(
        self, file: InputSpec, request: Request, wish: Wish, progress: Callable[[Reading], None] | None = None
    ) -> Quote:
        """What a job of a file would take; a server reads the first rows of a large one. Raises InputError, UsageError,
        Unreachable."""
        ...

    def answer(self, pairs: Sequence[Pair], request: Request, timeout: float) -> list[dict[str, Any]]:
        """The predictions of a few questions with their contexts, within `timeout` seconds. Raises TimedOut, NoWorker,
        Busy, UsageError, Unreachable."""
        ...

    def find(self, job: str) -> str:
        """The id of a job, given the id or an unambiguous prefix of it. Raises UnknownJob."""
        ...

    def manifest(self, job: str) -> Manifest:
        """What a job was asked to do."""
        ...

    def status(self, job: str, *, reason: bool = True) -> Progress:
        """A job's status. Without `reason`, Redis is not asked why it waits."""
        ...

    def follow(self, job: str, timeout: float | None = None) -> Iterator[Progress]:
        """A job's status again and again, at least every few seconds, until it has ended.

        Raises `producer.jobs.follow.StillRunning` after `timeout` seconds.
        """
        ...

    def jobs(self, filters: JobFilter) -> Listed:
        """The jobs that match, in order."""
        ...

    def ids(self, limit: int | None) -> list[str]:
        """The ids of all jobs, oldest first; only the last `limit`."""
        ...

    def lines(self, job: str, *, offset: int = 0, wait: Callable[[], bool] | None = None) -> Iterator[bytes]:
        """Predictions as JSON lines from row `offset` on, in row order, in blocks of whole lines. An unfinished job
        gives those that are ready, up to the first gap; with `wait`, it continues for as long as `wait` returns
        True."""
        ...

    def groups(self, job: str) -> Iterator[bytes]:
        """The groups of a job as JSON lines, in the order of their first rows, in blocks of whole lines. Raises
        UsageError if it has none, NotEnded."""
        ...

    def columns(self, job: str) -> InputColumns | None:
        """The types of the input's columns; None if they are unknown."""
        ...

    def documents(self, job: str) -> list[Document]:
        """The documents of a job, in the order of its rows. Raises UsageError if it has none."""
        ...

    def text(self, job: str, document: int) -> str | None:
        """The text of a document, given its number from 0; None if it has none. Raises UsageError."""
        ...

    def errors(self, job: str) -> Iterator[bytes] | None:
        """The rows that failed, in the input's own columns; None if none did, or the job has not ended."""
        ...

    def cancel(self, job: str) -> None:
        """Cancel a job: rows that are done stay. Raises RedisUnreachable after the cancel has been recorded."""
        ...

    def pause(self, job: str) -> None:
        """Stop scoring a job until it is resumed; chunks under way are finished. Raises RedisUnreachable after the
        pause has been recorded."""
        ...

    def resume(self, job: str) -> None:
        """Continue a paused job. Raises as `pause` does."""
        ...

    def retry(self, job: str) -> Submitted:
        """Make a job from the same rows, in which only rows with a processing error are scored. Raises NotEnded, and
        UsageError if there is none."""
        ...

    def delete(self, job: str, *, cancel: bool = False, force: bool = False) -> tuple[str, int]:
        """Remove a job, named as for `find`; returns its id and the bytes that it took. Raises NotEnded for an
        unfinished job, unless it is to be cancelled first (`cancel`) or removed at once (`force`)."""
        ...

    def diff(self, first: str, second: str, summary: Summary, *, by: By = "row") -> Iterator[dict[str, Any]]:
        """The rows, or groups, whose outcome differs in the second job. At the end `summary` has the counts."""
        ...

    def notification(self, job: str) -> Notification:
        """The delivery attempts of the job's webhook."""
        ...

    def judge(self, job: str, verdicts: Sequence[Verdict]) -> int:
        """Store verdicts on the answers of a job that has ended; returns how many. They are durable then. Raises
        UsageError, and nothing is stored, if one of them cannot be; NotEnded."""
        ...

    def verdicts(self, job: str) -> list[Verdict]:
        """The verdict that counts for each row that was judged, in the order in which they were first."""
        ...

    def sample(self, job: str, rows: int, precision: float, seed: int, *, one_of_each: bool = True) -> Sample:
        """Rows that are worth judging, drawn at random: see `producer.trust.sample.draw`. Raises NotEnded."""
        ...

    def details(self, job: str, rows: Sequence[int], around: int) -> list[dict[str, Any]]:
        """The predictions of some rows of a job that has ended, in the order in which these are given, their contexts
        cut to `around` code points before and after the answer."""
        ...

    def trust(self, job: str, precision: float, confidence: float) -> Trusted:
        """What the verdicts of a job promise, or without any its reference answers. Raises NotEnded, and UsageError if
        there are neither."""
        ...

    def calibration(self, job: str) -> Calibration:
        """How likely the answers of a job are right, by its verdicts, or without any by its reference answers. Raises
        NotEnded, and UsageError where they are too few."""
        ...

    def workers(self) -> list[WorkerInfo]:
        """The workers that are running. Raises RedisUnreachable."""
        ...

    def close(self) -> None:
        """Close the connections. Jobs continue."""
        ...
