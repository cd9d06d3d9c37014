"""The tree of errors that reach a user, each with its exit code and its remedy.

    BulkqaError                 1   a bug or an unforeseen condition
    ├── UsageError              2   the command, or the API, was used wrongly
    │   ├── InputError          2   the file as a whole cannot be read (`code` says why)
    │   ├── UnknownJob          2   no such job, or not a job id
    │   ├── NotEnded            2   the job has to end before this can be done
    │   └── MissingExtra        2   packages that are not installed
    ├── ModelError              2   the model directory cannot be used
    ├── TimedOut                1   a wait reached its timeout; a TimeoutError too
    ├── Busy                    6   too many questions wait for the workers
    └── Unreachable             6   Redis or the storage does not answer, or no worker serves a model
        ├── RedisUnreachable
        ├── StorageUnreachable
        └── NoWorker

How a job ends is an outcome, not an exception: exit codes 0, 3, 4 and 5 are below. Errors of single rows are values
(`contract.format.job.RowError`), never exceptions.

`contract.format.failure` carries an error to another process.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from contract.remedy import Remedy

COMPLETED_WITH_ERRORS = 3
JOB_FAILED = 4  #: not one row was answered
JOB_CANCELLED = 5
INTERRUPTED = 130

#: What acts on a terminal or on the order of a line, shows nothing, or is no character: controls, separators of lines,
#: marks of direction, zero widths but the two joiners that scripts and emoji need, halves of surrogate pairs.
ACTING = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)


def printable(text: str, keep: str = "") -> str:
    """Text from elsewhere for a terminal: what would act on it is shown as an escape, `\\x1b`, and so are bytes of a
    file's name that are not UTF-8. The characters of `keep` stay."""
    return ACTING.sub(lambda match: match[0] if match[0] in keep else _escape(match[0]), text)


def printable_json(document: str) -> str:
    """A JSON document with the same values in which nothing acts on a terminal. Line ends between values stay."""
    return ACTING.sub(lambda match: match[0] if match[0] == "\n" else _json_escape(match[0]), document)


def as_unicode(name: str) -> str:
    """A name that JSON can hold: bytes that are not UTF-8 are escapes, `caf\\xe9.csv`."""
    return re.sub("[\ud800-\udfff]", lambda match: _escape(match[0]), name)


def _escape(char: str) -> str:
    if "\udc80" <= char <= "\udcff":  # a byte, as Python holds it (PEP 383)
        return f"\\x{ord(char) - 0xDC00:02x}"
    return char.encode("unicode_escape").decode()


def _json_escape(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[place : place + 2].hex()}" for place in range(0, len(units), 2))


#: Remedies may quote the end of a log.
_LINES = "\n\t"


class BulkqaError(Exception):
    """An error with a message for the user and, if there is one, a remedy.

    `remedy` is text in the words of the terminal, and a `Remedy` until a surface has put it in its own words. As text
    the error is for a terminal: names in it cannot act on that.
    """

    exit_code = 1
    code = "internal"  #: a word for programs

    def __init__(self, message: str, remedy: Remedy | str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        message = printable(self.message)
        return f"{message}\n  {printable(self.remedy, keep=_LINES)}" if self.remedy else message


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

    `code` is one of INPUT_CODES. For a missing column, `found` gives programs the `columns` of the file and the
    `delimiter`.
    """

    def __init__(
        self, code: str, message: str, remedy: Remedy | str | None = None, found: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message, remedy)
        self.code = code
        self.found = dict(found or {})


class UnknownJob(UsageError):
    """There is no such job, or the text is not a job id."""

    code = "unknown_job"


class NotEnded(UsageError):
    """The job has to end before this can be done."""

    code = "not_ended"


class MissingExtra(UsageError):
    """The request needs packages that are not installed."""

    def __init__(self, what: str, package: str, extra: str) -> None:
        super().__init__(f"{what} needs {package}", f"Install it: pip install 'bulkqa[{extra}]'")


class ModelError(BulkqaError):
    """A model directory cannot be used, or gives wrong answers."""

    exit_code = 2


class TimedOut(BulkqaError, TimeoutError):
    """A wait reached its timeout. The job continues."""

    code = "timed_out"


class Busy(BulkqaError):
    """Too many questions wait for the workers of a model. None of them is lost: who was refused asks again."""

    exit_code = 6
    code = "busy"


class Unreachable(BulkqaError):
    """Redis, the storage or a worker does not answer. Jobs lose nothing."""

    exit_code = 6
    code = "unreachable"


class RedisUnreachable(Unreachable):
    """Redis does not answer, or refuses a command."""


class StorageUnreachable(Unreachable):
    """The storage does not answer, is full, or denies access."""


class NoWorker(Unreachable):
    """No worker serves the model of a job, or none that uses its storage."""

    code = "no_worker"


#: The kind of error of each code that is not one of InputError's.
BY_CODE: dict[str, type[BulkqaError]] = {
    each.code: each for each in (BulkqaError, UsageError, UnknownJob, NotEnded, TimedOut, Busy, Unreachable, NoWorker)
}
