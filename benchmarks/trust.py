"""How often a promise of precision is broken, and how much it covers, over many draws of judged answers.

    python -m benchmarks.trust [--draws N] [--size N] [--quick]

Two jobs of which every answer is known to be right or wrong: questions at hand, answered by the reader that ships
(XQuAD, and an article that it was not trained on); and a synthetic one, whose precision rises with the score. Three
rules on the same labels, drawn as `producer sample` draws them:

once     the labels of a file, looked at once: `producer trust --labels`
watched  labels as they are stored, by a judge who looks after each and stops at the first promise: `producer trust`
naive    the lowest score above which the labels themselves are right often enough

Broken: above the threshold fewer answers are right than was promised. Covered: rows above it, on average.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from benchmarks import common
from contract import squad
from contract.format.job import Options
from producer.results.scores import Answers
from producer.trust.promise import Judged, sequence
from producer.trust.promises.looks import schedule
from producer.trust.sample import draw
from worker.evaluate import Example, load_squad
from worker.reader.open import open_reader

CONFIDENCE = 0.95
PRECISIONS = (0.8, 0.85, 0.9)
LABELS = (300, 500, 1000)
RULES = ("once", "watched", "naive")
DATA = common.REPO.parent / "shared" / "data"
#: The article of `cs224n-dev.json` that the reader was not trained on.
HELD_OUT = "Steam_engine"
#: Right answers by tenth of the score, of the reader that ships on questions with their paragraph.
RIGHT = (0.05, 0.18, 0.28, 0.38, 0.47, 0.58, 0.66, 0.75, 0.84, 0.93)


@dataclass(frozen=True)
class Known:
    """Answers, the lowest score first, and which of them are right."""

    name: str
    scores: NDArray[np.float64]
    right: NDArray[np.bool_]

    @classmethod
    def of(cls, name: str, scores: NDArray[np.float64], right: NDArray[np.bool_]) -> Known:
        order = np.argsort(scores, kind="stable")
        return cls(name, scores[order], right[order])

    def pool(self, labels: int, precision: float) -> int:
        """How many of the highest answers a sample is drawn from."""
        count = len(self.scores)
        nothing = np.zeros(count, np.int64)
        found = Answers(np.arange(count), self.scores, nothing, np.full(count, -1, np.int8), count)
        return draw(found, labels, precision, seed=1).pool

    def above(self, threshold: float | None) -> NDArray[np.bool_]:
        """Which answers above a threshold are right; none without one."""
        begin = len(self.scores) if threshold is None else int(np.searchsorted(self.scores, threshold))
        return self.right[begin:]


def at_hand() -> Known:
    """Questions of SQuAD's format beside the repository, answered."""
    reader = open_reader(common.SHIPPED)
    scores, right = list[float](), list[bool]()
    for example in _examples():
        answer = reader.answer(example.question, example.context, Options())
        scores.append(round(answer.score, 6))
        right.append(squad.exact_match(answer.spans[0].answer, example.answers) == 1.0)
    return Known.of("at hand", np.array(scores), np.array(right))


def _examples() -> Iterator[Example]:
    yield from load_squad(DATA / "eval.json")
    article = next(
        each
        for each in json.loads((DATA / "train" / "cs224n-dev.json").read_text())["data"]
        if each["title"] == HELD_OUT
    )
    for paragraph in article["paragraphs"]:
        for question in filter(lambda each: each["answers"], squad.questions(paragraph)):
            yield Example(question["id"], question["question"], question["context"], tuple(question["answers"]))


def synthetic(size: int) -> Known:
    chance = np.random.default_rng(7)
    scores = np.round(chance.beta(1.6, 0.9, size), 6)
    return Known.of("synthetic", scores, chance.random(size) < np.interp(scores, np.arange(10) / 10 + 0.05, RIGHT))


def once(job: Known, judged: list[Judged], precision: float, floor: float) -> tuple[float | None, int]:
    """The threshold, and the labels that were given for it."""
    bound = sequence(job.scores, len(job.scores), judged, precision, CONFIDENCE, floor).bound
    return bound and bound.threshold, len(judged)


def watched(job: Known, judged: list[Judged], precision: float, floor: float) -> tuple[float | None, int]:
    """The same by a judge who stops at the first promise: it can only come with a look."""
    for look in takewhile(lambda look: look.labels <= len(judged), schedule(1 - CONFIDENCE)):
        seen = judged[: look.labels]
        bound = sequence(job.scores, len(job.scores), seen, precision, 1 - look.risk, floor).bound
        if bound:
            return bound.threshold, look.labels
    return None, len(judged)


def naive(job: Known, judged: list[Judged], precision: float, floor: float) -> tuple[float | None, int]:
    """The same by the labels' own precision."""
    ranked = sorted(judged, reverse=True)
    shares = np.cumsum([each.right for each in ranked]) / np.arange(1, len(ranked) + 1)
    enough = np.flatnonzero(shares[29:] >= precision)
    return (ranked[29 + int(enough[-1])].score if len(enough) else None), len(judged)


def measure(job: Known, draws: int, labels: int, precision: float) -> dict[str, dict[str, float]]:
    """Of each rule: the share of draws whose promise is broken, of rows that are covered, and the mean of labels."""
    chance = np.random.default_rng(labels)
    pool = job.pool(labels, precision)
    floor = float(job.scores[-pool])
    outcomes: dict[str, list[tuple[bool, float, int]]] = {rule: [] for rule in RULES}
    for _ in range(draws):
        places = len(job.scores) - 1 - chance.choice(pool, labels, replace=False)
        judged = [Judged(float(job.scores[place]), bool(job.right[place])) for place in places]
        for rule, choose in zip(RULES, (once, watched, naive), strict=True):
            threshold, used = choose(job, judged, precision, floor)
            right = job.above(threshold)
            outcomes[rule].append((len(right) > 0 and right.mean() < precision, len(right) / len(job.scores), used))
    names = ("broken", "covered", "labels")
    return {rule: dict(zip(names, np.mean(each, axis=0).tolist(), strict=True)) for rule, each in outcomes.items()}


def main() -> None:
    args = common.arguments((__doc__ or "").partition("\n")[0], draws=1000, size=1_000_000)
    draws, size = (50, 100_000) if args.quick else (args.draws, args.size)
    jobs = [synthetic(size)]
    if DATA.exists():
        jobs.insert(0, at_hand())
    print("; ".join(f"{name} {value}" for name, value in (common.conditions() | {"draws": str(draws)}).items()))
    print("\n| answers | right | promised | labels | broken | covered | watched: broken | covered | labels "
          "| naive: broken | covered |\n|---|---|---|---|---|---|---|---|---|---|---|")  # fmt: skip
    for job in jobs:
        for precision in PRECISIONS:
            for labels in LABELS:
                if 2 * labels > len(job.scores):
                    continue
                found = measure(job, draws, labels, precision)
                cells = [f"{found[rule][name]:.1%}" for rule in RULES for name in ("broken", "covered")]
                cells.insert(4, f"{found['watched']['labels']:.0f}")
                head = [f"{len(job.scores):,} {job.name}", f"{job.right.mean():.0%}", f"{precision:.2f}", f"{labels:,}"]
                print(f"| {' | '.join([*head, *cells])} |", flush=True)


if __name__ == "__main__":
    main()
