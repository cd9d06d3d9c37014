"""A reader for Haystack's pipelines: documents and a query in, answers with their document and offsets out.

In the place of the ExtractiveReader that Haystack had until its version 3.0. Answers of several documents are compared
as the passages of a group are (`contract.groups.choose`): by margin, with one softmax over all of them and "no answer".
"""

from __future__ import annotations

import json
import math
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

from haystack import Document, ExtractedAnswer, component, default_to_dict, logging

from contract.format.job import InputFile, Manifest, Options, Row, RowError, answered
from contract.groups.choose import Group
from worker.pipeline.engine import Engine
from worker.pipeline.models import directory_of

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
                self._engine = Engine(directory_of(about["model"]), about["provider"], about["threads"])
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
        most = about["top_k"]
        each = min(most, about["answers_per_seq"] or most)
        options = Options(
            max_seq_len=about["max_seq_length"],
            doc_stride=about["stride"],
            max_answer_len=about["max_answer_length"],
            top_k=each,
            n_best=max(each, Options().n_best),
            no_answer_threshold=1000.0,  # each document gives its best spans, and the sum decides
        )
        with_text = [document for document in documents if _has_text(document)]
        group = _group(query, with_text, engine, options, most)
        if group is None:
            answers = [ExtractedAnswer(query=query, score=1.0)] if documents and about["no_answer"] else []
            return {"answers": answers}
        answers = [_extracted(query, with_text[span["row"]], span) for span in (group, *group["alternatives"])]
        if about["no_answer"]:
            answers.append(ExtractedAnswer(query=query, score=_null_share(group)))
        least = about["score_threshold"] or 0.0
        return {"answers": sorted((each for each in answers if each.score >= least), key=lambda each: -each.score)}


def _has_text(document: Document) -> bool:
    if document.content:
        return True
    log.warning("document {id} has no text, and is passed over", id=document.id)
    return False


def _group(query: str, documents: list[Document], engine: Engine, options: Options, most: int) -> dict[str, Any] | None:
    """The best spans of all documents, compared as passages of one group; None if no document could be scored."""
    about = InputFile("documents", "haystack", 0, "", ())
    manifest = Manifest("query", 0.0, "", len(documents), 0, 1, "", about, _with(options, most))
    group: Group | None = None
    pairs = [(query, document.content or "") for document in documents]
    for number, outcome in enumerate(engine.answers(pairs, options)):
        if isinstance(outcome, RowError):
            log.warning("document {id} has no answer: {why}", id=documents[number].id, why=outcome.message)
            continue
        prediction = answered(Row(number, *pairs[number], group=query), outcome, options)
        group = group or Group(prediction, manifest)
        group.add(prediction, json.dumps(prediction).encode())
    return group.outcome()[0] if group else None


def _with(options: Options, most: int) -> Options:
    return replace(options, top_k=max(2, most), n_best=max(2, most, options.n_best))


def _extracted(query: str, document: Document, span: dict[str, Any]) -> ExtractedAnswer:
    place = ExtractedAnswer.Span(span["start"], span["end"])
    text = document.content or ""
    meta = {"raw_score": span["raw_score"], "margin": span["margin"]}
    page = document.meta.get("page_number")
    if isinstance(page, int):
        meta["answer_page_number"] = page + text.count("\f", 0, place.start)
    return ExtractedAnswer(
        query=query, score=span["score"], data=text[place.start : place.end], document=document,
        context=text, document_offset=place, context_offset=place, meta=meta,
    )  # fmt: skip


def _null_share(group: dict[str, Any]) -> float:
    """The probability that no document has the answer: null has the margin 0 in the softmax of the scores. Of a model
    whose null score is not trained: what the answers leave."""
    if group["margin"] is not None:
        return round(min(1.0, group["score"] * math.exp(-min(max(group["margin"], -50.0), 700.0))), 6)
    return round(max(0.0, 1.0 - group["score"] - sum(span["score"] for span in group["alternatives"])), 6)
