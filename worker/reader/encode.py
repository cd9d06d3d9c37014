"""A question and a context -> the windows that the model sees. Uses the `tokenizers` library, not transformers.

Covers tokenizing, cutting into windows, which of them are scored, and the offsets of context tokens. Does not cover how
windows are compared with the question (`matching`), the model's other inputs, types and masks (`session`), or decoding
the logits (`decode`).

Text is text: "[SEP]" in a context does not become the control token. (With a Unigram vocabulary that lists control
tokens as ordinary pieces it does; no harm: positions, not ids, say where CLS and the context are.)
"""

from __future__ import annotations

import os
import threading
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from contract import machine
from contract.errors import ModelError
from contract.format.job import Options
from worker.reader.decode import QUESTION_TRUNCATED, Ints, RowFailure, Window
from worker.reader.matching import best_windows, words_of
from worker.reader.model import REBUILD, ModelInfo

#: Tokenized contexts that are kept: threads work on neighbouring rows, which often share a context.
CACHED_CONTEXTS = 8
#: Contexts of more characters than this are tokenized one at a time: that takes some 500 bytes a character.
LARGE = 1 << 16

#: Tokens of a character, at most: the longest compatibility form in Unicode has 18 characters of up to four bytes.
MOST_TOKENS = 100

_SPACE = np.array([chr(code).isspace() for code in range(0x3002)])  # U+3000 is the highest; 0x3001 stands for the rest
_FIRST_MARK = 0x300


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """The windows of a row that are scored, in order of the context, and the places of the context's tokens.

    An answer from token i to token j is `context[offsets[i, 0]:offsets[j, 1]]`; offsets are (N, 2) code points for all
    N tokens of the context. It neither begins nor ends with whitespace: a token of whitespace only has crossing
    offsets, so an answer that starts there starts at the next text, and one that ends there ends at the text before.
    """

    windows: tuple[Window, ...]
    offsets: NDArray[np.int32]
    flags: tuple[str, ...]


class Encoder:
    """The tokenizer of one model. Safe to call from several threads."""

    def __init__(self, path: Path, info: ModelInfo) -> None:
        """`path`: tokenizer.json. Raises ModelError if it cannot be read."""
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises bare Exception
            raise ModelError(f"{path} cannot be read: {error}", REBUILD) from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._tokenizer.encode_special_tokens = True
        self._threads_of_its_own = os.environ.get("TOKENIZERS_PARALLELISM") != "false"
        self._info = info
        self._context = lru_cache(CACHED_CONTEXTS)(self._tokenize_context)
        self._words = lru_cache(CACHED_CONTEXTS)(words_of)
        self._large = threading.Lock()

    @property
    def highest_id(self) -> int:
        """The highest token id of the tokenizer."""
        return max(self._tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)

    def encode(self, question: str, context: str, options: Options) -> Encoded:
        """Cut a row into windows of at most `max_seq_len` tokens, or fewer if the model takes fewer.

        Only the question is truncated, to `max_question_len`. The whole context goes into overlapping windows:
        `doc_stride` is the number of tokens that neighbours share, as in SQuAD preparation with transformers
        (`stride` with `return_overflowing_tokens`), not the step from one window to the next. With `top_windows`, only
        so many windows are left: those that match the question best.

        Raises RowFailure: bad_encoding, empty_question, empty_context.
        """
        question_ids = self._tokenize_question(question)
        ids, offsets = self._context(context)
        length = min(options.max_seq_len, self._info.max_positions) - self._info.template.size
        limit = min(options.max_question_len, max(length // 2, length - options.doc_stride - 1))  # less: few positions
        truncated = question_ids[:limit]
        slices = list(_slices(len(ids), length - len(truncated), options.doc_stride))
        if options.top_windows is not None and options.top_windows < len(slices):
            places = [(int(offsets[begin, 0]), int(offsets[end - 1, 1])) for begin, end in slices]
            best = best_windows(question, self._words(context), places, options.top_windows)
            slices = [slices[number] for number in best]
        windows = self._windows(truncated, ids, slices)
        flags = (QUESTION_TRUNCATED,) if len(question_ids) > limit else ()
        return Encoded(tuple(windows), offsets, flags)

    def _windows(self, question: Ints, context: Ints, slices: list[tuple[int, int]]) -> Iterator[Window]:
        template = self._info.template
        head = np.concatenate([template.prefix, question, template.middle], dtype=np.int64)
        for begin, end in slices:
            yield Window(np.concatenate([head, context[begin:end], template.suffix]), len(head), begin, end)

    def _tokenize_question(self, question: str) -> Ints:
        _code_points(question, "question")
        ids = self._tokenizer.encode(question, add_special_tokens=False).ids
        if not ids or not question.strip():
            raise RowFailure("empty_question", "the question has no text that the model can read")
        return _ids(ids)

    def _encoding(self, context: str) -> Encoding:
        """A batch is tokenized without Python's lock: other threads go on. But unless a process has told tokenizers to
        start no threads, as a worker does, it starts some for a batch, and warns if the process forks later."""
        if self._threads_of_its_own:
            return self._tokenizer.encode(context, add_special_tokens=False)
        return self._tokenizer.encode_batch([context], add_special_tokens=False)[0]

    def _tokenize_context(self, context: str) -> tuple[Ints, NDArray[np.int32]]:
        codes = _code_points(context, "context")
        with self._large if len(context) > LARGE else nullcontext():
            encoding = self._encoding(context)
            if len(encoding.ids) > MOST_TOKENS * len(context):
                sizes = f"{len(encoding.ids):,} tokens for {len(context):,} characters"
                raise RowFailure("inference_error", f"the tokenizer gives {sizes}: it is not one for text")
            if not encoding.ids or not context.strip():
                raise RowFailure("empty_context", "the context has no text that the model can read")
            ids, offsets = _ids(encoding.ids), _text_offsets(_pairs(encoding.offsets), codes)
            if len(context) > LARGE:
                del encoding
                machine.trim_memory()
        ids.flags.writeable = offsets.flags.writeable = False  # threads share them
        return ids, offsets


def _ids(ids: Sequence[int]) -> Ints:
    return np.fromiter(ids, np.int64, len(ids))


def _pairs(pairs: Sequence[tuple[int, int]]) -> NDArray[np.int32]:
    """(N, 2): the same as numpy's array, in two fifths of the time."""
    return np.fromiter(chain.from_iterable(pairs), np.int32, 2 * len(pairs)).reshape(-1, 2)


def _slices(tokens: int, room: int, stride: int) -> Iterator[tuple[int, int]]:
    """[begin, end) of each window over the context tokens; neighbours share `stride` of them.

    Options check that the room exceeds the stride, but a model of few positions has less room: then neighbours share
    half a window at most.
    """
    step = room - stride if stride < room else max(1, room // 2)
    begin = 0
    while begin + room < tokens:
        yield begin, begin + room
        begin += step
    yield begin, tokens


def _code_points(text: str, name: str) -> NDArray[np.uint32]:
    """The code points of `text`, (len(text),). Raises RowFailure for a lone surrogate, which is not a character."""
    try:
        return np.frombuffer(text.encode("utf-32-le"), "<u4")
    except UnicodeEncodeError as error:
        raise RowFailure("bad_encoding", f"the {name} has half a surrogate pair at character {error.start}") from error


def _text_offsets(offsets: NDArray[np.int32], codes: NDArray[np.uint32]) -> NDArray[np.int32]:
    """The offsets of tokenizers, (N, 2) -> where answers begin and end at each token, (N, 2).

    SentencePiece and byte-level BPE include the space before a word in its token (tokenizers#663): the start moves
    forward to the next text, the end back to the text before. Normalizers that strip accents leave combining marks out
    of their letter's token: the end moves forward past those, or an answer would lose its last accent.
    """
    outermost = codes.take(offsets - (0, 1), mode="clip")  # of each token, the first code point and the last
    if codes.max() < _FIRST_MARK and not _is_space(outermost).any():
        return offsets  # nearly always: there is neither such a space nor such a mark
    space = _is_space(codes)
    places = np.arange(len(codes) + 1, dtype=np.int32)
    text_before = np.maximum.accumulate(np.where(np.concatenate([[True], ~space]), places, 0))
    starts = _next(~space)[offsets[:, 0]]
    ends = _next(~_marks(codes))[text_before[offsets[:, 1]]]
    return np.stack([starts, ends], axis=1).astype(np.int32)


def _is_space(codes: NDArray[np.uint32]) -> NDArray[np.bool_]:
    return _SPACE.take(codes, mode="clip")


def _next(stop: NDArray[np.bool_]) -> NDArray[np.int32]:
    """For each place 0..n the first place from there on where `stop` holds, or n; (n + 1,)."""
    places = np.arange(len(stop) + 1, dtype=np.int32)
    places[:-1][~stop] = len(stop)
    return np.minimum.accumulate(places[::-1])[::-1]


def _marks(codes: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Which code points are combining marks (Unicode category M), (n,)."""
    marks = np.zeros(len(codes), np.bool_)
    for place in np.flatnonzero(codes >= _FIRST_MARK).tolist():
        marks[place] = unicodedata.category(chr(codes[place]))[0] == "M"
    return marks
