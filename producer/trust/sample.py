"""The rows of a job that are worth judging, drawn without looking at what is right.

They are drawn uniformly from the answers with the highest scores, the pool: the more rows are judged where a threshold
may lie, the more can be promised. How far down it goes is decided by the scores alone: the largest share of them whose
mean is a little above the wanted precision. Of a group or a document one row at most: its rows stand or fall together.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from producer.results.scores import Answers, Scored
from producer.shuffle import STEP, mixed

#: The mean score of the pool exceeds the wanted precision by this.
_ABOVE = 0.02
#: Characters of a context before and after its answer that a person is shown.
AROUND = 150
#: Rows to judge, unless told otherwise; and at most.
ROWS, MOST = 300, 100_000


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows to judge, in a random order: any beginning of them is a sample too."""

    rows: list[int]
    floor: float | None  #: the lowest score in the pool; None: there are no answers
    pool: int  #: answers that they were drawn from


def answers(lines: Iterable[bytes]) -> Answers:
    """The answers among the predictions of a job, given in blocks of whole JSON lines."""
    return Answers.of(Scored.of([json.loads(line) for line in block.splitlines()]) for block in lines)


def draw(answers: Answers, size: int, precision: float, seed: int, *, one_of_each: bool = True) -> Sample:
    """At most `size` rows to judge. The same seed gives the same rows, and a larger size more of them. `one_of_each`:
    one row of a document or group at most."""
    order = np.argsort(-answers.scores, kind="stable")
    means = np.cumsum(answers.scores[order]) / np.arange(1, len(order) + 1)
    enough = np.flatnonzero(means >= precision + _ABOVE)
    top = order[: max(int(enough[-1]) + 1 if len(enough) else 0, size)]
    drawn, owners = list[int](), set[int]()
    for place in top[np.argsort(_chances(answers.rows[top], seed), kind="stable")]:
        owner = int(answers.owners[place]) if one_of_each else 0
        if owner not in owners:
            drawn.append(int(answers.rows[place]))
            owners |= {owner} - {0}
        if len(drawn) == size:
            break
    return Sample(drawn, float(answers.scores[top].min()) if len(top) else None, len(top))


def _chances(rows: NDArray[np.int64], seed: int) -> NDArray[Any]:
    """A number for each row that looks random, another for each seed."""
    return mixed(rows.astype(np.uint64) * np.uint64(STEP) + np.uint64(seed * 0xD1342543DE82EF95 % 2**64))
