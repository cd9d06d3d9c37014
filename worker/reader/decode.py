"""Logits of a row's windows -> its answer. Pure numpy: no file, no tokenizer, no model.

Covers the choice of the span, its score, the choice of "no answer" and the flags of a row. Does not cover how windows
are cut (`encode`) or scored (`session`). Lengths are in tokens, offsets in Unicode code points.

1. A candidate is a pair of context tokens of one window, start <= end, at most `max_answer_len` long, with text.
2. Neighbouring windows overlap, so a span may lie in several: it counts in the one that leaves it the most context, by
   the smaller of the margins left of its start and right of its end; on a tie in the earlier one. That is the rule of
   BERT's run_squad.py (`_check_is_max_context`) taken for the span instead of its start token only, so that a span
   which fits in some window is never lost. BERT's 0.01 x window length is left out: it could prefer a window that the
   span does not fit in.
3. Candidates of all windows compete on the raw sum of start and end logit. Ties go to the lower start, then to the
   shorter span: no answer depends on the order in which an algorithm meets them.
4. One softmax, in float64, over the `n_best` candidates of the row and the null score. Candidates with equal offsets
   (an emoji of several byte tokens) are one: the best of them counts.
5. The null score is the minimum over windows of start + end logit at CLS: a window without the answer says nothing.
6. Alternatives (`top_k`): best first, each the best candidate of the whole row whose offsets overlap none of those
   before it. Text is never compared. The n best mostly overlap, so alternatives are looked for beyond them: there are
   as many as asked for, or as fit in the context. One from beyond changes nothing of rule 4: the first answer and its
   score are the same whatever `top_k` is. It weighs as much as its logits do beside the first, or shares what the
   others leave: scores add up to 1 at most.

Flags say why to doubt an answer, in this order:
- `question_truncated`: the question has more than `max_question_len` tokens; the model saw its beginning only.
- `answer_at_window_edge`: the best span touches the border of its window where the context goes on: it may be cut off,
  or chosen without what stands next to it. A larger `doc_stride` or `max_seq_len` helps.
- `max_answer_len_hit`: some longer span has a higher raw score than the best that `max_answer_len` allows, which then
  is often a fragment of it. A larger `max_answer_len` helps, if such answers are wanted.

Scores are rounded to 6 decimals: what lies beyond is noise of the machine, and would make re-runs differ. Where those
of the answers of a row would add up to more than 1 by that, all but the first are rounded down.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from contract.format.job import Answer, Options, RowError, Span

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Logits = NDArray[np.float32]
Number = TypeVar("Number", np.int32, np.float64)

QUESTION_TRUNCATED = "question_truncated"
ANSWER_AT_WINDOW_EDGE = "answer_at_window_edge"
MAX_ANSWER_LEN_HIT = "max_answer_len_hit"

_LOWEST = np.finfo(np.float64).min


class RowFailure(Exception):
    """This row cannot be scored; its neighbours can. `error` is what the row's prediction says."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.error = RowError(code, message)


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """What the model sees at once: question and a slice of the context.

    `input_ids[first]` is context token `begin`; the window holds the context tokens [begin, end).
    """

    input_ids: Ints  #: (S,)
    first: int
    begin: int
    end: int


class Scored(NamedTuple):
    """A window and its logits, (S,) each."""

    window: Window
    start_logits: Logits
    end_logits: Logits


class _Candidate(NamedTuple):
    """A span of context tokens [first, last], both included, and its offsets."""

    score: float
    first: int
    last: int
    begin: int
    end: int

    def overlaps(self, other: _Candidate) -> bool:
        return self.begin < other.end and other.begin < self.end


def decode(
    context: str,
    offsets: NDArray[np.int32],
    scored: Sequence[Scored],
    options: Options,
    threshold: float | None = None,
    flags: tuple[str, ...] = (),
) -> Answer:
    """The answer of one row.

    `offsets` (N, 2): where an answer begins that starts at token n, and ends that ends at n (`encode`).
    `scored`: all windows of the row, in order of the context. `threshold`: "no answer" when the null score exceeds the
    best span's by more than that; None: never. `flags` come first in the answer's.

    Raises RowFailure: inference_error when a logit is not finite, empty_context when no token has text.
    """
    _check(scored)
    null = min(float(start[0]) + float(end[0]) for _, start, end in scored)
    candidates = _n_best(scored, offsets, options, [])
    if not candidates:
        raise RowFailure("empty_context", "the context has no token that could be an answer")
    best = candidates[0]
    flags += _flags(best, scored, options)
    if threshold is not None and null - best.score > threshold:
        probability = _softmax([null, *(candidate.score for candidate in candidates)])[0]
        return Answer((), _round(null), _round(probability), flags)
    chosen = _apart(candidates, scored, offsets, options)
    scores = _scores(chosen, candidates, null)
    spans = tuple(
        Span(context[c.begin : c.end], c.begin, c.end, score, _round(c.score))
        for c, score in zip(chosen, scores, strict=True)
    )
    return Answer(spans, _round(null), spans[0].score, flags)


def _check(scored: Sequence[Scored]) -> None:
    for window, start, end in scored:
        if start.shape != window.input_ids.shape or end.shape != window.input_ids.shape:
            raise RowFailure("inference_error", f"{start.shape} logits came back for {window.input_ids.shape} tokens")
        if not (np.isfinite(start).all() and np.isfinite(end).all()):
            raise RowFailure("inference_error", "the model returned a logit that is not a finite number")


def _n_best(
    scored: Sequence[Scored], offsets: NDArray[np.int32], options: Options, taken: Sequence[_Candidate]
) -> list[_Candidate]:
    """The best `n_best` candidates of all windows that overlap none of `taken`, best first, one for each pair of
    offsets."""
    borders = _borders([window for window, _, _ in scored])
    found = [
        _of_window(each, offsets, options, low, high, taken)
        for each, low, high in zip(scored, borders[:-1], borders[1:], strict=True)
    ]
    scores, first, last = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.lexsort((last, first, -scores))[: options.n_best]
    scores, first, last = scores[order], first[order], last[order]
    columns = scores, first, last, offsets[first, 0], offsets[last, 1]
    one_each: dict[tuple[int, int], _Candidate] = {}
    for candidate in map(_Candidate._make, zip(*(column.tolist() for column in columns), strict=True)):
        one_each.setdefault((candidate.begin, candidate.end), candidate)
    return list(one_each.values())


def _borders(windows: Sequence[Window]) -> list[float]:
    """Window k takes the spans with borders[k] <= first + last token < borders[k + 1]; (W + 1,).

    first + last is twice the middle of a span. For neighbours, both margins of a span in the later window exceed its
    right margin in the earlier one as soon as that middle passes the middle of the overlap; and a span that fits in one
    of two windows only is always on that one's side.
    """
    inner = [float(left.end + right.begin) for left, right in pairwise(windows)]
    return [-math.inf, *inner, math.inf]


def _of_window(
    scored: Scored,
    offsets: NDArray[np.int32],
    options: Options,
    low: float,
    high: float,
    taken: Sequence[_Candidate],
) -> tuple[Floats, Ints, Ints]:
    """Scores (C,), first and last tokens (C,) of a window's candidates: its n best, in no promised order.

    Column i of the band holds the spans that start at token i, row d those of d + 1 tokens: numpy finds the best of
    each column four times as fast as that of each row.
    """
    window, start, end = _context_part(scored)
    width = min(options.max_answer_len, len(start))
    band: Floats = start + _ahead(end, width)
    text = offsets[window.begin : window.end]
    begins, ends = text[:, 0], _ahead(text[:, 1], width)
    allowed = begins < ends  # beyond the window _ahead is 0: never an end
    for other in taken:
        allowed &= (begins >= other.end) | (ends <= other.begin)
    if low > -math.inf or high < math.inf:
        middle = 2 * np.arange(window.begin, window.end) + np.arange(width)[:, None]
        allowed &= (middle >= low) & (middle < high)
    band[~allowed] = -np.inf
    longer, first = _top(band, options.n_best)
    return band[longer, first], window.begin + first, window.begin + first + longer


def _context_part(scored: Scored) -> tuple[Window, Floats, Floats]:
    """Start and end logits of the context tokens only, (T,), in float64: sums of float32 are then exact."""
    window, start, end = scored
    part = slice(window.first, window.first + window.end - window.begin)
    return window, start[part].astype(np.float64), end[part].astype(np.float64)


def _ahead(values: NDArray[Number], width: int) -> NDArray[Number]:
    """(width, T) view: column i is values[i : i + width], with zeros beyond the end.

    What numpy's sliding_window_view gives, in an eighth of its time.
    """
    padded = np.zeros(len(values) + width - 1, values.dtype)
    padded[: len(values)] = values
    return np.ndarray((width, len(values)), padded.dtype, padded, strides=padded.strides * 2)


def _top(band: Floats, n: int) -> tuple[Ints, Ints]:
    """Rows and columns of the n highest finite values; ties by column, then by row: by start, then by length.

    The n-th highest of the columns' maxima is a bound that at least n values reach, and few more: a sort of all is
    spared.
    """
    best = band.max(axis=0)
    bound = max(np.partition(best, -n)[-n], _LOWEST) if len(best) > n else _LOWEST
    row, column = np.divmod(np.flatnonzero(band >= bound), len(best))
    order = np.lexsort((row, column, -band[row, column]))[:n]
    return row[order], column[order]


def _flags(best: _Candidate, scored: Sequence[Scored], options: Options) -> tuple[str, ...]:
    flags = []
    windows = [each.window for each in scored]
    borders = _borders(windows)
    own = next(w for w, high in zip(windows, borders[1:], strict=True) if best.first + best.last < high)
    if (best.first == own.begin > 0) or (best.last == own.end - 1 and own.end < windows[-1].end):
        flags.append(ANSWER_AT_WINDOW_EDGE)
    if max(_best_beyond(each, options.max_answer_len) for each in scored) > best.score:
        flags.append(MAX_ANSWER_LEN_HIT)
    return tuple(flags)


def _best_beyond(scored: Scored, length: int) -> float:
    """Best raw score of the window's spans of more than `length` tokens, whichever window they count in."""
    _, start, end = _context_part(scored)
    if len(start) <= length:
        return -math.inf
    return float((np.maximum.accumulate(start)[:-length] + end[length:]).max())


def _softmax(values: Sequence[float]) -> list[float]:
    """`math.exp` and not numpy's, whose vector instructions round differently from one processor to the next."""
    top = max(values)
    weights = [math.exp(value - top) for value in values]
    total = math.fsum(weights)
    return [weight / total for weight in weights]


def _apart(
    candidates: Sequence[_Candidate], scored: Sequence[Scored], offsets: NDArray[np.int32], options: Options
) -> list[_Candidate]:
    """Up to `top_k` candidates that do not overlap, each the best that is left of all there are.

    Those of the n best come first, in their order; then the n best of what they leave free, and so on.
    """
    kept: list[_Candidate] = []
    while candidates:
        for candidate in candidates:
            if len(kept) == options.top_k:
                return kept
            if not any(candidate.overlaps(other) for other in kept):
                kept.append(candidate)
        candidates = _n_best(scored, offsets, options, kept) if len(kept) < options.top_k else []
    return kept


def _scores(chosen: Sequence[_Candidate], candidates: Sequence[_Candidate], null: float) -> list[float]:
    """The scores of the chosen, (len(chosen),): probabilities among the n best and the null, that sum to 1 at most.

    The first's is the same however many are chosen. Those that are not of the n best weigh as much for their logits,
    or share what the chosen ones leave, if that is less.
    """
    weights = _softmax([*(candidate.score for candidate in candidates), null])
    among = dict(zip(candidates, weights, strict=False))
    first = among[chosen[0]]
    beyond = {c: first * math.exp(c.score - chosen[0].score) for c in chosen if c not in among}
    left = max(0.0, 1 - math.fsum(among[c] for c in chosen if c in among))
    shrunk = min(1.0, left / (math.fsum(beyond.values()) or 1.0))
    scores = [among[c] if c in among else beyond[c] * shrunk for c in chosen]
    rounded = [_round(score) for score in scores]
    if _round(math.fsum(rounded)) > 1:  # the first has less than a millionth too much: the others make up for it
        rounded[1:] = [math.floor(score * 1e6) / 1e6 for score in scores[1:]]
    return rounded


def _round(value: float) -> float:
    return round(value, 6) + 0.0  # + 0.0 turns -0.0 into 0.0
