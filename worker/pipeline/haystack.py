"""A reader for Haystack's pipelines: documents and a query in, answers with their document and offsets out.

In the place of the ExtractiveReader that Haystack had until its version 3.0. Spans of several documents are compared as
those of passages are (`contract.groups.choose`): by margin, with one softmax over all of them and "no answer".
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from haystack import Document, ExtractedAnswer, component, default_to_dict, logging

from contract.format.job import Answer, Options, RowError, Span
from worker.pipeline.engine import Engine
from worker.pipeline.models import directory_of
from worker.reader.open import open_reader

log = logging.getLogger("bulkqa.haystack")

_Parameters = dict[str, Any]


@component
class ExtractiveReader:
    """Finds answers to a query in documents.

    `model`: as for `bulkqa.pipeline`; `top_k`: answers at most, besides "no answer"; `score_threshold`: only answers
    with at least that score; `max_seq_length` and `stride` in tokens; `answers_per_seq`: answers of one document at
    most; `no_answer`: also give an answer without text, with the probability that no document has one;
    `max_answer_length` in tokens; `threads`: 0: one for each CPU.
    """

    __module__ = "bulkqa.haystack"  # by which a stored pipeline finds it again

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        top_k: int = 20,
        score_threshold: float | None = None,
        max_seq_length: int = 384,
        stride: int = 128,
        answers_per_seq: int | None = None,
        no_answer: bool = True,
        max_answer_length: int = 30,
        provider: str = "cpu",
        threads: int = 0,
    ) -> None:
        self._parameters: _Parameters = {
            "model": None if model is None else str(model),
            "top_k": top_k,
            "score_threshold": score_threshold,
            "max_seq_length": max_seq_length,
            "stride": stride,
            "answers_per_seq": answers_per_seq,
            "no_answer": no_answer,
            "max_answer_length": max_answer_length,
            "provider": provider,
            "threads": threads,
        }
        self._engine: Engine | None = None
        self._lock = threading.Lock()

    def to_dict(self) -> dict[str, Any]:
        """The component as Haystack stores it."""
        return default_to_dict(self, **self._parameters)

    def warm_up(self) -> Engine:
        """Open the model, if it is not open yet. Raises ModelError."""
        with self._lock:
            if self._engine is None:
                about = self._parameters
                reader = open_reader(directory_of(about["model"]), about["provider"], longest=False)
                self._engine = Engine(reader, about["threads"])
            return self._engine

    @component.output_types(answers=list[ExtractedAnswer])
    def run(
        self,
        query: str,
        documents: list[Document],
        top_k: int | None = None,
        score_threshold: float | None = None,
        max_seq_length: int | None = None,
        stride: int | None = None,
        answers_per_seq: int | None = None,
        no_answer: bool | None = None,
    ) -> dict[str, list[ExtractedAnswer]]:
        """The answers to a query, best first. A document without text, or that cannot be scored, has none, and a
        warning says so. Raises UsageError for options that do not fit together."""
        given = locals()
        about = self._parameters | {name: given[name] for name in self._parameters if given.get(name) is not None}
        engine = self.warm_up()
        options = Options(
            max_seq_len=about["max_seq_length"],
            doc_stride=about["stride"],
            max_answer_len=about["max_answer_length"],
            top_k=Options().n_best,
            no_answer_threshold=1000.0,  # each document gives its best spans, and all of them are compared
        )
        texts = [(document, document.content) for document in documents if document.content]
        if len(texts) < len(documents):
            log.warning("{count} documents have no text, and are passed over", count=len(documents) - len(texts))
        outcomes = engine.answers([(query, text) for _, text in texts], options)
        spans, nothing = _compared(
            [(document, outcome) for (document, _), outcome in zip(texts, outcomes, strict=True)]
        )
        answers = _first(spans, about["top_k"], about["answers_per_seq"] or about["top_k"], query)
        if about["no_answer"] and documents:
            answers.append(ExtractedAnswer(query=query, score=nothing))
        least = about["score_threshold"] or 0.0
        return {"answers": sorted((each for each in answers if each.score >= least), key=lambda each: -each.score)}


class _Found(NamedTuple):
    """A span of a document, and its probability."""

    document: Document
    span: Span
    score: float


def _compared(outcomes: Sequence[tuple[Document, Answer | RowError]]) -> tuple[list[_Found], float]:
    """The spans of all documents, best first, each with its probability; and that of "no answer".

    One softmax over the margins of all spans, and one null of margin 0. A model whose null score is not trained has no
    margins: there raw scores are compared, and each document has a null.
    """
    found, values, nulls = [], [], []
    for document, outcome in outcomes:
        if isinstance(outcome, RowError):
            log.warning("document {id} has no answer: {why}", id=document.id, why=outcome.message)
            continue
        found += [(document, span) for span in outcome.spans]
        values += [span.raw_score if span.margin is None else span.margin for span in outcome.spans]
        nulls += [outcome.null_score] if outcome.margin is None else []
    nulls = nulls or [0.0]
    top = max([*values, *nulls])
    weights = [math.exp(value - top) for value in values]
    empty = math.fsum(math.exp(null - top) for null in nulls)
    total = math.fsum(weights) + empty
    # Rounded down: the scores add up to 1 at most.
    scored = [
        _Found(document, span, math.floor(weight / total * 1e6) / 1e6)
        for (document, span), weight in zip(found, weights, strict=True)
    ]
    order = sorted(range(len(scored)), key=lambda place: -values[place])  # stable: documents in their order
    return [scored[place] for place in order], math.floor(empty / total * 1e6) / 1e6


def _first(spans: Sequence[_Found], most: int, of_each: int, query: str) -> list[ExtractedAnswer]:
    """The first answers, `of_each` document that many at most."""
    counts: Counter[int] = Counter()
    answers: list[ExtractedAnswer] = []
    for each in spans:
        counts[id(each.document)] += 1
        if counts[id(each.document)] <= of_each and len(answers) < most:
            answers.append(_extracted(query, each))
    return answers


def _extracted(query: str, found: _Found) -> ExtractedAnswer:
    document, span, score = found
    text, place = document.content or "", ExtractedAnswer.Span(span.start, span.end)
    meta = {"raw_score": span.raw_score, "margin": span.margin}
    page = document.meta.get("page_number")
    if isinstance(page, int):
        meta["answer_page_number"] = page + text.count("\f", 0, span.start)
    return ExtractedAnswer(
        query=query, score=score, data=span.answer, document=document, context=text,
        document_offset=place, context_offset=place, meta=meta,
    )  # fmt: skip
