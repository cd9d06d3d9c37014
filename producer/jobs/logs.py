"""The history of a job, as events in the order of time.

Read from the job's own records: its manifest, the footers of its parts, the records of attempts that did not go well,
the cancel marker, the report. The work grows with the number of chunks, not of rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import zip_longest
from typing import Any

from contract.errors import RedisUnreachable
from contract.format.job import Manifest
from contract.format.part import Footer
from contract.ledger import counting, records
from contract.ledger.events import Attempted, attempts
from contract.ledger.progress import Progress
from contract.ledger.stored import load_manifest
from contract.queue import Hints, Queue
from contract.storage import Storage
from producer.times import iso


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a job. `event` is one of submitted, attempt, attempts_done, quarantine, poison_rows,
    given_up, paused, cancel_asked, chunks_cancelled, published, retried."""

    at: float
    event: str
    about: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON holds them."""
        return {"at": self.at, "time": iso(self.at), "event": self.event, **self.about}


def events(storage: Storage, queue: Queue | None, job: str, *, verbose: bool = False) -> list[Event]:
    """Everything that is known about a job, oldest first. First attempts that went well are summed up by worker, unless
    `verbose`.

    Raises UnknownJob. Without Redis it is unknown which attempts are under way.
    """
    manifest = load_manifest(storage, job)
    report = records.report(storage, job)
    recorded: dict[tuple[int, int, float | None], Attempted] = {}
    for attempt in attempts(storage, job):  # the first record of an attempt says the most
        recorded.setdefault((attempt.chunk, attempt.attempt, attempt.started_at), attempt)
    footers = counting.footers(storage, job, {})
    log = [_submitted(manifest)]
    log += _of_attempts(sorted(recorded.values(), key=_order), footers, None if report else _hints(queue, manifest))
    log += _of_footers(footers, verbose=verbose)
    if marker := records.cancel_marker(storage, job):
        why = {"reason": marker.reason.code, "message": marker.reason.message} if marker.reason else {}
        log.append(Event(marker.asked_at, "cancel_asked", why))
    if paused := records.pause_marker(storage, job):
        log.append(Event(paused.asked_at, "paused"))
    if report:
        log.append(_published(report))
    log += [Event(at, "retried", {"by": by}) for by, at in records.retries(storage, job).items()]
    return sorted(log, key=lambda event: event.at)


def _order(attempt: Attempted) -> tuple[int, float, int]:
    return attempt.chunk, attempt.started_at or 0.0, attempt.attempt


def _submitted(manifest: Manifest) -> Event:
    about: dict[str, Any] = {"rows": manifest.rows, "rejected": manifest.rejected, "chunks": manifest.chunks}
    about |= {"model": manifest.model}
    about |= {"input": manifest.source.name, "key": manifest.key}
    if manifest.retry_of:
        about["retry_of"] = manifest.retry_of
    elif manifest.reuse and manifest.reuse.jobs:
        about["reused_from"] = list(manifest.reuse.jobs)
    return Event(manifest.created_at, "submitted", about)


def _published(report: Progress) -> Event:
    about = {
        "status": report.status,
        "reason": report.reason.code if report.reason else None,
        "attempts": report.attempts,
    }
    return Event(report.finished_at or 0.0, "published", {**about, "rows": asdict(report.request_counts)})


def _of_attempts(recorded: list[Attempted], footers: dict[int, Footer], hints: Hints | None) -> Iterator[Event]:
    """The attempts that did not go well or are under way, given by chunk and time."""
    poison: dict[int, set[int]] = {}
    for attempt, following in zip_longest(recorded, recorded[1:]):
        chunk, started = attempt.chunk, attempt.started_at or 0.0
        which = {"chunk": chunk, "attempt": attempt.attempt}
        if attempt.suspects:
            yield Event(started, "quarantine", {**which, "rows": list(attempt.suspects)})
        next_started = following.started_at if following and following.chunk == chunk else None
        end, ended = _end(attempt, next_started, footers.get(chunk), hints)
        at = ended or started
        if new_poison := set(attempt.poison) - poison.setdefault(chunk, set()):
            poison[chunk] |= new_poison
            yield Event(at, "poison_rows", {**which, "rows": sorted(new_poison)})
        if end != "done":  # the footer of the part tells about that one
            yield Event(at, "attempt", _attempt(attempt, end, ended))


def _attempt(attempt: Attempted, end: str, ended: float | None) -> dict[str, Any]:
    about: dict[str, Any] = {"chunk": attempt.chunk, "attempt": attempt.attempt, "worker": attempt.worker, "end": end}
    about |= {"started_at": attempt.started_at, "ended_at": ended}
    if attempt.why:
        about["why"] = attempt.why
    if attempt.rows:
        about |= {"rows_in_flight": list(attempt.rows), "quarantine": attempt.quarantine}
    return about


def _end(
    attempt: Attempted, next_started: float | None, footer: Footer | None, hints: Hints | None
) -> tuple[str, float | None]:
    """(how an attempt ended, when). `next_started`: when the next attempt at its chunk was started.

    Whether the last attempt at a chunk without a part is alive only its lease tells; if Redis has none, it is unknown.
    """
    if attempt.end in ("given_back", "late"):
        return attempt.end, attempt.ended_at
    if attempt.end == "last" or (footer and _made(attempt, footer)):
        return "done", attempt.ended_at
    if next_started is not None:
        return "died", next_started
    if footer:
        return "died", footer.finished_at
    if hints is None or attempt.chunk not in hints.leases:
        return "unknown", None
    return ("under_way" if hints.leases[attempt.chunk] > hints.now else "died"), None


def _made(attempt: Attempted, footer: Footer) -> bool:
    """Whether an attempt wrote the part, and died before its records were deleted."""
    return bool(footer.worker) and attempt.worker in ("", footer.worker) and attempt.attempt == footer.attempts


def _of_footers(footers: dict[int, Footer], *, verbose: bool) -> Iterator[Event]:
    """The attempts that wrote the parts, and the chunks that no attempt finished."""
    first_attempts: dict[str, list[Footer]] = {}
    cancelled: list[Footer] = []
    for chunk, footer in footers.items():
        if not footer.worker and "worker_crash" in footer.codes:
            yield Event(footer.finished_at, "given_up", {"chunk": chunk, "attempts": footer.attempts})
        elif not footer.worker:
            cancelled.append(footer)
        elif verbose or footer.attempts > 1:
            yield Event(footer.finished_at, "attempt", _done(chunk, footer))
        else:
            first_attempts.setdefault(footer.worker, []).append(footer)
    for worker, done in first_attempts.items():
        yield _summed("attempts_done", done, worker=worker)
    if cancelled:
        yield _summed("chunks_cancelled", cancelled)


def _done(chunk: int, footer: Footer) -> dict[str, Any]:
    about = {"chunk": chunk, "attempt": footer.attempts, "worker": footer.worker, "end": "done"}
    times = {"started_at": footer.started_at, "ended_at": footer.finished_at}
    return {**about, **times, "rows": footer.rows, "failed": footer.failed}


def _summed(event: str, done: list[Footer], **about: Any) -> Event:
    last = max(footer.finished_at for footer in done)
    sums = {"chunks": len(done), "rows": sum(footer.rows for footer in done), "failed": sum(f.failed for f in done)}
    times = {"started_at": min(footer.started_at for footer in done), "ended_at": last}
    return Event(last, event, {**about, **sums, **times})


def _hints(queue: Queue | None, manifest: Manifest) -> Hints | None:
    if queue is not None:
        with suppress(RedisUnreachable):
            return queue.hints(manifest.model, manifest.id)
    return None
