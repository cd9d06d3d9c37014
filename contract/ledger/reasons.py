"""Why a job does not go on, or ended as it did: a code for programs, a sentence and a remedy for people. Pure.

| code | the job waits for |
|---|---|
| redis_unreachable | Redis: nobody can be told of its chunks |
| storage_refuses | the storage, which is full or refuses a worker |
| no_worker | a worker that serves its model |
| other_model | a worker with the digest that it is pinned to |
| other_storage | workers that look at its storage: those that serve its model look at another |
| retrying | a chunk that has ended workers, and is attempted again |
| behind_others | chunks of other jobs, which are before its own |

| code | the job ended so because |
|---|---|
| all_rows_failed, some_rows_failed | rows have errors |
| cancelled_by_user | somebody cancelled it |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Reason:
    """One of the codes above, in words. A remedy says what to do, where there is anything."""

    code: str
    message: str
    remedy: str | None = None


def of_code(stored: Any) -> Any:
    """Reports of earlier versions hold only the code of a reason: the reason of a code, and anything else unchanged."""
    return Reason(stored, stored.replace("_", " ")) if isinstance(stored, str) else stored


ALL_FAILED = Reason("all_rows_failed", "not one row was answered", "See the error rows for why.")
SOME_FAILED = Reason(
    "some_rows_failed", "some rows have an error", "Mend them in the file of error rows, and submit that."
)
CANCELLED = Reason("cancelled_by_user", "the job was cancelled")
REDIS_AWAY = Reason(
    "redis_unreachable", "Redis does not answer", "Start it, or name another with --redis. Nothing is lost meanwhile."
)


def storage_refuses(worker: str, said: str) -> Reason:
    """`said`: the words of the worker that cannot read or write."""
    return Reason(
        "storage_refuses",
        f"worker {worker} cannot use the storage: {said}",
        "Make room there, or let the worker's user read and write. The job then goes on by itself.",
    )


def no_worker(model: str) -> Reason:
    """Nobody serves a model."""
    return Reason(
        "no_worker",
        f"no worker serves the model {model}",
        "Start one that holds it: worker start --model DIR. Or cancel the job, and name another with --model.",
    )


def other_model(model: str, digest: str, others: int) -> Reason:
    """Somebody serves a model of this name, and nobody the one that the job is pinned to."""
    return Reason(
        "other_model",
        f"no worker holds the pinned model {model} ({digest}), {others} hold another",
        "Start one with the model directory that began the job, or submit the file again.",
    )


def other_storage(model: str, workers: int) -> Reason:
    """Somebody serves the model, and looks elsewhere for jobs."""
    who = "1 worker serves" if workers == 1 else f"{workers} workers serve"
    return Reason(
        "other_storage",
        f"{who} the model {model}, but for another storage",
        "Start them with this one, or submit to theirs: --storage, or BULKQA_STORAGE_URL, has to name the same place.",
    )


def retrying(chunk: int, attempt: int, rows: tuple[int, ...]) -> Reason:
    """`rows`: those suspected of having ended the workers before."""
    named = ", ".join(map(str, rows[:10])) + (" and more" if len(rows) > 10 else "")
    suspects = f"; suspected: row{'s' if len(rows) > 1 else ''} {named}"
    return Reason(
        "retrying",
        f"chunk {chunk} is on attempt {attempt}, since workers ended on it{suspects if rows else ''}",
        "Wait: a row that ends workers is found, and gets the error worker_crash.",
    )


def behind_others(chunks: int) -> Reason:
    """`chunks`: how many of other jobs wait."""
    what = "1 chunk of another job waits" if chunks == 1 else f"{chunks} chunks of other jobs wait"
    return Reason("behind_others", f"{what} before it", "Wait, or start more workers.")
