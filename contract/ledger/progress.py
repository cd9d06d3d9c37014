"""The status of a job: its state, counts and rate, from what storage and Redis hold. Pure.

    queued ──────► running          a chunk was attempted, or has its part
    running ─────► finalizing       every chunk has its part; the outputs are being assembled
    finalizing ──► completed        published, no row failed
               ├─► completed_with_errors
               └─► failed           published, and no row was answered; the reason says why
    queued or running ⇄ paused      somebody paused it, until it is resumed; what is under way is finished
    any of these ► cancelling       the marker exists; workers stop at their next rows
    cancelling ──► cancelled        published, with the rows that were done

Terminal states come from `report.json`: once it exists, nothing changes any more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

from pydantic import BeforeValidator

from contract import evaluation
from contract.forecast.work import Forecast, Sample
from contract.format.job import Manifest, ModelRef
from contract.format.part import Footer
from contract.groups.reduce import GroupSums
from contract.ledger import reasons
from contract.ledger.reasons import Reason
from contract.ledger.tally import Rate, Scored, Tally, within
from contract.trust import split
from contract.trust.split import Split

TERMINAL = ("completed", "completed_with_errors", "failed", "cancelled")
STATES = ("queued", "running", "paused", "finalizing", "cancelling", *TERMINAL)


@dataclass(frozen=True, slots=True)
class Counts:
    """Rows by outcome. They always add up to `total`. Of a job that has not ended, rows of chunks that are being scored
    are among them: they can be taken back, if a worker is lost."""

    total: int = 0
    answered: int = 0
    no_answer: int = 0
    failed: int = 0
    cancelled: int = 0
    pending: int = 0

    @classmethod
    def of(cls, total: int, tally: Tally, scored: Iterable[Scored] = ()) -> Counts:
        """The counts of a job of `total` rows, given the tally of its parts, and what is `scored` of other chunks."""
        answered, no_answer, failed = tally.answered, tally.no_answer, tally.failed
        for chunk in scored:
            answered, no_answer, failed = answered + chunk.answered, no_answer + chunk.no_answer, failed + chunk.failed
        outcomes = (answered, no_answer, failed, tally.cancelled)
        return cls(total, *outcomes, pending=total - sum(outcomes))

    @classmethod
    def of_groups(cls, sums: GroupSums) -> Counts:
        """The counts of the groups of a job whose rows all have their outcome."""
        outcomes = (sums.answered, sums.no_answer, sums.failed, sums.cancelled)
        return cls(sum(outcomes), *outcomes)


@dataclass(frozen=True, slots=True)
class Chunks:
    """Chunks of a job by state. Those running or retrying are not done."""

    total: int = 0
    done: int = 0
    running: int = 0
    retrying: int = 0
    retried: int = 0  #: that have had more than one attempt, done or not


@dataclass(frozen=True, slots=True)
class Progress:
    """The status of a job; `producer status --json` prints these fields under these names."""

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
    committed_rows: int  #: of the parts: these are never taken back
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
    batch_invariant: bool = True  #: no row was scored in a batch with others, which may change the last digits
    #: Versions of the answering rule that its rows were scored by: several if workers were upgraded meanwhile.
    answering_rule: tuple[int, ...] = ()
    evaluation: dict[str, Any] | None = None  #: quality, if the file has reference answers
    groups: Counts | None = None  #: groups by outcome, of a job that has groups; pending until it is published
    group_evaluation: dict[str, Any] | None = None  #: the same as `evaluation`, of groups
    #: Rows of the parts, by where their outcome comes from: scored, each text once; from another row of the same text;
    #: from another job, some with other numerics. Rejected rows are not among them. None in older reports.
    scored: int | None = None
    repeated: int = 0
    reused: int = 0
    reused_others: int = 0
    windows: int = 0  #: of the scored rows
    tokens: int = 0
    cpu_seconds: float = 0.0  #: that scoring took, of all threads
    saved_seconds: float = 0.0  #: processor seconds that the reused rows took when they were scored
    numerics: tuple[str, ...] = ()  #: how they were computed: runtime, provider, arithmetic of the processor
    forecast: Forecast | None = None  #: what the job was expected to take; once it has ended, also what it took
    sample: Sample | None = None  #: of which input its rows are some; None: they are all
    expires_at: float | None = None  #: when it will be removed, if it has ended and is to expire
    trusted: Split | None = None  #: rows on both sides of a promise, if the job has one

    @property
    def finished(self) -> bool:
        """Whether the job has ended: then nothing changes any more."""
        return self.status in TERMINAL


@dataclass(frozen=True, slots=True)
class Seen:
    """What was read of a job that has no report yet."""

    footers: Mapping[int, Footer]  #: of the parts, except those in `tally`
    attempts: int  #: at chunks that have no part
    tally: Tally = field(default_factory=Tally)  #: of the other parts
    repeated: tuple[int, ...] = ()  #: chunks without a part that were attempted more than once
    running: tuple[int, ...] = ()  #: chunks with a valid lease; empty if Redis does not answer
    scored: tuple[Scored, ...] = ()  #: chunks under their latest attempt, at most once each; likewise
    paused: bool = False
    cancelled: Reason | None = None  #: why it is to be cancelled, if it is
    model: ModelRef | None = None
    workers: tuple[str, ...] | None = None  #: workers that serve the job's model; None if Redis does not answer
    others: int = 0  #: workers of a model with that name, but not the digest that the job is pinned to
    elsewhere: int = 0  #: workers of its model that use another storage
    trouble: tuple[str, str] | None = None  #: a worker that cannot use the storage, and its message
    ahead: int = 0  #: messages of other jobs on its queues
    retry: tuple[int, int, tuple[int, ...]] | None = None  #: a repeated chunk: its number, attempt, suspected rows

    def done(self, chunk: int) -> bool:
        """Whether a chunk has its part."""
        return (chunk >= 0 and self.tally.has(chunk)) or chunk in self.footers


def progress(manifest: Manifest, seen: Seen, now: float) -> Progress:
    """The status of a job that is not published yet. A chunk that has its part counts as that says, another as its
    worker's heartbeat does."""
    tally = seen.tally.plus(seen.footers)
    scored = within((each for each in seen.scored if not seen.done(each.chunk)), manifest.rows - tally.rows)
    counts = Counts.of(manifest.rows, tally, scored)
    rate = tally.rate(now, scored)
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
        progress=round(1.0 - counts.pending / manifest.rows, 6) if manifest.rows else 1.0,
        rows_per_second=round(rate.rows, 2) if rate and rate.rows else None,
        eta_seconds=None if status == "paused" else _eta(manifest, tally, scored, counts, rate, now),
        forecast=manifest.forecast,
        sample=manifest.sample,
        committed_rows=tally.rows,
        attempts=tally.attempts + seen.attempts,
        top_errors=top_errors(tally),
        model=seen.model or ModelRef(manifest.model, "", ""),
        options=asdict(manifest.options),
        input=asdict(manifest.source),
        metadata=manifest.metadata,
        workers=seen.workers or (),
        batch_invariant=tally.batch_invariant,
        answering_rule=tally.rules,
        evaluation=evaluation.summary([tally.evaluation]),
        **work_of(tally),
        trusted=split.split(manifest.trust, tally.rows, tally.trusted, tally.scores),
        groups=Counts(manifest.groups.count, pending=manifest.groups.count) if manifest.groups else None,
    )


def _eta(
    manifest: Manifest, tally: Tally, scored: tuple[Scored, ...], counts: Counts, rate: Rate | None, now: float
) -> float | None:
    """Seconds until the last row is scored: what is left of the work that was forecast, at the rate at which it goes.
    Before the first row as forecast; of a job without a forecast, by the number of its rows."""
    forecast = manifest.forecast
    if not counts.pending:
        return None
    if rate is None:
        remaining = forecast.seconds - (now - manifest.created_at) if forecast and forecast.seconds is not None else 0.0
        return round(remaining, 1) if remaining > 0 else None
    work = sum((each.work for each in scored), tally.work)
    if forecast and rate.work and work < forecast.work:
        return round((forecast.work - work) / rate.work, 1)
    return round(counts.pending / rate.rows, 1) if rate.rows else None


def verdict(counts: Counts, cancelled: Reason | None) -> tuple[str, Reason | None]:
    """(state, reason) of a job whose rows all have their outcome. `cancelled`: why it was to be, if it was. One with
    too many errors ends like that even if they were its last rows."""
    if cancelled and (counts.cancelled or cancelled.code == reasons.TOO_MANY_ERRORS):
        return "cancelled", cancelled
    if counts.failed == counts.total:
        return "failed", reasons.ALL_FAILED
    return ("completed_with_errors", reasons.SOME_FAILED) if counts.failed else ("completed", None)


def work_of(tally: Tally) -> dict[str, Any]:
    """What the parts took, as fields of `Progress`."""
    return {
        "scored": tally.scored,
        "repeated": tally.repeated,
        "reused": tally.reused,
        "reused_others": tally.reused_others,
        "windows": tally.windows,
        "tokens": tally.tokens,
        "cpu_seconds": round(tally.cpu_seconds, 3),
        "saved_seconds": round(tally.saved_seconds, 3),
        "numerics": tally.numerics,
    }


def top_errors(tally: Tally) -> tuple[tuple[str, int], ...]:
    """The five most frequent error codes of rows, with their counts."""
    return tuple(Counter(tally.codes).most_common(5))


def _state(manifest: Manifest, seen: Seen, tally: Tally) -> str:
    if seen.cancelled:
        return "cancelling"
    if tally.parts == manifest.chunks:
        return "finalizing"
    if seen.paused:
        return "paused"
    return "running" if tally.parts or seen.attempts or seen.running else "queued"


def _reason(status: str, seen: Seen, manifest: Manifest) -> Reason | None:
    """The first thing that keeps the job waiting, or slow."""
    if status == "cancelling":
        return seen.cancelled if seen.cancelled != reasons.CANCELLED else None
    if status == "finalizing":
        return None
    if status == "paused":
        return reasons.PAUSED
    if seen.workers is None:
        return reasons.REDIS_AWAY
    if seen.trouble:
        return reasons.storage_refuses(*seen.trouble)
    if not seen.workers:
        return _no_worker(seen, manifest.model)
    if seen.retry:
        return reasons.retrying(*seen.retry)
    return reasons.behind_others(seen.ahead) if seen.ahead and not seen.running else None


def _no_worker(seen: Seen, model: str) -> Reason:
    """Why a job has no worker."""
    if seen.others and seen.model:
        return reasons.other_model(seen.model.name, seen.model.digest, seen.others)
    return reasons.other_storage(model, seen.elsewhere) if seen.elsewhere else reasons.no_worker(model)
