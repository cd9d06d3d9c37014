"""How often a promise of precision is broken, and how much it covers: by `producer trust`, and by the naive rule.

A synthetic job of a million answers whose precision rises with the score, as that of the reader that ships does on
SQuAD-like questions; for each wanted precision, many draws of labels. The truth is known, so a promise is broken if the
answers above its threshold are right less often than promised.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
from numpy.typing import NDArray

from producer.results.scores import Answers
from producer.trust.promise import Judged, promise
from producer.trust.sample import draw

#: Right answers by tenth of the score, of the reader that ships on 838 questions with their paragraph.
RIGHT = (0.05, 0.18, 0.28, 0.38, 0.47, 0.58, 0.66, 0.75, 0.84, 0.93)


def job(size: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Scores of answers, and which are right."""
    chance = np.random.default_rng(seed)
    scores = np.round(chance.beta(1.6, 0.9, size), 6)
    return scores, chance.random(size) < np.interp(scores, np.arange(10) / 10 + 0.05, RIGHT)


def naive(judged: list[Judged], precision: float) -> float | None:
    """The lowest score above which the labels themselves are right often enough."""
    found, right = None, 0
    for count, each in enumerate(sorted(judged, reverse=True), 1):
        right += each.right
        if count >= 30 and right / count >= precision:
            found = each.score
    return found


def measure(size: int, draws: int, labels: int, precision: float) -> dict[str, float]:
    scores, right = job(size, seed=7)
    found = Answers(np.arange(size), scores, np.zeros(size, np.int64), np.full(size, -1, np.int8), size)
    order = np.argsort(-scores, kind="stable")
    precisions = np.cumsum(right[order]) / np.arange(1, size + 1)
    ranked = -scores[order]

    def above(threshold: float) -> int:
        return int(np.searchsorted(ranked, -threshold, side="right"))

    rules: dict[str, list[tuple[bool, float]]] = {"ours": [], "naive": []}
    top = draw(found, labels * draws, precision, seed=1).rows  # one draw, cut into many: each is a sample of its own
    for first in range(0, len(top) - labels + 1, labels):
        judged = [Judged(float(scores[row]), bool(right[row])) for row in top[first : first + labels]]
        bound = promise(scores[:: max(1, size // 20_000)], size, judged, precision, 0.95).bound
        chosen = {"ours": bound and bound.threshold, "naive": naive(judged, precision)}
        for rule, threshold in chosen.items():
            count = above(threshold) if threshold is not None else 0
            rules[rule].append((bool(count) and precisions[count - 1] < precision, count / size))
    return {
        f"{rule} {what}": round(float(np.mean([each[place] for each in found_])), 4)
        for rule, found_ in rules.items()
        for place, what in enumerate(("broken", "covered"))
    } | {"precision": precision, "labels": labels, "draws": len(rules["ours"])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the draws, of fewer answers")
    quick = parser.parse_args().quick
    for precision in (0.8, 0.85, 0.9):
        for labels in (300, 500, 1000):
            print(
                json.dumps(measure(200_000 if quick else 1_000_000, 50 if quick else 400, labels, precision)),
                flush=True,
            )


if __name__ == "__main__":
    main()
