"""What storage says of a job, as numbers: its state, its counts, its rate. Pure: everything read is given.

    queued ──────► running          a chunk was attempted, or has its part
    running ─────► finalizing       every chunk has its part; the outputs are being put together
    finalizing ──► completed        published, no row failed
               ├─► completed_with_errors
               └─► failed           published, and not one row was answered, for the reason given
    any of these ► cancelling       the marker is there; workers stop at their next rows
    cancelling ──► cancelled        published, with the rows that were done

Terminal states are those of `report.json`: once it is there, nothing changes any more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

from pydantic import BeforeValidator

from contract import evaluation
from contract.format.job import Manifest, ModelRef
from contract.format.part import Footer
from contract.ledger import reasons
from contract.ledger.reasons import Reason
from contract.ledger.tally import Tally

TERMINAL = ("completed", "completed_with_errors", "failed", "cancelled")
STATES = ("queued", "running", "finalizing", "cancelling", *TERMINAL)


@dataclass(frozen=True, slots=True)
class Counts:
    """Rows by outcome. They always add up to `total`."""

    total: int = 0
    answered: int = 0
    no_answer: int = 0
    failed: int = 0
    cancelled: int = 0
    pending: int = 0

    @classmethod
    def of(cls, total: int, tally: Tally) -> Counts:
        """The counts of a job of `total` rows, of whose parts `tally` is the sum."""
        outcomes = (tally.answered, tally.no_answer, tally.failed, tally.cancelled)
        return cls(total, *outcomes, pending=total - sum(outcomes))


@dataclass(frozen=True, slots=True)
class Chunks:
    """Chunks of a job by state; those running and retrying are not done."""

    total: int = 0
    done: int = 0
    running: int = 0
    retrying: int = 0
    retried: int = 0  #: that took more than one attempt so far, done or not


@dataclass(frozen=True, slots=True)
class Progress:
    """What `producer status` tells; `producer status --json` prints these fields under these names."""

    id: str
    status: str
    reason: Annotated[Reason | None, BeforeValidator(reasons.of_code)]
    created_at: float
    started_at: float | None
    finished_at: float | None
    request_counts: Counts
    chunks: Chunks
    progress: float
    rows_per_second: float | None
    eta_seconds: float | None
    committed_rows: int
    attempts: int
    top_errors: tuple[tuple[str, int], ...]
    model: ModelRef
    options: dict[str, Any]
    input: dict[str, Any]
    output_uri: str | None = None
    error_uri: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    workers: tuple[str, ...] = ()
    outputs: dict[str, Any] = field(default_factory=dict)
    batch_invariant: bool = True  #: no answer came of a run with others, which may change its last digits
    evaluation: dict[str, Any] | None = None  #: quality, where the file has reference answers
    expires_at: float | None = None  #: when it is removed, where that was asked for and it has ended

    @property
    def finished(self) -> bool:
        """Whether the job has ended, and nothing of it changes any more."""
        return self.status in TERMINAL


@dataclass(frozen=True, slots=True)
class Seen:
    """What was read of a job that has no report yet."""

    footers: Mapping[int, Footer]  #: of the parts that are there, but for those in `tally`
    attempts: int  #: at chunks that have no part
    tally: Tally = field(default_factory=Tally)  #: of the others
    repeated: tuple[int, ...] = ()  #: of those chunks, the ones that were attempted more than once
    running: tuple[int, ...] = ()  #: chunks whose lease is believed; empty when Redis does not answer
    cancelled: bool = False
    model: ModelRef | None = None
    workers: tuple[str, ...] | None = None  #: workers that hold the job's model; None when Redis does not answer
    others: int = 0  #: workers of a model of that name with another digest than the job is pinned to
    elsewhere: int = 0  #: workers of its model that look at another storage
    trouble: tuple[str, str] | None = None  #: a worker that cannot use the storage, and what it says
    ahead: int = 0  #: messages of other jobs that wait on its queues
    retry: tuple[int, int, tuple[int, ...]] | None = None  #: of a repeated chunk: its number, attempt, suspected rows

    def done(self, chunk: int) -> bool:
        """Whether a chunk has its part."""
        return (chunk >= 0 and self.tally.has(chunk)) or chunk in self.footers


def progress(manifest: Manifest, seen: Seen, now: float) -> Progress:
    """Where a job stands that is not published yet."""
    tally = seen.tally.plus(seen.footers)
    counts = Counts.of(manifest.rows, tally)
    rate = tally.rows_per_second(now)
    status = _state(manifest, seen, tally)
    return Progress(
        id=manifest.id,
        status=status,
        reason=_reason(status, seen, manifest),
        created_at=manifest.created_at,
        started_at=tally.started_at,
        finished_at=None,
        request_counts=counts,
        chunks=Chunks(
            total=manifest.chunks,
            done=tally.parts,
            running=sum(not seen.done(chunk) for chunk in seen.running),
            retrying=len(seen.repeated),
            retried=tally.retried + len(seen.repeated),
        ),
        progress=round(tally.rows / manifest.rows, 6) if manifest.rows else 1.0,
        rows_per_second=round(rate, 2) if rate else None,
        eta_seconds=round(counts.pending / rate, 1) if rate and counts.pending else None,
        committed_rows=tally.rows,
        attempts=tally.attempts + seen.attempts,
        top_errors=top_errors(tally),
        model=seen.model or ModelRef(manifest.model, "", ""),
        options=asdict(manifest.options),
        input=asdict(manifest.source),
        metadata=manifest.metadata,
        workers=seen.workers or (),
        batch_invariant=tally.batch_invariant,
        evaluation=evaluation.summary([tally.evaluation]),
    )


def verdict(counts: Counts, *, cancel_asked: bool) -> tuple[str, Reason | None]:
    """(state, reason) of a job all of whose rows have their outcome."""
    if cancel_asked and counts.cancelled:
        return "cancelled", reasons.CANCELLED
    if counts.failed == counts.total:
        return "failed", reasons.ALL_FAILED
    return ("completed_with_errors", reasons.SOME_FAILED) if counts.failed else ("completed", None)


def top_errors(tally: Tally) -> tuple[tuple[str, int], ...]:
    """The five most frequent codes of row errors, with their counts."""
    return tuple(Counter(tally.codes).most_common(5))


def _state(manifest: Manifest, seen: Seen, tally: Tally) -> str:
    if seen.cancelled:
        return "cancelling"
    if tally.parts == manifest.chunks:
        return "finalizing"
    return "running" if tally.parts or seen.attempts or seen.running else "queued"


def _reason(status: str, seen: Seen, manifest: Manifest) -> Reason | None:
    """The first thing that has to change for the job to go on. Slow progress has a reason too."""
    if status in ("finalizing", "cancelling"):
        return None
    if seen.workers is None:
        return reasons.REDIS_AWAY
    if seen.trouble:
        return reasons.storage_refuses(*seen.trouble)
    if not seen.workers:
        return _nobody(seen, manifest.model)
    if seen.retry:
        return reasons.retrying(*seen.retry)
    return reasons.behind_others(seen.ahead) if seen.ahead and not seen.running else None


def _nobody(seen: Seen, model: str) -> Reason:
    """Why there is no worker for a job."""
    if seen.others and seen.model:
        return reasons.other_model(seen.model.name, seen.model.digest, seen.others)
    return reasons.other_storage(model, seen.elsewhere) if seen.elsewhere else reasons.no_worker(model)
