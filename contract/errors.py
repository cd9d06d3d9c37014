"""The tree of errors that reach a user, each with its exit code and its remedy.

    BulkqaError                 1   a bug or an unforeseen condition
    ├── UsageError              2   the command was used wrongly
    │   ├── InputError          2   the file as a whole cannot be read (`code` says why)
    │   ├── UnknownJob          2   no such job, or not a job id
    │   ├── NotEnded            2   the job has to end before this can be done
    │   └── MissingExtra        2   packages that are not installed
    ├── ModelError              2   the model directory cannot be used
    ├── JobFailed               4   the job ended without one usable row
    ├── JobCancelled            5   the job was cancelled
    ├── TimedOut                1   a wait was longer than its limit; a TimeoutError too
    └── Unreachable             6   Redis or the storage does not answer, or nobody serves a model
        ├── RedisUnreachable
        ├── StorageUnreachable
        └── NoWorker

Exit code 0 is a completed job and 3 a job completed with row errors: both are outcomes, not exceptions.
Errors of single rows are values (`contract.format.job.RowError`), never exceptions.

`contract.format.failure` carries an error to another process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from contract.remedy import Remedy

COMPLETED_WITH_ERRORS = 3
INTERRUPTED = 130


class BulkqaError(Exception):
    """An error with a message for the user and, where there is one, what to do about it.

    `remedy` is text in the words of the terminal, and a `Remedy` as long as no surface has said it in its own words.
    """

    exit_code = 1
    code = "internal"  #: a word for programs

    def __init__(self, message: str, remedy: Remedy | str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n  {self.remedy}" if self.remedy else self.message


class UsageError(BulkqaError):
    """The command, or the API, was used wrongly."""

    exit_code = 2
    code = "usage"


#: Why a file cannot be read.
INPUT_CODES = (
    "empty_file", "missing_column", "duplicate_column", "bad_delimiter", "bad_encoding", "unsupported_format",
    "unreadable",
)  # fmt: skip


class InputError(UsageError):
    """The input file as a whole cannot be read.

    `code` is one of INPUT_CODES. Of a missing column `found` tells programs which `columns` there are, and with which
    `delimiter`.
    """

    def __init__(
        self, code: str, message: str, remedy: Remedy | str | None = None, found: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message, remedy)
        self.code = code
        self.found = dict(found or {})


class UnknownJob(UsageError):
    """There is no such job, or what was given is no job id."""

    code = "unknown_job"


class NotEnded(UsageError):
    """The job has to end before this can be done."""

    code = "not_ended"


class MissingExtra(UsageError):
    """What is asked for needs packages that are not installed."""

    def __init__(self, what: str, package: str, extra: str) -> None:
        super().__init__(f"{what} needs {package}", f"Install it: pip install 'bulkqa[{extra}]'")


class ModelError(BulkqaError):
    """A model directory cannot be used, or makes wrong answers."""

    exit_code = 2


class JobFailed(BulkqaError):
    """A job ended without one usable row."""

    exit_code = 4


class JobCancelled(BulkqaError):
    """A job was cancelled."""

    exit_code = 5


class TimedOut(BulkqaError, TimeoutError):
    """A wait was longer than its limit. The job goes on."""

    code = "timed_out"


class Unreachable(BulkqaError):
    """What jobs stand on does not answer. Nothing is lost by it."""

    exit_code = 6
    code = "unreachable"


class RedisUnreachable(Unreachable):
    """Redis does not answer, or refuses."""


class StorageUnreachable(Unreachable):
    """The storage does not answer, is full, or refuses."""


class NoWorker(Unreachable):
    """No worker serves the model of a job, or none from its storage."""

    code = "no_worker"


#: The kind of error of each code that is not one of InputError's.
BY_CODE: dict[str, type[BulkqaError]] = {
    each.code: each for each in (BulkqaError, UsageError, UnknownJob, NotEnded, TimedOut, Unreachable, NoWorker)
}
