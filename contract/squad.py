"""SQuAD: the questions of its JSON, and exact match and F1 as in its official scripts. Pure.

Both scores ignore case, punctuation and articles, and take the best over the references. Without references the right
answer is none.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, TypeGuard

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def questions(item: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The questions of an article or a paragraph of SQuAD (1.1, 2.0) or MRQA, with what the levels above say of them.

    `answers` is a list of texts, empty where the question has no answer. Another object is yielded as it is.
    """
    paragraphs, qas = item.get("paragraphs"), item.get("qas")
    if objects(paragraphs):
        about = {key: value for key, value in item.items() if key != "paragraphs"}
        for paragraph in paragraphs:
            yield from questions(about | paragraph)
    elif objects(qas) and "question" not in item:
        about = {key: value for key, value in item.items() if key not in ("qas", "id")}
        for qa in qas:
            yield about | _question(qa)
    else:
        yield item


def _question(qa: dict[str, Any]) -> dict[str, Any]:
    row = {("id" if key == "qid" and "id" not in qa else key): value for key, value in qa.items()}
    if row.get("is_impossible") is True:
        row["answers"] = []
    elif objects(row.get("answers")):
        row["answers"] = [answer.get("text") for answer in row["answers"]]
    return row


def objects(value: Any) -> TypeGuard[list[dict[str, Any]]]:
    """Whether a value of JSON is a list of objects, and not empty."""
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def normalize(text: str) -> str:
    """Lower case, without ASCII punctuation and English articles, single spaces."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def answerable(references: Sequence[str]) -> bool:
    """Whether the right answer is not "no answer". References of punctuation and articles only do not count, as in the
    official script."""
    return any(normalize(reference) for reference in references)


def exact_match(predicted: str, references: Sequence[str]) -> float:
    """1.0 if the prediction equals a reference, else 0.0; without references, 1.0 if it is empty."""
    return max(float(normalize(predicted) == normalize(reference)) for reference in _gold(references))


def f1(predicted: str, references: Sequence[str]) -> float:
    """Overlap of words with the closest reference, 0.0 to 1.0; without references, 1.0 if the prediction is empty."""
    return max(_f1(normalize(predicted).split(), normalize(reference).split()) for reference in _gold(references))


def _gold(references: Sequence[str]) -> Sequence[str]:
    return [reference for reference in references if normalize(reference)] or [""]


def _f1(predicted: list[str], reference: list[str]) -> float:
    if not predicted or not reference:
        return float(predicted == reference)
    common = sum((Counter(predicted) & Counter(reference)).values())
    return 2 * common / (len(predicted) + len(reference))
