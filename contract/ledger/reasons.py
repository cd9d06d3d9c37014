"""Why a job waits, or ended as it did: a code for programs, a sentence and a remedy for people. Pure.

| code | the job waits for |
|---|---|
| redis_unreachable | Redis: its chunks cannot be sent |
| storage_refuses | the storage, which is full or denies a worker access |
| no_worker | a worker that serves its model |
| other_model | a worker with the digest that it is pinned to |
| other_storage | workers on its storage: those that serve its model use another one |
| retrying | a chunk that killed workers and is attempted again |
| behind_others | chunks of other jobs, which are served first |
| paused | somebody who resumes it |
| server_unreachable | nothing, perhaps: the client's server does not answer, so nobody knows |

| code | the job ended this way because |
|---|---|
| all_rows_failed, some_rows_failed | rows have errors |
| cancelled_by_user | somebody cancelled it |
| too_many_errors | more of its rows failed than it allows |
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Reason:
    """One of the codes above, as a sentence, with a remedy if there is one."""

    code: str
    message: str
    remedy: str | None = None


def of_code(stored: Any) -> Any:
    """Reports of earlier versions hold only the code of a reason: the reason of a code, and anything else unchanged."""
    return Reason(stored, stored.replace("_", " ")) if isinstance(stored, str) else stored


ALL_FAILED = Reason("all_rows_failed", "no row was answered", "The error rows say why.")
SOME_FAILED = Reason("some_rows_failed", "some rows have an error", "Fix them in the error file, and submit that.")
TOO_MANY_ERRORS = "too_many_errors"
CANCELLED = Reason("cancelled_by_user", "the job was cancelled")
PAUSED = Reason("paused", "somebody paused the job", "Resume it to continue.")
REDIS_AWAY = Reason(
    "redis_unreachable",
    "Redis does not answer",
    "Start it, or set BULKQA_REDIS_URL to another. Nothing is lost meanwhile.",
)


def too_many_errors(failed: int, done: int, limit: str, codes: Iterable[tuple[str, int, str]]) -> Reason:
    """`codes`: each with its rows and an example, the most frequent first; `limit` as people write it."""
    each = "; ".join(f"{code} {count:,}{example and f', such as {example}'}" for code, count, example in codes)
    return Reason(
        TOO_MANY_ERRORS,
        f"{failed:,} of the {done:,} finished rows failed, more than {limit}: {each}",
        "Correct the file or its columns, and submit it again.",
    )


def storage_refuses(worker: str, trouble: str) -> Reason:
    """`trouble`: the message of the worker that cannot read or write."""
    return Reason(
        "storage_refuses",
        f"worker {worker} cannot use the storage: {trouble}",
        "Make room there, or give the worker's user read and write access. The job then continues by itself.",
    )


def no_worker(model: str) -> Reason:
    """No worker serves the model."""
    return Reason(
        "no_worker",
        f"no worker serves the model {model}",
        "Start one that has it: worker start --model DIR. Or cancel the job and submit it with another model.",
    )


def other_model(model: str, digest: str, others: int) -> Reason:
    """Workers serve a model of this name, but none with the digest that the job is pinned to."""
    return Reason(
        "other_model",
        f"no worker holds the pinned model {model} ({digest}), {others} hold another",
        "Start one with the model directory that began the job, or submit the file again.",
    )


def other_storage(model: str, workers: int) -> Reason:
    """Workers serve the model, but use another storage."""
    who = "1 worker serves" if workers == 1 else f"{workers} workers serve"
    return Reason(
        "other_storage",
        f"{who} the model {model}, but for another storage",
        "Start workers with this storage, or submit to theirs: BULKQA_STORAGE_URL must name the same place.",
    )


def retrying(chunk: int, attempt: int, rows: tuple[int, ...]) -> Reason:
    """`rows`: those suspected of having killed workers before."""
    names = ", ".join(map(str, rows[:10])) + (" and more" if len(rows) > 10 else "")
    suspects = f"; suspected: row{'s' if len(rows) > 1 else ''} {names}"
    return Reason(
        "retrying",
        f"chunk {chunk} is on attempt {attempt}, because workers died on it{suspects if rows else ''}",
        "Wait: a row that kills workers is found, and gets the error worker_crash.",
    )


def server_away(message: str) -> Reason:
    """The server that a client follows the job through does not answer. `message` names it."""
    return Reason(
        "server_unreachable", message, "Wait: the job continues, and can be followed again once the server answers."
    )


def behind_others(chunks: int) -> Reason:
    """`chunks`: how many of other jobs are queued before it."""
    what = "1 chunk of another job waits" if chunks == 1 else f"{chunks} chunks of other jobs wait"
    return Reason("behind_others", f"{what} before it", "Wait, or start more workers.")
