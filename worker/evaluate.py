"""How well a reader answers a SQuAD-format file: exact match, F1, rows a second.

The mean over all questions, in percent; what one answer is worth is `contract.squad`'s. Measures; prints nothing and
writes nothing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from contract.errors import InputError
from contract.format.job import Answer, Options
from contract.squad import answerable, exact_match, f1
from worker.reader.decode import RowFailure


@dataclass(frozen=True, slots=True)
class Example:
    """A question with its reference answers: none when the context does not answer it."""

    id: str
    question: str
    context: str
    answers: tuple[str, ...]


class Answering(Protocol):
    """What is evaluated: `worker.reader.Reader`, or a stand-in."""

    def answer(self, question: str, context: str, options: Options) -> Answer:
        """As `Reader.answer`."""
        ...


def load_squad(path: Path) -> list[Example]:
    """Read a file in SQuAD format, 1.1 or 2.0. Raises InputError when it is none."""
    remedy = (
        'Expected: {"data": [{"paragraphs": [{"context": ..., "qas": [{"id", "question", "answers": [{"text"}]}]}]}]}'
    )
    try:
        data = json.loads(Path(path).read_text("utf-8"))
        examples = list(_examples(data))
    except OSError as error:
        raise InputError("unreadable", f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError("bad_encoding", f"{path} is not UTF-8: {error}") from error
    except ValueError as error:
        raise InputError("unsupported_format", f"{path} is not JSON: {error}", remedy) from error
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError("unsupported_format", f"{path} is not in SQuAD format: {error!r}", remedy) from error
    if not examples:
        raise InputError("empty_file", f"{path} has no question", remedy)
    return examples


def _examples(data: Any) -> Iterator[Example]:
    for article in data["data"]:
        for paragraph in article["paragraphs"]:
            for qa in paragraph["qas"]:
                texts = () if qa.get("is_impossible") else tuple(answer["text"] for answer in qa["answers"])
                strings = (qa["question"], paragraph["context"], *texts)
                if not all(isinstance(each, str) for each in strings):
                    raise TypeError(f"question {qa['id']!r} has a text that is no string")
                yield Example(str(qa["id"]), qa["question"], paragraph["context"], texts)


def evaluate(
    reader: Answering,
    examples: Sequence[Example],
    options: Options,
    threads: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, float]:
    """How well the examples are answered: `answers_and_quality` without the answers."""
    return answers_and_quality(reader, examples, options, threads, progress)[1]


def answers_and_quality(
    reader: Answering,
    examples: Sequence[Example],
    options: Options,
    threads: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[list[str | None], dict[str, float]]:
    """Ask every example and score the best answer; `progress` is told (done, total) after each. Answers are "" for no
    answer, None for a row that failed.

    A row that fails is counted in `failed` and scores 0, also where no answer would have been right. With unanswerable
    questions in the file there are `no_answer_accuracy`, and EM and F1 over the others, as well.
    """
    began = time.perf_counter()
    predicted: list[str | None] = []
    with ThreadPoolExecutor(threads) as pool:
        for text in pool.map(lambda example: _predict(reader, example, options), examples):
            predicted.append(text)
            if progress:
                progress(len(predicted), len(examples))
    seconds = time.perf_counter() - began
    rate = {"seconds": seconds, "rows_per_second": len(examples) / max(seconds, 1e-9)}
    return predicted, score(examples, predicted) | rate


def _predict(reader: Answering, example: Example, options: Options) -> str | None:
    """The best answer's text, "" for no answer, None for a row that failed."""
    try:
        spans = reader.answer(example.question, example.context, options).spans
    except RowFailure:
        return None
    return spans[0].answer if spans else ""


def score(examples: Sequence[Example], predicted: Sequence[str | None]) -> dict[str, float]:
    """Means over all rows, in percent. `predicted`: "" for no answer, None for a row that failed."""
    pairs = list(zip(examples, predicted, strict=True))
    result: dict[str, float] = {"rows": len(pairs), "failed": sum(text is None for text in predicted)}
    result |= _means(pairs)
    impossible = [pair for pair in pairs if not answerable(pair[0].answers)]
    if impossible:
        result["unanswerable"] = len(impossible)
        result["no_answer_accuracy"] = _means(impossible)["exact_match"]
        possible = [pair for pair in pairs if answerable(pair[0].answers)]
        result |= {f"answerable_{name}": value for name, value in _means(possible).items()}
    return result


def _means(pairs: Sequence[tuple[Example, str | None]]) -> dict[str, float]:
    scores = [(0.0, 0.0) if p is None else (exact_match(p, e.answers), f1(p, e.answers)) for e, p in pairs]
    if not scores:
        return {}
    em, overlap = (100 * sum(column) / len(scores) for column in zip(*scores, strict=True))
    return {"exact_match": em, "f1": overlap}
