"""What the judged answers of a job promise, as every interface gives it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from contract.errors import UsageError
from contract.format.job import Manifest, ModelRef
from contract.ledger.progress import Progress
from contract.remedy import Call, Remedy
from producer.results.scores import Answers
from producer.trust.promise import Bound, Judged, Labels, Promise, above, promise
from producer.trust.promises.looks import Look, Looked, looked
from producer.trust.verdicts import Verdict, digest


@dataclass(frozen=True, slots=True)
class OfQuestion:
    """A promise of its own for the answers to one question of a job with documents."""

    question: int  #: its number, from 0
    threshold: float | None
    share: float | None
    lower_bound: float | None
    labels: int
    wrong: int


@dataclass(frozen=True, slots=True)
class Trusted:
    """The promise: with `confidence`, the answers whose score is at least `threshold` are right as often as `precision`
    says. `threshold`, `share` and `lower_bound` are None where nothing can be promised. Its stamp (model, options,
    answering rule, digest of the labels) says what it holds for."""

    job: str
    threshold: float | None
    share: float | None  #: of all rows of the job that are above it
    lower_bound: float | None  #: of the precision above it
    labels: int  #: rows that were judged, of those drawn at random
    wrong: int  #: of these
    skipped: int  #: of those that count as wrong
    picked: int  #: rows that were picked by hand and judged: of these no promise is made
    best: Bound | None  #: what is promised all the same; None: too few were judged
    more: int | None  #: how many more are needed, if the same share of them is right; None: not known
    precision: float
    confidence: float
    by: Literal["people", "references"]
    looks: tuple[Look, ...]
    next_look: int | None  #: `labels` at which the judgements are looked at next; None: all were judged
    curve: tuple[Bound, ...]  #: every threshold that was tested, the highest first
    questions: tuple[OfQuestion, ...] | None
    trusted: int | None  #: answers above the threshold
    rest: int | None  #: all other rows
    model: ModelRef
    options: dict[str, Any]
    answering_rule: tuple[int, ...]
    labels_sha256: str | None  #: of the verdicts; None: of references, which are the job's own


@dataclass(frozen=True, slots=True)
class Terms:
    """The job, and the terms of its promise."""

    manifest: Manifest
    status: Progress  #: of its end
    precision: float
    confidence: float


def by_verdicts(terms: Terms, answers: Answers, verdicts: Sequence[Verdict]) -> Trusted:
    """What stored verdicts promise, which are looked at again and again. Given the latest of each row, in order."""
    everything = _judged(answers, verdicts)
    sampled = [verdict for verdict in verdicts if verdict.floor is not None and verdict.row in everything]
    floor = max((verdict.floor or 0.0 for verdict in sampled), default=0.0)

    def look(answers: Answers, everything: Mapping[int, Judged]) -> Looked:
        judged = [everything[verdict.row] for verdict in sampled if verdict.row in everything]
        every = list(everything.values())
        return looked(answers.ranked, answers.total, judged, every, terms.precision, terms.confidence, floor)

    whole = look(answers, everything)
    questions = _questions(terms.manifest, answers, everything, lambda *own: look(*own).promise)
    skipped = sum(verdict.verdict == "skipped" for verdict in sampled)
    picked = len(everything) - len(sampled)
    return _trusted(terms, answers, whole, questions, skipped=skipped, picked=picked, labels_sha256=digest(verdicts))


def by_labels(terms: Terms, answers: Answers, verdicts: Sequence[Verdict], labels_sha256: str) -> Trusted:
    """What verdicts promise that are looked at once: rows drawn at random, judged in a file."""
    everything = _judged(answers, verdicts)
    floor = max((verdict.floor for verdict in verdicts if verdict.floor is not None), default=None)

    def look(answers: Answers, everything: Mapping[int, Judged]) -> Promise:
        judged = list(everything.values())
        return promise(answers.ranked, answers.total, judged, terms.precision, terms.confidence, floor)

    skipped = sum(verdict.verdict == "skipped" and verdict.row in everything for verdict in verdicts)
    whole, questions = _once(terms, look(answers, everything)), _questions(terms.manifest, answers, everything, look)
    return _trusted(terms, answers, whole, questions, skipped=skipped, labels_sha256=labels_sha256)


def by_references(terms: Terms, answers: Answers) -> Trusted:
    """What the reference answers of the input promise. An answer counts as right if it matches one exactly. More may be
    right, so it is a lower bound. Raises UsageError if there are none."""
    if not (answers.matches >= 0).any():
        job = terms.manifest.id
        raise UsageError(
            f"no answer of job {job} was judged",
            Remedy("Draw a sample, fill in its verdicts, and store them: ", Call("sample", job)),
        )

    def look(answers: Answers, _: object = None) -> Promise:
        those = answers.matches >= 0
        judged = Labels(answers.scores[those], answers.matches[those] == 1)
        return promise(answers.ranked, answers.total, judged, terms.precision, terms.confidence, 0.0)

    whole, questions = _once(terms, look(answers)), _questions(terms.manifest, answers, {}, look)
    return _trusted(terms, answers, whole, questions, by="references")


def _judged(answers: Answers, verdicts: Sequence[Verdict]) -> dict[int, Judged]:
    """The verdicts on answers, by row. A verdict on a row without an answer does not count."""
    rows = np.array([verdict.row for verdict in verdicts], np.int64)
    places = np.searchsorted(answers.rows, rows)
    return {
        verdict.row: Judged(float(answers.scores[place]), verdict.right)
        for verdict, place in zip(verdicts, places.tolist(), strict=True)
        if place < len(answers.rows) and answers.rows[place] == verdict.row
    }


def _once(terms: Terms, single: Promise) -> Looked:
    """A promise of a single look, which has all of the error."""
    return Looked(single, (Look(single.labels, 1.0 - terms.confidence),), None)


def _questions(
    manifest: Manifest,
    answers: Answers,
    everything: Mapping[int, Judged],
    look: Callable[[Answers, Mapping[int, Judged]], Promise],
) -> tuple[OfQuestion, ...] | None:
    """The promise for each question of a job with documents."""
    if manifest.documents is None:
        return None
    count = manifest.documents.questions
    judged: list[dict[int, Judged]] = [{} for _ in range(count)]
    for row, each in everything.items():
        judged[row % count][row] = each
    promises = [look(answers.of_question(number, count), judged[number]) for number in range(count)]
    return tuple(
        OfQuestion(number, *_bound(each.bound), each.labels, each.wrong) for number, each in enumerate(promises)
    )


def _bound(bound: Bound | None) -> tuple[float | None, float | None, float | None]:
    return (bound.threshold, bound.share, bound.lower_bound) if bound else (None, None, None)


def _trusted(
    terms: Terms,
    answers: Answers,
    whole: Looked,
    questions: tuple[OfQuestion, ...] | None,
    *,
    by: Literal["people", "references"] = "people",
    skipped: int = 0,
    picked: int = 0,
    labels_sha256: str | None = None,
) -> Trusted:
    overall, bound = whole.promise, whole.promise.bound
    trusted = above(answers.ranked, bound.threshold) if bound else None
    return Trusted(
        terms.manifest.id, *_bound(bound), overall.labels, overall.wrong, skipped, picked, overall.best, overall.more,
        terms.precision, terms.confidence, by, whole.looks, whole.next_look, overall.curve, questions,
        trusted, None if trusted is None else answers.total - trusted,
        terms.status.model, terms.status.options, terms.status.answering_rule, labels_sha256,
    )  # fmt: skip
