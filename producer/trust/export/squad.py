"""Verdicts as questions with their right answers, in the format of SQuAD 2.0: to measure and train models. A verdict
that only says that an answer is wrong, not what is right, is left out. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from producer.trust.verdicts import Verdict


class Labelled(NamedTuple):
    """A row that was judged."""

    verdict: Verdict
    prediction: dict[str, Any]
    context: str


class Squad(NamedTuple):
    """A file in the format of SQuAD."""

    document: dict[str, Any]
    questions: int
    left_out: int  #: verdicts that do not say what is right


def squad(title: str, labelled: Iterable[Labelled]) -> Squad:
    """The questions whose right answer is known; those of one context are together."""
    paragraphs: dict[str, list[dict[str, Any]]] = {}
    names, left_out = set[str](), 0
    for each in labelled:
        span = right(each)
        if span is None:
            left_out += 1
            continue
        row = each.prediction["row"]
        name = each.prediction["id"]
        name = f"row-{row}" if name is None or name in names else name
        names.add(name)
        answers = [{"text": each.context[start:end], "answer_start": start} for start, end in span]
        question = {"id": name, "question": each.prediction["question"], "answers": answers}
        paragraphs.setdefault(each.context, []).append(question | {"is_impossible": not answers, "row": row})
    groups = [{"context": context, "qas": questions} for context, questions in paragraphs.items()]
    document = {"version": "v2.0", "data": [{"title": title, "paragraphs": groups}]}
    return Squad(document, len(names), left_out)


def right(labelled: Labelled) -> list[tuple[int, int]] | None:
    """Where in its context the right answer to a row is, as start and end; empty if there is none, None if unknown."""
    verdict, prediction = labelled.verdict, labelled.prediction
    if verdict.verdict == "right" and prediction["status"] == "answered":
        return [(prediction["start"], prediction["end"])]
    if verdict.verdict == "span" and verdict.start is not None and verdict.end is not None:
        return [(verdict.start, verdict.end)]
    return [] if verdict.verdict in ("right", "no_answer") else None
