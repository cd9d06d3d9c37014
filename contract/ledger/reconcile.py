"""Bring a job forward, whatever was lost: `reconcile(job)` compares what storage has with what Redis says.

It sends chunks again that are missing and that nobody works on, gives up chunks that keep killing workers, gives
cancelled rows their outcome, and publishes a complete job. Anyone may call it at any time, several callers at once:
everything it writes is written once, and a superfluous message is dropped by the worker that gets it. Workers call it
when they finish the last chunk, and so do polling clients, `worker sweep` and `producer repair`. A call within a
request is bounded: it leaves the rest to them.
"""

from __future__ import annotations

import json
import logging
import math
import os
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from contract.errors import RedisUnreachable
from contract.format import codec, layout
from contract.format.job import Manifest, RowError
from contract.format.part import Footer
from contract.ledger import assemble, counting, order, quarantine, reasons, records
from contract.ledger.progress import top_errors
from contract.ledger.reasons import CANCELLED
from contract.ledger.records import Attempts
from contract.ledger.stored import Part, StoredJob, load_manifest
from contract.queue import VISIBILITY_TIMEOUT, Hints, Queue
from contract.settings import Settings
from contract.storage import Storage

log = logging.getLogger("bulkqa.reconcile")

#: Seconds after which a message that is neither on the queue nor leased counts as lost.
_GRACE = 10.0
#: The chunk number under which the publishing of a job is leased.
_ASSEMBLY = -1
_ASSEMBLY_LEASE = 60.0
#: Characters of an error's message in the reason of a job that had too many.
_EXAMPLE = 200
#: The owner of this process's leases, different for each process.
_THIS_PROCESS = f"{socket.gethostname()}-{os.getpid()}-{os.urandom(4).hex()}"


@dataclass(frozen=True, slots=True)
class Bound:
    """How much of the work that grows with a job one call does at most."""

    seconds: float = math.inf  #: spent on chunks of a cancelled job
    chunks: float = math.inf  #: of a cancelled job that get their part
    assembled: float = math.inf  #: bytes of outputs that are published


WHOLE = Bound()
#: Within a request, or where somebody waits for an answer: a small job still ends at once.
BRIEF = Bound(seconds=0.5, chunks=64, assembled=64 << 20)


@dataclass(frozen=True, slots=True)
class Repair:
    """What one call did."""

    finished: bool
    sent: tuple[int, ...] = ()
    given_up: tuple[int, ...] = ()
    published: bool = False


def reconcile(
    job: str,
    storage: Storage,
    queue: Queue,
    settings: Settings,
    owner: str = _THIS_PROCESS,
    bound: Bound = WHOLE,
    beat: Callable[[], None] = lambda: None,
) -> Repair:
    """Do everything for a job that can be done now, within a bound. `owner` holds the lease under which a complete job
    is published. `beat` is called as the work advances.

    Raises UnknownJob, StorageUnreachable, and RedisUnreachable after doing everything that storage alone allows.
    """
    if storage.exists(layout.report(job)):
        return Repair(finished=True)
    stored = StoredJob.open(storage, job)
    manifest = stored.manifest
    hints, unreachable = _hints(storage, queue, manifest)
    missing = counting.missing(storage, manifest)
    live = live_leases(hints) if hints else set()
    cancelled = stop_at_errors(stored, {}) or (bool(missing) and records.cancel_requested(storage, job))
    given_up: tuple[int, ...] = ()
    if cancelled:
        missing = _close(stored, missing, live, bound, beat)
    else:
        # Only an expired lease proves a death. With no lease at all, Redis was emptied or is away, and the last attempt
        # may still be running.
        expired = [n for n in missing if hints and n in hints.leases and n not in live]
        given_up = _give_up(stored, expired, settings.max_attempts)
        missing = [number for number in missing if number not in given_up]
    if not missing:
        small = bound.assembled == math.inf or _assembled(stored, settings) <= bound.assembled
        published = small and _publish(stored, queue, owner, beat)
        return Repair(finished=published, given_up=given_up, published=published)
    if hints is None:
        raise unreachable or RedisUnreachable("Redis does not answer")
    if not cancelled and _held(stored, queue):
        return Repair(finished=False, given_up=given_up)
    sent = [] if cancelled else _send(manifest, missing, hints, queue, settings)
    if sent:
        log.info("job %s: sent chunks %s", job, _ranges(sent))
    return Repair(finished=False, sent=tuple(sent), given_up=given_up)


def _held(job: StoredJob, queue: Queue) -> bool:
    """Whether a job is paused: then no more of its chunks are planned, and those that were never sent are planned again
    once it is resumed. That may just have happened, so this checks for the marker once more."""
    if not records.is_paused(job.storage, job.id):
        return False
    queue.unplan(job.manifest.model, job.id)
    return records.is_paused(job.storage, job.id)


def drop(job: StoredJob, chunk: int, queue: Queue, settings: Settings) -> None:
    """Drop the message of a chunk, whose job is paused. Raises RedisUnreachable, StorageUnreachable."""
    queue.unsend(job.id, [chunk])
    if _held(job, queue):
        order.fill(job.manifest.model, queue, settings)
    else:
        reconcile(job.id, job.storage, queue, settings)


def stop_at_errors(job: StoredJob, known: dict[int, Footer]) -> bool:
    """Have a job cancelled if more of its rows failed than it allows: True then, and if it is to be cancelled anyway.
    It does not matter who finds that, nor how often. `known` caches footers between calls, as in `counting.footers`."""
    limit = job.manifest.max_errors
    if limit is None:
        return False
    if records.cancel_requested(job.storage, job.id):
        return True
    tally, beyond = counting.counted(job.storage, job.id, known)
    total = tally.plus(beyond)
    if not limit.is_exceeded(total.failed, total.rows):
        return False
    codes = [(code, count, _example(job, code, beyond)) for code, count in top_errors(total)]
    reason = reasons.too_many_errors(total.failed, total.rows, str(limit), codes)
    log.warning("job %s: %s", job.id, reason.message)
    records.request_cancel(job.storage, job.id, reason)
    return True


def _example(job: StoredJob, code: str, footers: Mapping[int, Footer]) -> str:
    """A row that failed with a code, and its message, from one of the parts that have these footers."""
    for number in sorted(number for number, footer in footers.items() if footer.codes.get(code)):
        for line in (job.lines(number) or b"").splitlines():
            error = json.loads(line).get("error") or {}
            if error.get("code") == code:
                return f"row {json.loads(line)['row']}: {error['message'][:_EXAMPLE]}"
    return ""


def _close(job: StoredJob, missing: list[int], live: set[int], bound: Bound, beat: Callable[[], None]) -> list[int]:
    """Give the rows of a cancelled job their outcome, within a bound. Returns the chunks that are still without a part.

    A worker that holds a chunk sees the marker before its next rows, and writes the part itself.
    """
    error = RowError("job_cancelled", "the job was cancelled")
    attempted = records.attempts(job.storage, job.id)
    ends, closed = time.monotonic() + bound.seconds, set[int]()
    for number in [number for number in missing if number not in live]:
        if closed and (len(closed) >= bound.chunks or time.monotonic() > ends):
            break
        if job.storage.exists(layout.report(job.id)):
            break  # the job is being removed
        beat()
        job.fail(number, error, len(attempted[number].started) if number in attempted else 0)
        closed.add(number)
    return [number for number in missing if number not in closed]


def _assembled(job: StoredJob, settings: Settings) -> float:
    """Bytes of a complete job's outputs, at most. Without contexts the parts say nothing about the error file, which
    has them all the same."""
    parts = sum(size for _, size in job.storage.sizes(layout.parts(job.id)))
    return parts + (job.manifest.chunks * settings.chunk_bytes if job.manifest.options.omit_context else 0)


def _send(manifest: Manifest, missing: list[int], hints: Hints, queue: Queue, settings: Settings) -> list[int]:
    """Send lost chunks again, plan those never sent, and fill the queue from all jobs in order. Returns the chunks of
    this job that were sent."""
    job, model = manifest.id, manifest.model
    limit = order.per_worker(settings) * queue.serving(model)
    lost, following = to_send(missing, hints, limit, manifest.chunks)
    # Clear the marks of chunks that have their part (their worker died after writing it), and foreign ones.
    queue.unsend(job, sorted(hints.sent.keys() - {number for number in missing if number < following}))
    if lost:
        queue.send(model, job, lost)
    queue.plan(model, job, following, manifest.chunks, order.due(manifest))
    return lost + [chunk for sent_job, chunk in order.fill(model, queue, settings) if sent_job == job]


def cancel(job: str, storage: Storage, queue: Queue, settings: Settings, bound: Bound = BRIEF) -> None:
    """Cancel a job: finished rows stay, the others get job_cancelled. Does nothing to a job that has ended.

    Writes the cancel marker, and ends a small job at once. What is beyond `bound` is left to workers and the sweeper.
    Raises UnknownJob, StorageUnreachable, and RedisUnreachable once the cancel marker is written.
    """
    if records.report(storage, job) is None:
        records.request_cancel(storage, job)
        reconcile(job, storage, queue, settings, bound=bound)


def pause(job: str, storage: Storage, queue: Queue, settings: Settings) -> None:
    """Stop sending a job's chunks. Chunks under way are finished, and the job is published if these were the last. Does
    nothing to a job that has ended. Raises as `cancel` does."""
    if records.report(storage, job) is None:
        load_manifest(storage, job)
        storage.create(layout.paused(job), codec.dump(records.PauseMarker(time.time())))
        reconcile(job, storage, queue, settings, bound=BRIEF)


def resume(job: str, storage: Storage, queue: Queue, settings: Settings) -> None:
    """Continue a paused job. Does nothing to another. Raises as `cancel` does."""
    load_manifest(storage, job)
    storage.delete(layout.paused(job))
    reconcile(job, storage, queue, settings, bound=BRIEF)


def retire(job: str, storage: Storage, queue: Queue, owner: str = _THIS_PROCESS) -> bool:
    """End a job that is to be deleted, whatever the state of its rows: nothing is scored, closed or published. True
    once it has a report, so that nobody advances it any more, and no worker holds one of its chunks: workers see the
    cancel marker. Until then call it again. Raises UnknownJob, StorageUnreachable, and BulkqaError if the manifest is
    damaged."""
    manifest = load_manifest(storage, job)
    records.request_cancel(storage, job)
    hints, _ = _hints(storage, queue, manifest)
    if hints and any(number != _ASSEMBLY for number in live_leases(hints)):
        return False
    if storage.exists(layout.report(job)):
        return True
    with suppress(RedisUnreachable):
        if not queue.lease(job, _ASSEMBLY, owner, _ASSEMBLY_LEASE):  # somebody publishes it
            return False
    progress = records.status(storage, None, job)
    counts = progress.request_counts
    counts = replace(counts, cancelled=counts.cancelled + counts.pending, pending=0)
    groups = progress.groups and replace(progress.groups, cancelled=progress.groups.total, pending=0)
    ended = replace(
        progress,
        status="cancelled",
        reason=CANCELLED,
        request_counts=counts,
        groups=groups,
        finished_at=time.time(),
        progress=1.0,
    )
    storage.create(layout.report(job), codec.dump(ended))
    return False  # a worker may have taken a chunk just before


def live_leases(hints: Hints) -> set[int]:
    """The numbers whose lease has not expired: chunks, and -1 for the publishing."""
    return {number for number, until in hints.leases.items() if until > hints.now}


def to_send(missing: list[int], hints: Hints, limit: int, chunks: int) -> tuple[list[int], int]:
    """The missing chunks that were lost and are sent again now, and the first chunk that was never sent (`chunks` if
    all were). Pure.

    A chunk with a live lease or with a message under way is not lost. At most as many are sent as keep `limit` chunks
    under way, lowest first, so that the ordered prefix of the results grows. If Redis knows nothing about the job, the
    chunks behind all that are done or under way count as never sent.
    """
    live = live_leases(hints)
    under_way = {number for number in hints.sent if number not in live and not _lost(number, hints)}
    idle = [number for number in missing if number not in live and number not in under_way]
    following = hints.following
    if following is None or following > chunks:  # such a number is foreign
        following = chunks
        while idle and following > idle[0] and idle[following - chunks - 1] == following - 1:
            following -= 1
    room = max(0, limit - len(missing) + len(idle))
    return [number for number in idle if number < following][:room], following


def _lost(number: int, hints: Hints) -> bool:
    """Whether a chunk's message is probably gone: messages cannot be looked up on the queue."""
    if hints.leases.get(number, 0.0) > hints.sent[number]:
        return True  # leased after it was sent, and the lease expired: its worker died or froze
    age = hints.now - hints.sent[number]
    # A negative age: Redis' clock went back, and until it catches up the age says nothing.
    return age < 0 or age > VISIBILITY_TIMEOUT or (hints.waiting == 0 and age > _GRACE)


def _give_up(job: StoredJob, expired: list[int], max_attempts: int) -> tuple[int, ...]:
    """Write the parts of chunks that have killed too many workers. Returns their numbers."""
    attempted: Mapping[int, Attempts] = records.attempts(job.storage, job.id) if expired else {}
    hopeless = tuple(
        number
        for number in expired
        if number in attempted and _kills(job.storage, job.id, number, attempted[number], max_attempts)
    )
    for number in hopeless:
        died = len(attempted[number].dead)
        log.error("job %s: chunk %d ended %d workers; its rows are marked worker_crash", job.id, number, died)
        who = "a worker" if died == 1 else f"{died} workers"
        error = RowError(
            "worker_crash", f"{who} died on the chunk of this row, and no single row was found to be the cause"
        )
        job.fail(number, error, len(attempted[number].started))
    return hopeless


def _kills(storage: Storage, job: str, number: int, attempts: Attempts, max_attempts: int) -> bool:
    """Whether a chunk is given up, as `quarantine` decides. Reads the records only of chunks near the limit."""
    if len(attempts.dead) < max_attempts:
        return False
    in_flight = (quarantine.read(storage, job, number, attempt) for attempt in attempts.dead)
    return quarantine.given_up(in_flight, max_attempts)


def _publish(job: StoredJob, queue: Queue, owner: str, beat: Callable[[], None]) -> bool:
    """Publish a complete job, unless somebody else holds the lease. True if it is published now."""

    def hold() -> bool:
        beat()
        try:
            return queue.lease(job.id, _ASSEMBLY, owner, _ASSEMBLY_LEASE)
        except RedisUnreachable:
            return True  # then two may publish: both write the same bytes, and each object once

    if not hold():
        return False
    try:
        damaged = assemble.publish(job, hold)
    except assemble.ChangedMeanwhile as error:
        log.warning(
            "job %s: a part was altered while the outputs were written (%s); they are written again", job.id, error
        )
        return False
    for number in damaged:
        _remove_damaged(job, number)
    try:
        queue.forget(job.id)
    except RedisUnreachable:
        pass  # the hints expire
    return not damaged or job.storage.exists(layout.report(job.id))


def _remove_damaged(job: StoredJob, number: int) -> None:
    """Delete a damaged part, so that its chunk is scored again. Meanwhile somebody else may have done so, and even
    published the job: so the part is read once more right before."""
    if job.storage.exists(layout.report(job.id)):
        return
    part = job.part(number)
    if isinstance(part, Part):
        return
    if part.missing:
        log.error("job %s: part %d is missing; it is scored again", job.id, number)
    else:
        job.storage.delete(layout.part(job.id, number))
        log.error("job %s: part %d is damaged (%s); it is scored again", job.id, number, part.reason)


def _hints(storage: Storage, queue: Queue, manifest: Manifest) -> tuple[Hints | None, RedisUnreachable | None]:
    pinned = records.model(storage, manifest.id)
    try:
        return queue.hints(manifest.model, manifest.id, pinned.digest if pinned else ""), None
    except RedisUnreachable as error:
        return None, error


def _ranges(numbers: list[int]) -> str:
    return f"{numbers[0]}..{numbers[-1]} ({len(numbers)})" if len(numbers) > 3 else ", ".join(map(str, numbers))
