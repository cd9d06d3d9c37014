"""Which windows match a question, against BM25 as its formula reads, and each rule of the module's docstring by
example."""

from __future__ import annotations

import math
import re
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.reader.matching import best_windows, words_of


def best(question: str, windows: list[str], count: int = 1) -> list[int]:
    """The best of the windows whose texts are these."""
    ends = list(accumulate(len(window) + 1 for window in windows))
    places = [(end - 1 - len(window), end - 1) for end, window in zip(ends, windows, strict=True)]
    return best_windows(question, words_of(" ".join(windows)), places, count)


def bm25(question: str, windows: list[str]) -> list[float]:
    texts = [re.findall(r"\w+", window.casefold()) for window in windows]
    mean = sum(map(len, texts)) / len(texts)
    scores = []
    for text in texts:
        score = 0.0
        for word in set(re.findall(r"\w+", question.casefold())):
            holding = sum(word in other for other in texts)
            idf = math.log(1 + (len(texts) - holding + 0.5) / (holding + 0.5))
            n = text.count(word)
            score += idf * n * 2.2 / (n + 1.2 * (1 - 0.75 + 0.75 * len(text) / mean))
        scores.append(score)
    return scores


texts = st.lists(st.sampled_from(["tower", "Tower", "built", "the", "sea", "salt", "in", "1874"]), min_size=1).map(
    " ".join
)


@given(texts, st.lists(texts, min_size=1, max_size=6), st.integers(1, 6))
def test_the_best_by_bm25_are_chosen_in_order_of_the_context(question: str, windows: list[str], count: int) -> None:
    chosen, scores = best(question, windows, count), bm25(question, windows)
    assert chosen == sorted(chosen)
    assert len(chosen) == len(set(chosen)) == min(count, len(windows))
    others = [score for window, score in enumerate(scores) if window not in chosen]
    assert min(scores[window] for window in chosen) >= max(others, default=0) - 1e-9


def test_ties_go_to_the_earlier_window() -> None:
    assert best("Who keeps the light?", ["A sea.", "A light.", "A light.", "A light."], 2) == [1, 2]


def test_without_a_word_of_the_question_the_first_windows_are_chosen() -> None:
    assert best("Who?", ["The sea.", "A light.", "A tower."], 2) == [0, 1]
    assert best("...", ["The sea.", "A light."]) == [0]
    assert best("Who?", ["\n \n", "A light.", "A tower."]) == [1], "the first has no text"


def test_a_word_that_all_windows_have_counts_next_to_nothing() -> None:
    assert best("the salt of the sea", ["the the the the of of", "of the salt", "the sea of the"], 2) == [1, 2]


@pytest.mark.parametrize(
    ("question", "windows"),
    [
        ("WO LIEGT DIE STRASSE?", ["Ein Haus.", "Die Straße."]),
        ("東京タワーはどこ?", ["大阪城は大阪にある。", "東京タワーは港区にある。"]),
        ("長城有多長?", ["故宮在北京。", "萬里長城很長。"]),
        ("المنارة", ["البحر مالح", "بنيت المنارة هنا"]),
    ],
)
def test_words_of_other_scripts(question: str, windows: list[str]) -> None:
    assert best(question, windows) == [1]


def test_a_word_lies_in_the_windows_that_it_starts_in() -> None:
    words = words_of("a tower by the sea")
    assert best_windows("tower", words, [(0, 4), (4, 18)], 1) == [0], "tower is cut at its third letter"
    assert best_windows("tower", words, [(0, 2), (2, 18)], 1) == [1]
