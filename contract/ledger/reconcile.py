"""Bring a job forward, whatever was lost: `reconcile(job)` compares storage with what Redis believes.

It sends again what is missing and nobody is at, gives up chunks that keep killing workers, gives cancelled rows their
outcome, and publishes what is complete. It may be called at any time, by anyone, as often as one likes, and by
several at once: everything that it writes is write-once, and a message too many is only looked at and dropped.
Callers are workers that finish a chunk, polling clients, `worker sweep` and `producer repair`.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from contract.errors import RedisUnreachable
from contract.format import layout
from contract.format.job import Manifest, RowError
from contract.ledger import assemble, counting, order, quarantine, records
from contract.ledger.records import Attempts
from contract.ledger.stored import Part, StoredJob
from contract.queue import VISIBILITY_TIMEOUT, Hints, Queue
from contract.settings import Settings
from contract.storage import Storage

log = logging.getLogger("bulkqa.reconcile")

#: A message may be between the queue and its lease for this long before it counts as lost.
_GRACE = 10.0
#: The number under which the assembling of a job is leased.
_ASSEMBLY = -1
_ASSEMBLY_LEASE = 60.0
#: This process as an owner of leases: two clients must not take each other for themselves.
_THIS = f"{socket.gethostname()}-{os.getpid()}-{os.urandom(4).hex()}"


@dataclass(frozen=True, slots=True)
class Repair:
    """What one call did."""

    finished: bool
    sent: tuple[int, ...] = ()
    given_up: tuple[int, ...] = ()
    published: bool = False


def reconcile(job: str, storage: Storage, queue: Queue, settings: Settings, owner: str = _THIS) -> Repair:
    """Do for a job what is to be done now. `owner`: who assembles a complete one, unless somebody else does.

    Raises UnknownJob, StorageUnreachable, and RedisUnreachable only after all that storage alone allows was done.
    """
    if storage.exists(layout.report(job)):
        return Repair(finished=True)
    stored = StoredJob.open(storage, job)
    manifest = stored.manifest
    hints, unreachable = _hints(storage, queue, manifest)
    missing = counting.missing(storage, manifest)
    live = live_leases(hints) if hints else set()
    cancelled = bool(missing) and records.cancel_asked(storage, job)
    given_up: tuple[int, ...] = ()
    if cancelled:
        # A worker that is alive sees the marker before its next rows and writes its part itself.
        error = RowError("job_cancelled", "the job was cancelled")
        attempted = records.attempts(storage, job)
        for number in [number for number in missing if number not in live]:
            attempts = len(attempted[number].started) if number in attempted else 0
            stored.fail(number, error, attempts)
        missing = [number for number in missing if number in live]
    else:
        # Only a lease that ran out tells a death: where there is none Redis was emptied, or is away, and the last
        # attempt may be under way.
        silent = [n for n in missing if hints and n in hints.leases and n not in live]
        given_up = _give_up(stored, silent, settings.max_attempts)
        missing = [number for number in missing if number not in given_up]
    if not missing:
        published = _publish(stored, queue, owner)
        return Repair(finished=published, given_up=given_up, published=published)
    if hints is None:
        raise unreachable or RedisUnreachable("Redis does not answer")
    sent = [] if cancelled else _send(manifest, missing, hints, queue, settings)
    if sent:
        log.info("job %s: sent chunks %s", job, _ranges(sent))
    return Repair(finished=False, sent=tuple(sent), given_up=given_up)


def _send(manifest: Manifest, missing: list[int], hints: Hints, queue: Queue, settings: Settings) -> list[int]:
    """Send what was lost, have the rest sent in its turn, and send what is next of all jobs. Returns which of the
    chunks of this job were sent."""
    job, model = manifest.id, manifest.model
    each = order.each(settings) * queue.serving(model)
    lost, following = to_send(missing, hints, each, manifest.chunks)
    # A worker may have ended after it wrote a part; and what nobody of ours sent must not stand in the way of the rest.
    queue.unsend(job, sorted(hints.sent.keys() - {number for number in missing if number < following}))
    if lost:
        queue.send(model, job, lost)
    queue.plan(model, job, following, manifest.chunks, order.due(manifest))
    return lost + [chunk for one, chunk in order.fill(model, queue, settings) if one == job]


def cancel(job: str, storage: Storage, queue: Queue, settings: Settings) -> None:
    """Ask for a job's end: rows that are done stay, the others get job_cancelled. One that has ended stays as it is.

    Raises UnknownJob, StorageUnreachable, and RedisUnreachable once the cancel is noted.
    """
    if records.report(storage, job) is None:
        records.ask_cancel(storage, job)
        reconcile(job, storage, queue, settings)


def live_leases(hints: Hints) -> set[int]:
    """The chunks, and the assembling, whose lease has not run out."""
    return {number for number, until in hints.leases.items() if until > hints.now}


def to_send(missing: list[int], hints: Hints, each: int, chunks: int) -> tuple[list[int], int]:
    """Which of the missing chunks were lost and are to be sent now, and which is the first that was never sent,
    `chunks` if all were. Pure.

    Not those with a live lease, nor those whose message is believed to be on its way. Of the lost ones as many as leave
    no more than `each` on their way, lowest first, so that the ordered prefix of the results grows. Where Redis knows
    nothing of the job, those behind all that are done or under way count as never sent.
    """
    live = live_leases(hints)
    on_its_way = {number for number in hints.sent if number not in live and not _lost(number, hints)}
    idle = [number for number in missing if number not in live and number not in on_its_way]
    following = hints.following
    if following is None or following > chunks:  # or somebody else wrote that
        following = chunks
        while idle and following > idle[0] and idle[following - chunks - 1] == following - 1:
            following -= 1
    room = max(0, each - len(missing) + len(idle))
    return [number for number in idle if number < following][:room], following


def _lost(number: int, hints: Hints) -> bool:
    """Whether a chunk's message is gone, as far as can be told: messages cannot be looked up on the queue."""
    if hints.leases.get(number, 0.0) > hints.sent[number]:
        return True  # taken after it was sent, and run out: whoever had it died or froze
    age = hints.now - hints.sent[number]
    # Sent at a time that is yet to come: Redis' clock went back, and until it catches up nothing could be told.
    return age < 0 or age > VISIBILITY_TIMEOUT or (hints.waiting == 0 and age > _GRACE)


def _give_up(job: StoredJob, idle: list[int], max_attempts: int) -> tuple[int, ...]:
    attempted: Mapping[int, Attempts] = records.attempts(job.storage, job.id) if idle else {}
    hopeless = tuple(
        number
        for number in idle
        if number in attempted and _kills(job.storage, job.id, number, attempted[number], max_attempts)
    )
    for number in hopeless:
        died = len(attempted[number].dead)
        log.error("job %s: chunk %d ended %d workers; its rows are marked worker_crash", job.id, number, died)
        error = RowError(
            "worker_crash", f"{died} workers died on the chunk of this row, and no single row was found guilty"
        )
        job.fail(number, error, len(attempted[number].started))
    return hopeless


def _kills(storage: Storage, job: str, number: int, made: Attempts, max_attempts: int) -> bool:
    """Whether a chunk is given up (`quarantine`). Few are ever near it, so that little is read here."""
    if len(made.dead) < max_attempts:
        return False
    return quarantine.given_up((quarantine.read(storage, job, number, one) for one in made.dead), max_attempts)


def _publish(job: StoredJob, queue: Queue, owner: str) -> bool:
    """Assemble a complete job, unless somebody is at it. True if it is published now."""

    def hold() -> bool:
        try:
            return queue.lease(job.id, _ASSEMBLY, owner, _ASSEMBLY_LEASE)
        except RedisUnreachable:
            return True  # two may assemble then: both write the same bytes, and each object is written once

    if not hold():
        return False
    try:
        damaged = assemble.publish(job, hold)
    except assemble.ChangedMeanwhile as error:
        log.warning("job %s: a part was altered while the outputs were made (%s); they are made again", job.id, error)
        return False
    for number in damaged:
        _remove_damaged(job, number)
    try:
        queue.forget(job.id)
    except RedisUnreachable:
        pass  # hints expire by themselves
    return not damaged or job.storage.exists(layout.report(job.id))


def _remove_damaged(job: StoredJob, number: int) -> None:
    """Have a part scored again. While the others were read, another may have had that done, and even published: so it
    is read once more, and removed at once or not at all."""
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
