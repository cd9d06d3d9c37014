"""Which windows of a long context match its question best, by their words: BM25 over the windows of that one row. Pure.

Covers splitting text into words, and the choice of windows. Does not cover how windows are cut (`encode`). The choice
depends on question, context and options only, as every answer does.

A word is a run of letters and digits, case folded; where writing puts no spaces between words (Chinese, Japanese, Thai
and its neighbours), a letter. It lies in the windows that it starts in. A word of the question counts once, and the
more, the fewer windows have it: words that all of them have, such as "the", count next to nothing.
"""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: BM25's usual parameters: how soon repetitions of a word stop counting, and how much the length of a window does.
K1, B = 1.2, 0.75

#: Thai, Lao, Burmese, Khmer, kana, Chinese characters.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_WORD = re.compile(f"[{_UNSPACED}]|[^\\W{_UNSPACED}]+")


@dataclass(frozen=True, slots=True, eq=False)
class Words:
    """The words of a context in order: where each starts, in code points, and its number."""

    starts: NDArray[np.int32]  #: (N,)
    numbers: NDArray[np.int32]  #: (N,)
    vocabulary: dict[str, int]


def words_of(context: str) -> Words:
    """The words of a context."""
    vocabulary: dict[str, int] = {}
    starts, numbers = array("i"), array("i")
    for start, word in _words(context):
        starts.append(start)
        numbers.append(vocabulary.setdefault(word, len(vocabulary)))
    return Words(np.array(starts, np.int32), np.array(numbers, np.int32), vocabulary)


def best_windows(question: str, words: Words, places: Sequence[tuple[int, int]], count: int) -> list[int]:
    """The numbers of the `count` windows that match the question best, in order; ties go to the earlier window.

    `places`: where each window begins and ends in the context, in code points. If none has a word of the question,
    these are the first windows with words.
    """
    slices = [np.searchsorted(words.starts, place) for place in places]
    asked = dict.fromkeys(word for _, word in _words(question))
    numbers = [words.vocabulary[word] for word in asked if word in words.vocabulary]
    counts = np.array([[np.count_nonzero(words.numbers[a:b] == n) for n in numbers] for a, b in slices], np.float64)
    lengths = np.array([b - a for a, b in slices], np.float64)
    scores = _bm25(counts.reshape(len(places), len(numbers)), lengths)
    # A stable sort: ties stay in order. A window without a word may have no text at all.
    best = sorted(range(len(places)), key=lambda window: (-scores[window], lengths[window] == 0))
    return sorted(best[:count])


def _bm25(counts: NDArray[np.float64], lengths: NDArray[np.float64]) -> list[float]:
    """The score of each window, (W,), of the question's words in it, (W, Q), and its length in words, (W,)."""
    windows = len(lengths)
    holding = np.count_nonzero(counts, axis=0).tolist()
    weights = np.array([math.log1p((windows - n + 0.5) / (n + 0.5)) for n in holding])
    saturation = K1 * (1 - B + B * lengths / max(lengths.mean(), 1.0))
    gains = weights * counts * (K1 + 1) / (counts + saturation[:, None])
    return [math.fsum(row) for row in gains.tolist()]


def _words(text: str) -> Iterator[tuple[int, str]]:
    return ((match.start(), match[0].casefold()) for match in _WORD.finditer(text))
