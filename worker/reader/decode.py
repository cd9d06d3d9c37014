"""Logits of a row's windows -> its answer. Pure numpy: no file, no tokenizer, no model.

Covers the choice of the span, its score, the choice of "no answer" and the flags of a row. Does not cover how windows
are cut (`encode`) or scored (`session`). Lengths are in tokens, offsets in Unicode code points.

1. A candidate is a pair of context tokens of one window, start <= end, at most `max_answer_len` long, with text.
2. Neighbouring windows overlap, so a span may be in several of them. It counts in the window that gives it the most
   context, by the smaller of its margins left of the start and right of the end; on a tie in the earlier window. This
   is the rule of BERT's run_squad.py (`_check_is_max_context`), applied to the span instead of its start token, so that
   a span that fits in some window is never lost. BERT's 0.01 x window length is left out: it could prefer a window that
   the span does not fit in.
3. Candidates of all windows compete on the mean of two scores: the raw score, start logit plus end logit; and the
   margin, the raw score less the null score (start plus end logit at CLS) of their own window. Training fixes the
   logits of a window only up to a constant; the null score has the same constant, but is known less well. Measured with
   two readers, the mean is better than either. A model that has not learned its null score has no margins: there they
   compete on the raw score. Ties go to the lower start, then to the shorter span, so no answer depends on the order of
   a search.
4. One softmax, in float64, over the `n_best` candidates of the row and the null score. Candidates with equal offsets
   (an emoji of several byte tokens) are one: the best of them counts.
5. The null score of a row is that of the best span's window, which its margin is measured from; without margins, the
   minimum over windows: a window without the answer says nothing.
6. Alternatives (`top_k`): best first, each the best candidate of the whole row whose offsets do not overlap those
   before it. Text is never compared. The n best mostly overlap, so the search goes beyond them: it finds as many as
   requested, or as fit in the context. An alternative from beyond the n best leaves rule 4 as it is: the first answer
   and its score do not depend on `top_k`. Its weight is that of its logits relative to the first, or its share of what
   the others leave: scores add up to 1 at most.

Flags say why an answer is doubtful, in this order:
- `question_truncated`: the question has more than `max_question_len` tokens; the model saw only its beginning.
- `answer_at_window_edge`: the best span touches the border of its window where the context continues: it may be cut
  off, or chosen without the text beyond. A larger `doc_stride` or `max_seq_len` helps.
- `max_answer_len_hit`: some longer span scores higher than the best that `max_answer_len` allows, which often
  is a fragment of it. A larger `max_answer_len` helps, if such answers are acceptable.

Scores are rounded to 6 decimals: further digits are noise of the machine, and would make re-runs differ. If the rounded
scores of a row's answers would add up to more than 1, all but the first are rounded down.
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

#: The version of the rules above, which every part carries. By rule 1, all models' windows competed on the raw score.
ANSWERING_RULE = 2
#: The share of its window's null score that a candidate is compared without: half, for the mean of the two.
NULL_SHARE = 0.5

QUESTION_TRUNCATED = "question_truncated"
ANSWER_AT_WINDOW_EDGE = "answer_at_window_edge"
MAX_ANSWER_LEN_HIT = "max_answer_len_hit"

_LOWEST = np.finfo(np.float64).min


class RowFailure(Exception):
    """This row cannot be scored; its neighbours can. `error` goes into the row's prediction."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.error = RowError(code, message)


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """The model's input: the question and a slice of the context.

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


class _Slice(NamedTuple):
    """The context tokens [begin, end) of a window and their logits, (T,) each: in float64, in which sums of two float32
    are exact."""

    begin: int
    end: int
    starts: Floats
    ends: Floats


class _Candidate(NamedTuple):
    """A span of context tokens [first, last], both included, its offsets, and the number of its window."""

    score: float
    first: int
    last: int
    begin: int
    end: int
    window: int

    def overlaps(self, other: _Candidate) -> bool:
        return self.begin < other.end and other.begin < self.end


def decode(
    context: str,
    offsets: NDArray[np.int32],
    scored: Sequence[Scored],
    options: Options,
    threshold: float | None = None,
    flags: tuple[str, ...] = (),
    *,
    null_trained: bool = False,
) -> Answer:
    """The answer of one row.

    `offsets` (N, 2): where an answer begins that starts at token n, and where one ends that ends at n (`encode`).
    `scored`: the windows that were scored, in order of the context. `threshold`: "no answer" if the null score exceeds
    the best span's by more than this; None: never. `flags` come before those that are found here. `null_trained`:
    whether the model has learned its null score.

    Raises RowFailure: inference_error if a logit is not finite, empty_context if no token has text.
    """
    _check(scored)
    nulls = [_null(each) for each in scored]
    shifts = [NULL_SHARE * (null - nulls[0]) if null_trained else 0.0 for null in nulls]
    slices = [_slice(each, shift) for each, shift in zip(scored, shifts, strict=True)]
    candidates = _n_best(slices, offsets, options, [])
    if not candidates:
        raise RowFailure("empty_context", "the context has no token that could be an answer")
    best = candidates[0]
    flags += _flags(best, slices, len(offsets), options)
    null_score = nulls[best.window] if null_trained else min(nulls)
    null = null_score - shifts[best.window]

    def margin(candidate: _Candidate) -> float | None:
        own = nulls[candidate.window] - shifts[candidate.window]
        return _round(candidate.score - own) if null_trained else None

    if threshold is not None and null - best.score > threshold:
        probability = _softmax([null, *(candidate.score for candidate in candidates)])[0]
        return Answer((), _round(null_score), _round(probability), flags, margin(best))
    chosen = _choose(candidates, slices, offsets, options)
    scores = _scores(chosen, candidates, null)
    spans = tuple(
        Span(context[c.begin : c.end], c.begin, c.end, score, _round(c.score + shifts[c.window]), margin(c))
        for c, score in zip(chosen, scores, strict=True)
    )
    return Answer(spans, _round(null_score), spans[0].score, flags, spans[0].margin)


def _check(scored: Sequence[Scored]) -> None:
    for window, start, end in scored:
        if start.shape != window.input_ids.shape or end.shape != window.input_ids.shape:
            raise RowFailure("inference_error", f"{start.shape} logits for {window.input_ids.shape} tokens")
        if not (np.isfinite(start).all() and np.isfinite(end).all()):
            raise RowFailure("inference_error", "the model returned a logit that is not a finite number")


def _n_best(
    slices: Sequence[_Slice], offsets: NDArray[np.int32], options: Options, taken: Sequence[_Candidate]
) -> list[_Candidate]:
    """The best `n_best` candidates of all windows that do not overlap those of `taken`: best first, one for each pair
    of offsets."""
    borders = _borders(slices)
    found = [
        _of_window(each, offsets, options, low, high, taken)
        for each, low, high in zip(slices, borders[:-1], borders[1:], strict=True)
    ]
    scores, first, last = (np.concatenate(column) for column in zip(*found, strict=True))
    window = np.repeat(np.arange(len(found)), [len(own) for own, _, _ in found])
    order = np.lexsort((last, first, -scores))[: options.n_best]
    first, last = first[order], last[order]
    columns = scores[order], first, last, offsets[first, 0], offsets[last, 1], window[order]
    by_offsets: dict[tuple[int, int], _Candidate] = {}
    for candidate in map(_Candidate, *(column.tolist() for column in columns)):
        by_offsets.setdefault((candidate.begin, candidate.end), candidate)
    return list(by_offsets.values())


def _null(scored: Scored) -> float:
    """The null score of a window: start and end logit at CLS."""
    return float(scored.start_logits[0]) + float(scored.end_logits[0])


def _slice(scored: Scored, shift: float) -> _Slice:
    """The slice of a window, all of whose spans score less by `shift`."""
    window, start, end = scored
    part = slice(window.first, window.first + window.end - window.begin)
    return _Slice(window.begin, window.end, start[part].astype(np.float64) - shift, end[part].astype(np.float64))


def _borders(slices: Sequence[_Slice]) -> list[float]:
    """Spans with borders[k] <= first + last token < borders[k + 1] count in window k; (W + 1,).

    first + last is twice the middle of a span. As soon as that middle passes the middle of the overlap of two
    neighbours, both margins of the span in the later window exceed its right margin in the earlier one. A span that
    fits in only one of the two is always on that window's side.
    """
    inner = [float(left.end + right.begin) for left, right in pairwise(slices)]
    return [-math.inf, *inner, math.inf]


def _of_window(
    own: _Slice,
    offsets: NDArray[np.int32],
    options: Options,
    low: float,
    high: float,
    taken: Sequence[_Candidate],
) -> tuple[Floats, Ints, Ints]:
    """Scores (C,), first and last tokens (C,) of a window's n best candidates, in any order.

    Column i of the band has the spans that start at token i, row d those of d + 1 tokens: numpy finds the best of each
    column four times as fast as the best of each row.
    """
    width = min(options.max_answer_len, len(own.starts))
    band: Floats = own.starts + _ahead(own.ends, width)
    text = offsets[own.begin : own.end]
    begins, ends = text[:, 0], _ahead(text[:, 1], width)
    barred = begins >= ends  # beyond the window _ahead is 0, which is never an end
    for other in taken:
        barred |= (begins < other.end) & (other.begin < ends)
    if low > -math.inf or high < math.inf:
        middle = 2 * np.arange(own.begin, own.end) + np.arange(width)[:, None]
        barred |= (middle < low) | (middle >= high)
    band[barred] = -np.inf
    longer, first = _top(band, options.n_best)
    return band[longer, first], own.begin + first, own.begin + first + longer


def _ahead(values: NDArray[Number], width: int) -> NDArray[Number]:
    """(width, T) view: column i is values[i : i + width], with zeros beyond the end.

    The same as numpy's sliding_window_view, in an eighth of the time.
    """
    padded = np.zeros(len(values) + width - 1, values.dtype)
    padded[: len(values)] = values
    return np.ndarray((width, len(values)), padded.dtype, padded, strides=padded.strides * 2)


def _top(band: Floats, n: int) -> tuple[Ints, Ints]:
    """Rows and columns of the n highest finite values; ties by column, then by row: by start, then by length.

    The n-th highest of the columns' maxima is a bound that at least n values reach, and few more: only those are
    sorted.
    """
    best = band.max(axis=0)
    bound = max(np.partition(best, -n)[-n], _LOWEST) if len(best) > n else _LOWEST
    row, column = np.divmod(np.flatnonzero(band >= bound), len(best))
    order = np.lexsort((row, column, -band[row, column]))[:n]
    return row[order], column[order]


def _flags(best: _Candidate, slices: Sequence[_Slice], tokens: int, options: Options) -> tuple[str, ...]:
    """`tokens`: of the context, which may go on after the last window."""
    flags = []
    own = slices[best.window]
    if (best.first == own.begin > 0) or (best.last == own.end - 1 < tokens - 1):
        flags.append(ANSWER_AT_WINDOW_EDGE)
    if max(_best_beyond(each, options.max_answer_len) for each in slices) > best.score:
        flags.append(MAX_ANSWER_LEN_HIT)
    return tuple(flags)


def _best_beyond(own: _Slice, length: int) -> float:
    """The best score of the window's spans of more than `length` tokens, in whichever window they count."""
    if len(own.starts) <= length:
        return -math.inf
    return float((np.maximum.accumulate(own.starts)[:-length] + own.ends[length:]).max())


def _softmax(values: Sequence[float]) -> list[float]:
    """Uses `math.exp`: numpy's vector instructions round differently on different processors."""
    top = max(values)
    weights = [math.exp(value - top) for value in values]
    total = math.fsum(weights)
    return [weight / total for weight in weights]


def _choose(
    candidates: Sequence[_Candidate], slices: Sequence[_Slice], offsets: NDArray[np.int32], options: Options
) -> list[_Candidate]:
    """Up to `top_k` candidates that do not overlap, each the best of those left.

    First the n best, in their order; then the n best of those that do not overlap them, and so on.
    """
    chosen: list[_Candidate] = []
    while candidates:
        for candidate in candidates:
            if len(chosen) == options.top_k:
                return chosen
            if not any(candidate.overlaps(other) for other in chosen):
                chosen.append(candidate)
        candidates = _n_best(slices, offsets, options, chosen) if len(chosen) < options.top_k else []
    return chosen


def _scores(chosen: Sequence[_Candidate], candidates: Sequence[_Candidate], null: float) -> list[float]:
    """The scores of the chosen candidates, (len(chosen),): probabilities among the n best and the null score, whose sum
    is 1 at most.

    The score of the first does not depend on how many are chosen. A candidate beyond the n best has the weight of its
    logits, or its share of what the others leave, if that is less.
    """
    weights = _softmax([*(candidate.score for candidate in candidates), null])
    among = dict(zip(candidates, weights, strict=False))
    first = among[chosen[0]]
    beyond = {c: first * math.exp(c.score - chosen[0].score) for c in chosen if c not in among}
    left = max(0.0, 1 - math.fsum(among[c] for c in chosen if c in among))
    shrunk = min(1.0, left / (math.fsum(beyond.values()) or 1.0))
    scores = [among[c] if c in among else beyond[c] * shrunk for c in chosen]
    rounded = [_round(score) for score in scores]
    if _round(math.fsum(rounded)) > 1:  # the first is rounded up by less than a millionth: take it from the others
        rounded[1:] = [math.floor(score * 1e6) / 1e6 for score in scores[1:]]
    return rounded


def _round(value: float) -> float:
    return round(value, 6) + 0.0  # + 0.0 turns -0.0 into 0.0
