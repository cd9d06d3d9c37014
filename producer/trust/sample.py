"""The rows of a job that are worth judging, drawn without looking at what is right.

They are drawn uniformly from the answers with the highest scores: the more rows are judged where a threshold may lie,
the more can be promised. How far down is decided by the scores alone: the largest share of them whose mean is a little
above the wanted precision. Of a group or a document one row at most: its rows stand or fall together.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from producer.results.pages import cut

#: The mean score of the answers that are drawn from exceeds the wanted precision by this.
_ABOVE = 0.02
#: Characters of a context before and after its answer.
_AROUND = 150


@dataclass(slots=True)
class Answers:
    """The answers of a job: their rows, their scores, and what belongs together. 24 bytes an answer."""

    rows: array[int] = field(default_factory=lambda: array("q"))
    scores: array[float] = field(default_factory=lambda: array("d"))
    owners: array[int] = field(default_factory=lambda: array("q"))  #: digest of its document or group; 0: none
    total: int = 0  #: rows of the job that are ready, answered or not

    def add(self, prediction: dict[str, Any]) -> None:
        """Count a row, and take its answer."""
        self.total += 1
        if prediction["status"] == "answered":
            self.rows.append(prediction["row"])
            self.scores.append(prediction["score"])
            owner = prediction.get("document") or prediction.get("group")
            self.owners.append(0 if owner is None else _digest(owner) or 1)


def answers(lines: Iterable[bytes]) -> Answers:
    """The answers among the predictions of a job, given in blocks of whole JSON lines."""
    found = Answers()
    for prediction in predictions(lines):
        found.add(prediction)
    return found


def draw(found: Answers, size: int, precision: float, seed: int, *, one_of_each: bool = True) -> list[int]:
    """At most `size` rows to judge, in a random order: any beginning of them is a sample too. The same seed gives the
    same rows, and a larger size more of them. `one_of_each`: one row of a document or group at most."""
    scores = np.array(found.scores)
    order = np.argsort(-scores, kind="stable")
    means = np.cumsum(scores[order]) / np.arange(1, len(order) + 1)
    enough = np.flatnonzero(means >= precision + _ABOVE)
    top = order[: max(int(enough[-1]) + 1 if len(enough) else 0, size)]
    shuffled = sorted(top.tolist(), key=lambda place: _chance(seed, found.rows[place]))
    drawn, owners = [], set[int]()
    for place in shuffled:
        owner = found.owners[place] if one_of_each else 0
        if owner not in owners:
            drawn.append(found.rows[place])
            owners |= {owner} - {0}
        if len(drawn) == size:
            break
    return drawn


def details(lines: Iterable[bytes], rows: Iterable[int]) -> list[dict[str, Any]]:
    """The predictions of some rows, in the order in which these are given, with `excerpt` in place of the context."""
    places = {row: place for place, row in enumerate(rows)}
    found: dict[int, dict[str, Any]] = {}
    for prediction in predictions(lines):
        if (row := prediction["row"]) in places:
            short = cut(prediction, _AROUND)
            found[places[row]] = {"excerpt": short.get("context")} | short
            if len(found) == len(places):
                break
    return [found[place] for place in sorted(found)]


def _chance(seed: int, row: int) -> bytes:
    return hashlib.blake2b(f"{seed} {row}".encode(), digest_size=8).digest()


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), signed=True)


def predictions(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """The predictions in blocks of whole JSON lines."""
    for block in lines:
        yield from map(json.loads, block.splitlines())
