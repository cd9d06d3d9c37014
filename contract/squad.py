"""How an answer is scored against reference answers: exact match and F1 as in the official SQuAD scripts. Pure.

Lower case, punctuation and articles stripped, the best over the references. No references ask for no answer.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalize(text: str) -> str:
    """Lower case, without ASCII punctuation and English articles, single spaces."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def answerable(references: Sequence[str]) -> bool:
    """A reference of nothing but punctuation and articles asks for nothing: the official script drops it."""
    return any(normalize(reference) for reference in references)


def exact_match(predicted: str, references: Sequence[str]) -> float:
    """1.0 if the prediction equals a reference, else 0.0; without references, if it is empty."""
    return max(float(normalize(predicted) == normalize(reference)) for reference in _gold(references))


def f1(predicted: str, references: Sequence[str]) -> float:
    """Overlap of words with the closest reference, 0.0 to 1.0; without references, 1.0 if empty."""
    return max(_f1(normalize(predicted).split(), normalize(reference).split()) for reference in _gold(references))


def _gold(references: Sequence[str]) -> Sequence[str]:
    return [reference for reference in references if normalize(reference)] or [""]


def _f1(predicted: list[str], reference: list[str]) -> float:
    if not predicted or not reference:
        return float(predicted == reference)
    common = sum((Counter(predicted) & Counter(reference)).values())
    return 2 * common / (len(predicted) + len(reference))
