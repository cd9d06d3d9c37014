"""Answers are moved to whole words."""

from __future__ import annotations

import pytest

from worker.pipeline.words import to_words


@pytest.mark.parametrize(
    ("context", "piece", "whole"),
    [
        ("born in 1606 in Leiden", "160", "1606"),
        ("born in 1606 in Leiden", "606 in Lei", "1606 in Leiden"),
        ("Zürich, Ørsted", "rste", "Ørsted"),
        ("a well-known name", "know", "known"),
        ("(Leiden)", "eide", "Leiden"),
        ("costs $100 now", "10", "100"),
        ("東京大学にある", "京", "京"),
        ("whole words", "whole words", "whole words"),
        ("e\u0301te\u0301 fini", "e\u0301te", "e\u0301te\u0301"),
    ],
)
def test_the_rest_of_a_word_is_added(context: str, piece: str, whole: str) -> None:
    at = context.index(piece)
    start, end = to_words(context, at, at + len(piece))
    assert context[start:end] == whole


def test_an_empty_span_stays_empty() -> None:
    assert to_words("words", 2, 2) == (2, 2)
