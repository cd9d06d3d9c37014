"""The cost curve of a model: the time that a window of some length takes a thread, measured at three lengths. Also how
fast a worker's threads are by that curve when it starts."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

import numpy as np

from contract.forecast.work import Cost, Work
from contract.format.job import Options

if TYPE_CHECKING:
    from worker.reader.reader import Reader

#: The lengths in tokens, as far as the model takes them.
_LENGTHS = (64, 192, 384)
#: Seconds after which a worker that starts asks nothing more.
_AT_START = 0.3
_QUESTION = "Who wrote the report about the bridge?"
#: Plain words, so that any tokenizer knows most of them.
_TEXT = (
    "The bridge was opened in the spring of 1937 and carries two roads and a railway over the river. It took four "
    "years to build and cost more than the town had planned. Every summer people come to see it, and in the evening "
    "lamps light it up. The first report about its safety was written by an engineer from the north, who lived there. "
)


def measure(reader: Reader, seconds: float = 1.0) -> Cost:
    """The curve of a reader, by answering rows of one window each in this thread for so many seconds."""
    limit = reader.info.max_positions
    lengths = sorted({min(length, limit) for length in _LENGTHS})
    rows = [(length, _context(reader, length)) for length in lengths]
    works = [Work.of(reader.window_lengths(_QUESTION, context, _options(length))) for length, context in rows]
    took = [_seconds(reader, context, _options(length), seconds / len(rows)) for length, context in rows]
    return _fitted(works, took, _bytes_per_token(reader))


def _options(length: int) -> Options:
    share = max(1, length // 4 - 2)
    return Options(max_seq_len=length, max_question_len=share, doc_stride=share)


def _context(reader: Reader, length: int) -> str:
    """A context that makes one window of nearly so many tokens."""
    characters = length * 12
    text = (_TEXT * (characters // len(_TEXT) + 1))[:characters]
    while len(reader.window_lengths(_QUESTION, text, _options(length))) > 1:
        text = text[: len(text) * 15 // 16]
    return text


def _seconds(reader: Reader, context: str, options: Options, seconds: float) -> float:
    """What an answer takes: the least of as many as fit into the time, three at least. Other work only adds to it."""
    took: list[float] = []
    end = time.perf_counter() + seconds
    while len(took) < 3 or time.perf_counter() < end:
        began = time.perf_counter()
        reader.answer(_QUESTION, context, options)
        took.append(time.perf_counter() - began)
    return min(took)


def _bytes_per_token(reader: Reader) -> float:
    tokens = sum(reader.window_lengths(_QUESTION, _TEXT, _options(reader.info.max_positions))[:1])
    beside = len(_QUESTION.split()) + reader.info.template.size
    return min(1000.0, max(0.1, len(_TEXT) / max(1, tokens - beside)))


def _fitted(works: list[Work], took: list[float], bytes_per_token: float) -> Cost:
    """The curve through these, of the most terms of which none is below zero: a longer window never takes less."""
    sums = np.array([(work.windows, work.tokens, work.squares) for work in works])
    for terms in ([0, 1, 2], [0, 1], [0, 2], [1, 2], [0]):
        found, *_ = np.linalg.lstsq(sums[:, terms], np.array(took), rcond=None)
        if len(terms) <= len(works) and (found >= 0).all():
            break
    curve = np.zeros(3)
    curve[terms] = found
    window, token, square = (float(f"{value:.3g}") for value in curve)
    return Cost(max(window, 1e-6), token, square, round(bytes_per_token, 2))


def at_start(reader: Reader, cost: Cost, pool: ThreadPoolExecutor, threads: int) -> tuple[float, float]:
    """The known questions asked by all threads of a pool at once: their work by the curve, and the seconds that it
    took, summed over the threads; the best of three times. Zero where no question is known."""
    known = reader.info.known_answers
    lengths = [length for each in known for length in reader.window_lengths(each.question, each.context, Options())]

    def ask() -> None:
        for each in known:
            reader.answer(each.question, each.context, Options())

    took: list[float] = []
    while known and len(took) < 3 and sum(took) < _AT_START:
        began = time.perf_counter()
        wait([pool.submit(ask) for _ in range(threads)])
        took.append(time.perf_counter() - began)
    return cost.seconds(Work.of(lengths)) * threads, min(took, default=0.0) * threads
