"""The promise of a job, taken along by another of the same model and options, whose answers it splits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Protocol

from contract.errors import NotEnded, UsageError
from contract.format.job import Manifest, Options, Trust
from contract.format.part import spread
from contract.ledger import records
from contract.ledger.progress import Progress
from contract.remedy import Call, Remedy
from contract.storage import Storage
from producer.results.pages import Side
from producer.trust import judge

#: How sure the promise is that a job takes along.
CONFIDENCE = 0.95
#: Options that no answer depends on.
_FREE = ("omit_context",)


def promise_of(storage: Storage, job: str, precision: float) -> Trust:
    """What a job that has ended promises at a precision. Raises UsageError if that is nothing, NotEnded, UnknownJob."""
    report = _report(storage, job)
    trusted, found = judge.trust_of(storage, job, precision, CONFIDENCE)
    if trusted.threshold is None or trusted.share is None or trusted.lower_bound is None:
        raise UsageError(
            f"job {job} does not promise that {100 * precision:g}% of any answers are right",
            Remedy("See what it promises: ", Call("trust", job)),
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


def side(backend: Promising, job: str, *, trusted: bool) -> Side:
    """The trusted rows of a job, or the others. Raises UsageError if the job is not split."""
    if backend.manifest(job).trust is None:
        raise UsageError(
            f"job {job} is not split by a promise",
            Remedy("See from which score on it promises something itself: ", Call("trust", job)),
        )
    return Side(None, trusted)


def check(storage: Storage, job: str, model: str, options: Options) -> None:
    """Raise UsageError unless what a job promises holds for a job with this model and these options; NotEnded."""
    report = _report(storage, job)
    if report.model.name != model:
        raise UsageError(
            f"job {job} was answered by the model {report.model.name}, and this one would be by {model}: what that one "
            "promises says nothing of this one",
            "Use the same model, or judge a sample of this one's own answers.",
        )
    if others := [
        f"{name} was {then!r}, now {now!r}" for name, then, now in _differing(report.options, asdict(options))
    ]:
        raise UsageError(
            f"job {job} had other options, so that what it promises says nothing of this one: {'; '.join(others)}",
            "Use the same options, or judge a sample of this one's own answers.",
        )


def _differing(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    defaults = asdict(Options())  # a job of an earlier version lacks options that came later
    names = [name for name in now if name not in _FREE]
    pairs = [(name, then.get(name, defaults[name]), now[name]) for name in names]
    return [pair for pair in pairs if pair[1] != pair[2]]


def _report(storage: Storage, job: str) -> Progress:
    report = records.report(storage, job)
    if report is None:
        raise NotEnded(f"job {job} has not ended, so that it promises nothing yet", "Wait until it has ended.")
    if len(report.answering_rule) != 1 or not report.model.digest:
        raise UsageError(
            f"job {job} was answered by {len(report.answering_rule)} versions of the answering rule: it promises "
            "nothing for a job that is answered by one",
            "Submit its file again, and judge a sample of those answers.",
        )
    return report
