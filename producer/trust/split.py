"""The promise of a job, taken along by another of the same model and options, whose answers it splits."""

from __future__ import annotations

from typing import Protocol

from contract.errors import NotEnded, UsageError
from contract.format.job import Manifest, Options, Trust
from contract.format.option import changes
from contract.format.part import spread
from contract.ledger import records
from contract.ledger.progress import Progress
from contract.ledger.stored import load_manifest
from contract.remedy import Call, Remedy, Set
from contract.storage import Storage
from producer.results.pages import Side
from producer.trust import judge
from producer.trust.promises.trusted import Trusted

#: How sure the promise is that a job takes along; and the share of answers that must be right, by default.
CONFIDENCE, PRECISION = 0.95, 0.9


def promise_of(storage: Storage, job: str, precision: float) -> Trust:
    """What a job that has ended promises at a precision. Raises UsageError if nothing, NotEnded, UnknownJob."""
    report = _report(storage, job)
    trusted, found = judge.trust_of(storage, job, precision, CONFIDENCE)
    if trusted.threshold is None or trusted.share is None or trusted.lower_bound is None:
        raise UsageError(
            f"job {job} promises nothing for rows other than its own, at a precision of {100 * precision:g}%",
            Remedy(
                "That takes more verdicts than a promise for its own rows. See what it promises: ",
                Call("trust", job),
            ),
        )
    return Trust(
        job=job,
        threshold=trusted.threshold,
        precision=precision,
        confidence=CONFIDENCE,
        lower_bound=trusted.lower_bound,
        share=trusted.share,
        labels=trusted.labels,
        labels_sha256=trusted.labels_sha256,
        model=report.model,
        rule=report.answering_rule[0],
        scores=spread(found.scores.tolist()),
    )


class Promising(Protocol):
    """The part of `producer.backend.protocol.Backend` that is used here."""

    def manifest(self, job: str) -> Manifest: ...  # noqa: D102

    def trust(self, job: str, precision: float, confidence: float) -> Trusted: ...  # noqa: D102


def side(backend: Promising, job: str, precision: float | None, *, trusted: bool) -> Side:
    """The trusted rows of a job, or the others: as it is split, or else by its own promise, at a precision of 0.9 by
    default. Raises UsageError if it promises nothing, or is split at another precision; NotEnded."""
    split = split_side(backend.manifest(job), precision, trusted=trusted)
    return split or own_side(backend.trust(job, precision or PRECISION, CONFIDENCE), trusted=trusted)


def split_side(manifest: Manifest, precision: float | None, *, trusted: bool) -> Side | None:
    """The side of a job that is split by the promise of another; None if it is not."""
    if manifest.trust is None:
        return None
    if precision not in (None, manifest.trust.precision):
        raise UsageError(
            f"job {manifest.id} is split at a precision of {manifest.trust.precision:g}, not {precision:g}",
            Remedy("Leave out ", Set("precision"), "."),
        )
    return Side(None, trusted)


def own_side(promised: Trusted, *, trusted: bool) -> Side:
    """The side of a job by its own promise."""
    if promised.threshold is None:
        raise UsageError(
            f"job {promised.job} does not promise that {100 * promised.precision:g}% of any of its answers are right",
            Remedy("See what it promises: ", Call("trust", promised.job)),
        )
    return Side(promised.threshold, trusted)


def check(storage: Storage, job: str, model: str, options: Options) -> None:
    """Raise UsageError unless the promise of a job holds for a job with this model and these options; NotEnded."""
    report = _report(storage, job)
    if report.model.name != model:
        raise UsageError(
            f"job {job} was answered by the model {report.model.name}, and this one would be by {model}, for which its "
            "promise does not hold",
            "Use the same model, or judge a sample of this one's own answers.",
        )
    earlier = load_manifest(storage, job).options
    if others := [f"{name} was {then!r}, now {now!r}" for name, then, now in changes(earlier, options)]:
        raise UsageError(
            f"job {job} had other options, so its promise does not hold for this one: {'; '.join(others)}",
            "Use the same options, or judge a sample of this one's own answers.",
        )


def _report(storage: Storage, job: str) -> Progress:
    report = records.report(storage, job)
    if report is None:
        raise NotEnded(f"job {job} has not ended, so it promises nothing yet", "Wait until it has ended.")
    if len(report.answering_rule) != 1 or not report.model.digest:
        raise UsageError(
            f"job {job} was answered by {len(report.answering_rule)} versions of the answering rule, so it promises "
            "nothing for a job that is answered by one",
            "Submit its file again, and judge a sample of those answers.",
        )
    return report
