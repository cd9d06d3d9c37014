"""How well a reader answers a SQuAD-format file: exact match and F1 in percent, rows a second.

The file is read by `contract.squad`, answers are scored by `contract.evaluation`. Measures; prints and writes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract import evaluation, squad
from contract.errors import InputError
from contract.format import nesting
from contract.format.job import Options
from worker.reader.decode import RowFailure
from worker.scoring import Answerer

_EXPECTED = (
    'Expected: {"data": [{"paragraphs": [{"context": ..., "qas": [{"id", "question", "answers": [{"text"}]}]}]}]}'
)


@dataclass(frozen=True, slots=True)
class Example:
    """A question with its reference answers: none when the context does not answer it."""

    id: str
    question: str
    context: str
    answers: tuple[str, ...]


def load_squad(path: Path) -> list[Example]:
    """Read a file in SQuAD format, 1.1 or 2.0. Raises InputError if it has another format."""
    try:
        examples = list(_examples(nesting.loads(Path(path).read_text("utf-8"))))
    except OSError as error:
        raise InputError("unreadable", f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError("bad_encoding", f"{path} is not UTF-8: {error}") from error
    except ValueError as error:
        raise InputError("unsupported_format", f"{path} is not JSON: {error}", _EXPECTED) from error
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError("unsupported_format", f"{path} is not in SQuAD format: {error!r}", _EXPECTED) from error
    if not examples:
        raise InputError("empty_file", f"{path} has no question", _EXPECTED)
    return examples


def _examples(document: Any) -> Iterator[Example]:
    for article in document["data"]:
        for row in squad.questions(article):
            if row.get("paragraphs") == [] or row.get("qas") == []:
                continue
            answers = evaluation.references(row["answers"])
            if answers is None:
                raise TypeError(f"question {row['id']!r} has no list of answers")
            if not isinstance(row["question"], str) or not isinstance(row["context"], str):
                raise TypeError(f"question {row['id']!r} has a text that is not a string")
            yield Example(str(row["id"]), row["question"], row["context"], answers)


def evaluate(
    reader: Answerer,
    examples: Sequence[Example],
    options: Options,
    threads: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, float]:
    """How well the examples are answered: `answers_and_quality` without the answers."""
    return answers_and_quality(reader, examples, options, threads, progress)[1]


def answers_and_quality(
    reader: Answerer,
    examples: Sequence[Example],
    options: Options,
    threads: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[list[str | None], dict[str, float]]:
    """Answer every example, and score the best answers; `progress(done, total)` is called after each.

    Answers are "" for no answer, None for a row that failed. With unanswerable questions in the file the quality also
    has `no_answer_accuracy`, and EM and F1 over the others.
    """
    began = time.perf_counter()
    answers: list[str | None] = []
    with ThreadPoolExecutor(threads) as pool:
        for answer in pool.map(lambda example: _answer(reader, example, options), examples):
            answers.append(answer)
            if progress:
                progress(len(answers), len(examples))
    seconds = time.perf_counter() - began
    rate = {"seconds": seconds, "rows_per_second": len(examples) / max(seconds, 1e-9)}
    return answers, score(examples, answers) | rate


def _answer(reader: Answerer, example: Example, options: Options) -> str | None:
    """The best answer's text, "" for no answer, None for a row that failed."""
    try:
        spans = reader.answer(example.question, example.context, options).spans
    except RowFailure:
        return None
    return spans[0].answer if spans else ""


def score(examples: Sequence[Example], answers: Sequence[str | None]) -> dict[str, float]:
    """Means over all rows, in percent. `answers`: "" for no answer, None for a row that failed, which scores 0."""
    sums = evaluation.nothing()
    for example, answer in zip(examples, answers, strict=True):
        exact, overlap = evaluation.scores(answer, example.answers)
        evaluation.count(sums, example.answers, exact, overlap, failed=answer is None)
    return evaluation.quality(sums)
