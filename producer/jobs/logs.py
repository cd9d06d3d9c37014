"""What became of a job, as events in the order of their times.

Read from what lies with the job: its manifest, the footers of its parts, what is on record of attempts that did not go
well, the cancel marker, the report. Bounded by the number of chunks, not by their rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import zip_longest
from typing import Any

from contract.errors import RedisUnreachable
from contract.format import codec, layout
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
    """Something that happened to a job: `event` is one of submitted, attempt, attempts_done, quarantine, poison_rows,
    given_up, cancel_asked, chunks_cancelled, published."""

    at: float
    event: str
    about: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON holds them."""
        return {"at": self.at, "time": iso(self.at), "event": self.event, **self.about}


def events(storage: Storage, queue: Queue | None, job: str, *, verbose: bool = False) -> list[Event]:
    """All that is known of a job. Attempts that went well at once are summed up by worker, unless `verbose`.

    Raises UnknownJob. Without Redis it is not known which attempts are under way.
    """
    manifest = load_manifest(storage, job)
    report = records.report(storage, job)
    found: dict[tuple[int, int, float | None], Attempted] = {}
    for one in attempts(storage, job):
        found.setdefault((one.chunk, one.attempt, one.started_at), one)  # what was kept says more than what is left
    footers = counting.footers(storage, job, {})
    told = [_submitted(manifest)]
    told += _of_attempts(sorted(found.values(), key=_order), footers, None if report else _hints(queue, manifest))
    told += _of_footers(footers, verbose=verbose)
    if (asked := _cancelled_at(storage, job)) is not None:
        told.append(Event(asked, "cancel_asked"))
    if report:
        told.append(_published(report))
    return sorted(told, key=lambda event: event.at)


def _order(one: Attempted) -> tuple[int, float, int]:
    return one.chunk, one.started_at or 0.0, one.attempt


def _submitted(manifest: Manifest) -> Event:
    about = {"rows": manifest.rows, "rejected": manifest.rejected, "chunks": manifest.chunks, "model": manifest.model}
    return Event(manifest.created_at, "submitted", {**about, "input": manifest.source.name, "key": manifest.key})


def _published(report: Progress) -> Event:
    about = {
        "status": report.status,
        "reason": report.reason.code if report.reason else None,
        "attempts": report.attempts,
    }
    return Event(report.finished_at or 0.0, "published", {**about, "rows": asdict(report.request_counts)})


def _of_attempts(found: list[Attempted], footers: dict[int, Footer], hints: Hints | None) -> Iterator[Event]:
    """The attempts that did not go well or are under way, given in the order of chunks and times."""
    poison: dict[int, set[int]] = {}
    for one, following in zip_longest(found, found[1:]):
        started = one.started_at or 0.0
        if one.suspects:
            yield Event(started, "quarantine", {"chunk": one.chunk, "attempt": one.attempt, "rows": list(one.suspects)})
        later = following.started_at if following and following.chunk == one.chunk else None
        end, ended = _end(one, later, footers.get(one.chunk), hints)
        at = ended or started
        if guilty := set(one.poison) - poison.setdefault(one.chunk, set()):
            poison[one.chunk] |= guilty
            yield Event(at, "poison_rows", {"chunk": one.chunk, "attempt": one.attempt, "rows": sorted(guilty)})
        if end != "done":  # that one its footer tells
            yield Event(at, "attempt", _attempt(one, end, ended))


def _attempt(one: Attempted, end: str, ended: float | None) -> dict[str, Any]:
    about: dict[str, Any] = {"chunk": one.chunk, "attempt": one.attempt, "worker": one.worker, "end": end}
    about |= {"started_at": one.started_at, "ended_at": ended}
    if one.why:
        about["why"] = one.why
    if one.rows:
        about |= {"rows_in_flight": list(one.rows), "quarantine": one.quarantine}
    return about


def _end(one: Attempted, later: float | None, footer: Footer | None, hints: Hints | None) -> tuple[str, float | None]:
    """(how an attempt ended, when that was known), given when the next one at its chunk was started.

    Of the last one at a chunk without a part only its lease tells whether it lives; where Redis says nothing of it, it
    is not known.
    """
    if one.end in ("given_back", "late"):
        return one.end, one.ended_at
    if one.end == "last" or (footer and _made(one, footer)):
        return "done", one.ended_at
    if later is not None:
        return "died", later
    if footer:
        return "died", footer.finished_at
    if hints is None or one.chunk not in hints.leases:
        return "unknown", None
    return ("under_way" if hints.leases[one.chunk] > hints.now else "died"), None


def _made(one: Attempted, footer: Footer) -> bool:
    """Whether an attempt made a part, and died before its records were deleted."""
    return bool(footer.worker) and one.worker in ("", footer.worker) and one.attempt == footer.attempts


def _of_footers(footers: dict[int, Footer], *, verbose: bool) -> Iterator[Event]:
    """The attempts that made the parts; and the chunks that no attempt finished."""
    smooth: dict[str, list[Footer]] = {}
    cancelled: list[Footer] = []
    for chunk, footer in footers.items():
        if not footer.worker and "worker_crash" in footer.codes:
            yield Event(footer.finished_at, "given_up", {"chunk": chunk, "attempts": footer.attempts})
        elif not footer.worker:
            cancelled.append(footer)
        elif verbose or footer.attempts > 1:
            yield Event(footer.finished_at, "attempt", _done(chunk, footer))
        else:
            smooth.setdefault(footer.worker, []).append(footer)
    for worker, done in smooth.items():
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


def _cancelled_at(storage: Storage, job: str) -> float | None:
    try:
        return codec.salvage(records.CancelMarker, storage.read(layout.cancel(job))).asked_at
    except FileNotFoundError:
        return None
