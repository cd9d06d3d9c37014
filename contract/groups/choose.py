"""The passages of a group -> its outcome. Pure.

1. Passages are compared by margin: the raw score of the best span less the null score of its own window. Logits of a
   window are known up to a constant, which both have, so that raw scores of several windows do not compare and margins
   do (Clark & Gardner 2018; Wang et al. 2019). The null score of a reader that was not trained to give one means
   nothing: its predictions have no margin, and are compared by raw score.
2. The best span of the passages that are answered wins; on a tie that of the lower row, then the lower start, then the
   shorter one. There is no answer only if no passage has one: then the passage with the highest margin is named.
3. Its score is one softmax over the n best spans of all passages and one null of margin 0. A passage that is answered
   with margin m and score p adds e^m / p - 1 to the sum, one without an answer 1 / p - 1. So a group of one passage has
   its score. Scores are rounded, so that of a small one only the bounds are certain: n spans add between e^m and n e^m.
   Without margins nulls of all passages are in the sum, and a group without answer has the score of the
   passage that is named.
4. Equal answers are not summed up: `support` says in how many passages the best answer reads the same, normalized as
   SQuAD's scripts do.
5. Passages that failed do not count, and the group is flagged `passages_failed`. If all failed, the group did, with the
   error of the first.
6. If the input has reference answers, those of all its rows are right (`contract.evaluation`).
"""

from __future__ import annotations

import hashlib
import json
import math
from array import array
from typing import Any, NamedTuple

from contract import evaluation, squad
from contract.format.job import Manifest

PASSAGES_FAILED = "passages_failed"

#: Fields of a prediction that a group has of the row that was chosen.
_OF_ROW = ("row", "passage", "document", "page")
_OF_SPAN = ("start", "end", "excerpt", "excerpt_start")

Prediction = dict[str, Any]


class _Candidate(NamedTuple):
    """A span of an answered passage; the least is the best."""

    negated: float  #: the margin, or the raw score, times -1
    row: int
    start: int
    length: int
    about: dict[str, Any]


class Group:
    """The passages of one group that were seen so far. Keeps one prediction and eight bytes a passage."""

    def __init__(self, first: Prediction, manifest: Manifest) -> None:
        self.name: str = first["group"]
        self.first_row: int = first["row"]
        self._manifest = manifest
        self._passages = self._failed = 0
        self._chosen = b""
        self._rank: tuple[float, ...] = ()
        self._spans: list[_Candidate] = []  # the best of all passages, if more than one is to be shown
        self._log_sum = -math.inf
        self._answers = array("Q")  # digests of the normalized answers
        self._gold: dict[str, None] | None = None

    def add(self, prediction: Prediction, line: bytes) -> None:
        """Take the next prediction of the group, in row order. `line` is its JSON, of which the best is kept: it is
        smaller than the dict."""
        self._passages += 1
        self._add_gold(prediction)
        status = prediction["status"]
        if status == "error":
            self._failed += 1
            rank: tuple[float, ...] = (2, prediction["row"])
        elif status == "answered":
            start, value = prediction["start"], _value(prediction)
            rank = (0, -value, prediction["row"], start, prediction["end"] - start)
            self._answers.append(_digest(prediction["answer"]))
            self._add_spans(prediction)
        else:
            margin = prediction["margin"]
            rank = (1, 0.0 if margin is None else -margin, prediction["row"])
        if status != "error":
            share = _log_share(prediction, self._manifest.options.n_best)
            self._log_sum = _log_add(self._log_sum, share)
        if not self._rank or rank < self._rank:
            self._rank, self._chosen = rank, line

    def outcome(self) -> tuple[dict[str, Any], tuple[str, ...] | None]:
        """The group as its line shows it, but for exact match and F1; and the right answers, None if unknown."""
        chosen = json.loads(self._chosen)
        answered = chosen["status"] == "answered"
        head = {"group": self.name, "id": chosen["id"], "question": chosen["question"], "status": chosen["status"]}
        head |= {"answer": chosen["answer"]} | _of(chosen, _OF_ROW)
        if chosen["status"] == "error":
            head |= {"error": chosen["error"], "passages": self._passages}
        else:
            flags = [*chosen["flags"], *([PASSAGES_FAILED] if self._failed else [])]
            head |= _of(chosen, _OF_SPAN) | {"score": self._score(chosen)}
            head |= {name: chosen[name] for name in ("raw_score", "margin", "null_score")}
            support = self._answers.count(_digest(chosen["answer"])) if answered else 0
            head |= {"support": support, "passages": self._passages, "flags": flags}
            head["alternatives"] = [self._alternative(span, chosen) for span in self._spans[1:]]
        head["passthrough"] = chosen["passthrough"]
        return head, None if self._gold is None else tuple(self._gold)

    def _add_spans(self, prediction: Prediction) -> None:
        top_k = self._manifest.options.top_k
        if top_k > 1:
            self._spans = sorted([*self._spans, *_candidates(prediction)], key=lambda span: span[:4])[:top_k]

    def _add_gold(self, prediction: Prediction) -> None:
        column = self._manifest.answers_column
        if column is None or _code(prediction) == "job_cancelled":
            return
        gold = evaluation.references(prediction["passthrough"].get(column), self._manifest.answers_form)
        if gold is not None:
            self._gold = (self._gold or {}) | dict.fromkeys(gold)

    def _score(self, chosen: Prediction) -> float:
        if chosen["status"] == "answered":
            return _round(math.exp(_value(chosen) - self._log_total(chosen)))
        if chosen["margin"] is None:
            return float(chosen["score"])
        return _round(math.exp(-self._log_total(chosen)))

    def _log_total(self, chosen: Prediction) -> float:
        return self._log_sum if chosen["margin"] is None else _log_add(self._log_sum, 0.0)

    def _alternative(self, span: _Candidate, chosen: Prediction) -> dict[str, Any]:
        score = math.exp(-span.negated - self._log_total(chosen))
        # Rounded down, so that the scores of a group add up to 1 at most.
        return span.about | {"score": math.floor(score * 1e6) / 1e6}


def _candidates(prediction: Prediction) -> list[_Candidate]:
    """The spans of an answered passage, best first."""
    of_row = _of(prediction, _OF_ROW)
    spans = [prediction, *prediction.get("alternatives", ())]
    return [
        _Candidate(
            -_value(span),
            prediction["row"],
            span["start"],
            span["end"] - span["start"],
            {"answer": span["answer"]}
            | of_row
            | _of(span, ("page",))
            | {name: span[name] for name in ("start", "end", "raw_score", "margin")},
        )
        for span in spans
    ]


def _value(span: dict[str, Any]) -> float:
    """What spans of several passages are compared by."""
    return float(span["raw_score"] if span["margin"] is None else span["margin"])


def _of(prediction: Prediction, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: prediction[name] for name in names if name in prediction}


def _code(prediction: Prediction) -> str | None:
    error = prediction.get("error")
    return error["code"] if error else None


def _log_share(prediction: Prediction, n_best: int) -> float:
    """The logarithm of what a passage of at most `n_best` spans adds to the sum of the softmax, without its null where
    that has the margin 0.

    Scores are rounded: where one is 0, the span itself is all that is known of the sum.
    """
    score, trained = prediction["score"], prediction["margin"] is not None
    if prediction["status"] == "no_answer":
        if not trained:
            return float(prediction["null_score"]) - _log(score)
        return _log(1.0 / score - 1.0) if score else float(prediction["margin"])
    value = _value(prediction)
    if not score:
        return value
    if not trained:
        return value - _log(score)
    return value + min(max(0.0, _log(1.0 / score - math.exp(-value))), _log(n_best))


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf


def _log_add(left: float, right: float) -> float:
    high, low = max(left, right), min(left, right)
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))


def _digest(answer: str) -> int:
    return int.from_bytes(hashlib.blake2b(squad.normalize(answer).encode(), digest_size=8).digest())


def _round(value: float) -> float:
    return round(value, 6) + 0.0
