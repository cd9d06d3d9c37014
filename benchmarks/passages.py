"""What one answer from many passages is worth, and what it costs to score only the best windows of a document.

    python -m benchmarks.passages [--file FILE] [--model DIR] [--questions N] [--quick]

FILE is in SQuAD's format, with several paragraphs an article, such as XQuAD. Passages: each question with the first
five paragraphs of its article, or with the others and its own among them, reduced as a job reduces its groups.
Windows: each question with a document of whole articles, its own among them. All windows are scored once, in one
thread; what `top_windows` leaves of them is decoded again. Seconds are CPU time, whatever else the machine does.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import common
from benchmarks.common import Line, at_least
from contract import evaluation, squad
from contract.format.job import InputFile, Manifest, Options, Row, answered
from contract.groups.choose import Group
from worker.reader.decode import Scored, decode
from worker.reader.open import open_reader
from worker.reader.reader import Reader

PASSAGES = 5
#: Articles in a document: some 40 windows of 384 tokens, if they have five paragraphs each.
ARTICLES = 12
TOP = (3, 5, 10)
#: CUAD: contracts, questions asked of each, and windows of a contract.
CONTRACTS, QUESTIONS, WINDOWS = 510, 41, 40


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with its right answers, its article and the paragraph that has them."""

    question: str
    answers: tuple[str, ...]
    article: int
    paragraph: int


def load(path: Path) -> tuple[list[list[str]], list[Asked]]:
    """The paragraphs of each article, and all questions that have an answer."""
    articles: list[list[str]] = []
    questions: list[Asked] = []
    for number, article in enumerate(json.loads(path.read_text())["data"]):
        articles.append([paragraph["context"] for paragraph in article["paragraphs"]])
        for place, paragraph in enumerate(article["paragraphs"]):
            rows = [(row["question"], tuple(row["answers"])) for row in squad.questions(paragraph)]
            questions += [Asked(question, answers, number, place) for question, answers in rows if answers]
    return articles, questions


@dataclass(slots=True)
class Quality:
    """Exact match and F1 of the answers to the same questions, in their order."""

    exact: list[float] = field(default_factory=list)
    f1: list[float] = field(default_factory=list)

    def add(self, answer: str, asked: Asked) -> None:
        exact, f1 = evaluation.scores(answer, asked.answers)
        self.exact.append(exact)
        self.f1.append(f1)

    def __str__(self) -> str:
        return f"EM {100 * np.mean(self.exact):.1f}, F1 {100 * np.mean(self.f1):.1f}"

    def less(self, other: Quality) -> str:
        """The difference of F1 with its 95 % interval, by a paired bootstrap."""
        difference = 100 * (np.array(self.f1) - np.array(other.f1))
        draw = np.random.default_rng(7).integers(0, len(difference), (10_000, len(difference)))
        low, high = np.percentile(difference[draw].mean(axis=1), [2.5, 97.5])
        return f"F1 {difference.mean():+.1f} ({low:+.1f} to {high:+.1f})"


def passages(reader: Reader, articles: list[list[str]], questions: list[Asked]) -> list[Line]:
    options = Options()
    alone, by_margin, by_raw = Quality(), Quality(), Quality()
    right, right_raw, with_answer, without = 0, 0, [], []
    for asked in questions:
        predictions = [
            answered(
                Row(number, asked.question, None, group="g"), reader.answer(asked.question, text, options), options
            )
            for number, text in near(articles[asked.article], asked.paragraph)
        ]
        own = next(prediction for prediction in predictions if prediction["row"] == asked.paragraph)
        chosen, raw = group_of(predictions), group_of([prediction | {"margin": None} for prediction in predictions])
        alone.add(own["answer"], asked)
        by_margin.add(chosen["answer"], asked)
        by_raw.add(raw["answer"], asked)
        right += chosen["row"] == asked.paragraph
        right_raw += raw["row"] == asked.paragraph
        with_answer.append(chosen["margin"])
        without.append(group_of([prediction for prediction in predictions if prediction is not own])["margin"])
    percent = 100 / len(questions)
    return [
        Line("the right passage given, EM", 100 * float(np.mean(alone.exact)), "%", note=str(alone)),
        at_least("chosen by margin, EM", 100 * float(np.mean(by_margin.exact)), 63, "%"),
        at_least("chosen by margin, F1", 100 * float(np.mean(by_margin.f1)), 75.5, "%"),
        Line("chosen by margin, the right passage", percent * right, "%"),
        Line("chosen by raw score, EM", 100 * float(np.mean(by_raw.exact)), "%"),
        Line("chosen by raw score, the right passage", percent * right_raw, "%"),
        Line("chosen by raw score, F1", 100 * float(np.mean(by_raw.f1)), "%", note=f"margin: {by_margin.less(by_raw)}"),
        at_least("answerable against not, AUROC of the margin", auroc(with_answer, without), 0.945),
        *(refused(threshold, with_answer, without) for threshold in (0.0, -3.9)),
    ]


def refused(threshold: float, with_answer: list[float], without: list[float]) -> Line:
    share, wrong = (100 * float(np.mean(-np.array(margins) > threshold)) for margins in (without, with_answer))
    return Line(f"no answer at --no-answer-threshold {threshold:g}, without the right passage", share, "%",
                note=f"with it {wrong:.1f} %")  # fmt: skip


def near(paragraphs: list[str], own: int) -> Iterator[tuple[int, str]]:
    """`PASSAGES` paragraphs of an article with their places, its own among them."""
    first = min(max(0, own - PASSAGES // 2), max(0, len(paragraphs) - PASSAGES))
    yield from enumerate(paragraphs[first : first + PASSAGES], first)


def group_of(predictions: list[dict[str, Any]]) -> dict[str, Any]:
    """The line of the one group that all predictions belong to."""
    source = InputFile("", "jsonl", 0, "", ())
    group = Group(predictions[0], Manifest("benchmark", 0.0, "", len(predictions), 0, 1, "", source))
    for prediction in predictions:
        group.add(prediction, json.dumps(prediction).encode())
    return group.outcome()[0]


def auroc(positive: list[float], negative: list[float]) -> float:
    """How often a positive value exceeds a negative one; ties count half."""
    pairs = np.subtract.outer(np.array(positive), np.array(negative))
    return float(np.mean(pairs > 0) + np.mean(pairs == 0) / 2)


def top_windows(reader: Reader, articles: list[list[str]], questions: list[Asked]) -> list[Line]:
    quality = {count: Quality() for count in (0, *TOP)}
    by_raw = Quality()
    seconds = dict.fromkeys(quality, 0.0)
    windows, running = 0, 0.0
    for asked in questions:
        first = asked.article - 2 * asked.paragraph % ARTICLES  # so that its own article has any place
        document = "\n\n".join(
            text for number in range(ARTICLES) for text in articles[(first + number) % len(articles)]
        )
        reader._encoder.encode(asked.question, document, Options(top_windows=1))  # tokenized once for all questions
        times: dict[int, float] = {}  # by the token that a window begins at
        logits = {}
        for window in reader._encoder.encode(asked.question, document, Options()).windows:
            began = time.thread_time()
            logits[window.begin] = reader._session.run(window)
            times[window.begin] = time.thread_time() - began
        windows, running = windows + len(times), running + sum(times.values())
        for count, of_count in quality.items():
            options = Options(top_windows=count or None)
            began = time.thread_time()
            encoded = reader._encoder.encode(asked.question, document, options)
            begins = [window.begin for window in encoded.windows]
            answer = reader._decode(document, encoded, [logits[begin] for begin in begins], options)
            seconds[count] += time.thread_time() - began + sum(times[begin] for begin in begins)
            of_count.add(answer.spans[0].answer, asked)
            if not count:
                scored = [Scored(window, *logits[window.begin]) for window in encoded.windows]
                by_raw.add(decode(document, encoded.offsets, scored, options).spans[0].answer, asked)
    every = quality[0]
    against = f"{by_raw}; the mean against it: {every.less(by_raw)}"
    lines = [
        Line(
            "all windows", len(questions) / seconds[0], "rows/s", note=f"{every}; {windows / len(questions):.1f} a row"
        ),
        Line("all windows, compared by raw score", len(questions) / seconds[0], "rows/s", note=against),
    ]
    for count in TOP:
        note = f"{quality[count]}; {quality[count].less(every)}; {seconds[0] / seconds[count]:.1f} times as fast"
        lines.append(Line(f"--top-windows {count}", len(questions) / seconds[count], "rows/s", note=note))
    hours = {WINDOWS: seconds[0] / windows * WINDOWS} | {count: seconds[count] / len(questions) for count in TOP}
    for count, a_row in hours.items():
        what = f"{CONTRACTS} documents of {WINDOWS} windows, {QUESTIONS} questions, computed: {count} of the windows"
        lines.append(
            Line(what, a_row * CONTRACTS * QUESTIONS / 3600, "hours", note=f"{windows / running:.1f} windows/s")
        )
    return lines


def main() -> None:
    default = common.REPO.parent / "shared" / "data" / "eval.json"
    args = common.arguments(__doc__ or "", file=default, model=common.SHIPPED, questions=100)
    articles, questions = load(args.file)
    random.Random(7).shuffle(questions)
    reader = open_reader(args.model)
    about = {"model": reader.info.name, "precision": reader.info.precision, "file": args.file.name, "threads": 1}
    chosen = questions[:40] if args.quick else questions
    lines = passages(reader, articles, chosen)
    common.report("One answer from five passages", lines, args, questions=len(chosen), **about)
    chosen = questions[: 5 if args.quick else args.questions]
    lines = top_windows(reader, articles, chosen)
    common.report("The best windows of a document", lines, args, questions=len(chosen), articles=ARTICLES, **about)


if __name__ == "__main__":
    main()
