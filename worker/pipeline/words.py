"""Answers moved to whole words, as `align_to_words` did: a token may end within a word. Pure.

A word is what BERT's tokenizer takes for one before it cuts it into tokens: characters between blanks and punctuation;
each Chinese or Japanese ideograph is a word of its own.
"""

from __future__ import annotations

import unicodedata

#: First and last code points of the blocks of ideographs, as in BERT's `_is_chinese_char`.
_IDEOGRAPHS = ((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F))


def to_words(context: str, start: int, end: int) -> tuple[int, int]:
    """The span [start, end) of a context, with the rest of the words in which it begins and ends."""
    while 0 < start < end and _joined(context, start):
        start -= 1
    while start < end < len(context) and _joined(context, end):
        end += 1
    return start, end


def _joined(text: str, place: int) -> bool:
    """Whether the characters before and at a place are of one word."""
    return _in_word(text[place - 1]) and _in_word(text[place])


def _in_word(character: str) -> bool:
    code = ord(character)
    if character.isspace() or unicodedata.category(character)[0] == "P":
        return False
    if code < 128:
        return character.isalnum()
    return not any(first <= code <= last for first, last in _IDEOGRAPHS)
