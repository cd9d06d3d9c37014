"""Decoding against a search over every span of every window, and each rule of the module's docstring by example."""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.format.job import Answer, Options
from worker.reader.decode import RowFailure, Scored, Window, decode

HEAD = 3  # CLS, one question token, SEP


def scored(begin: int, end: int, starts: list[float], ends: list[float], cls: float = -20.0) -> Scored:
    """A window over context tokens [begin, end) with high logits everywhere outside the context."""
    assert len(starts) == len(ends) == end - begin
    window = Window(np.arange(HEAD + end - begin + 1), HEAD, begin, end)

    def whole(part: list[float]) -> np.ndarray:
        return np.array([cls / 2, 90, 90, *part, 90], np.float32)

    return Scored(window, whole(starts), whole(ends))


def words(n: int) -> tuple[str, np.ndarray]:
    """A context of n one-letter words and its offsets."""
    context = " ".join(chr(ord("a") + i % 26) for i in range(n))
    return context, np.array([(2 * i, 2 * i + 1) for i in range(n)], np.int32)


def one_window(starts: list[float], ends: list[float], cls: float = -20.0, **options: object) -> Answer:
    context, offsets = words(len(starts))
    threshold, null_trained = options.pop("threshold", None), bool(options.pop("null_trained", False))
    window = scored(0, len(starts), starts, ends, cls)
    return decode(context, offsets, [window], Options(**options), threshold, null_trained=null_trained)


# --- the reference: plain loops, no numpy ------------------------------------------------------------------------


@dataclass
class Case:
    context: str
    offsets: np.ndarray
    windows: list[Scored]
    options: Options
    threshold: float | None
    null_trained: bool

    def decoded(self, **changes: int) -> Answer:
        options = replace(self.options, **changes)
        return decode(self.context, self.offsets, self.windows, options, self.threshold, null_trained=self.null_trained)


def fits(window: Window, first: int, last: int) -> bool:
    return window.begin <= first and last < window.end


def least_context(window: Window, first: int, last: int) -> int:
    return min(first - window.begin, window.end - 1 - last)


def owner(windows: list[Scored], first: int, last: int) -> int | None:
    """The window in which the span has most context, the earliest on a tie."""
    holding = [k for k, each in enumerate(windows) if fits(each.window, first, last)]
    return max(holding, key=lambda k: (least_context(windows[k].window, first, last), -k)) if holding else None


def raw(each: Scored, first: int, last: int) -> float:
    window, start, end = each
    return float(start[window.first + first - window.begin]) + float(end[window.first + last - window.begin])


def null_of(each: Scored) -> float:
    return float(each.start_logits[0]) + float(each.end_logits[0])


def compared(case: Case, each: Scored, score: float) -> float:
    """What spans of all windows compete on, but for a constant: the mean of raw score and margin, or the raw score."""
    return score - (null_of(each) - null_of(case.windows[0])) / 2 if case.null_trained else score


def search(case: Case) -> Answer | None:
    """The expected result of decode; None for a row without a candidate."""
    found, length, n = [], case.options.max_answer_len, len(case.offsets)
    for first in range(n):
        for last in range(first, min(n, first + length)):
            k = owner(case.windows, first, last)
            begin, end = int(case.offsets[first, 0]), int(case.offsets[last, 1])
            if k is not None and begin < end:
                each = case.windows[k]
                found.append((-compared(case, each, raw(each, first, last)), first, last, begin, end, k))
    if not found:
        return None
    unique: dict[tuple[int, int], tuple] = {}
    ranked = sorted(found)
    for each in ranked[: case.options.n_best]:
        unique.setdefault(each[3:5], each)
    best = ranked[0]
    null_score = null_of(case.windows[best[5]]) if case.null_trained else min(map(null_of, case.windows))
    null = compared(case, case.windows[best[5]], null_score)

    def margin_of(span: tuple) -> float | None:
        own = case.windows[span[5]]
        return raw(own, span[1], span[2]) - null_of(own) if case.null_trained else None

    margin = margin_of(best)

    def weight(score: float) -> float:
        return math.exp(score + min(best[0], -null))

    total = sum(weight(-each[0]) for each in unique.values()) + weight(null)
    flags = expected_flags(case, best)
    if case.threshold is not None and null + best[0] > case.threshold:
        return Answer((), null_score, weight(null) / total, flags, margin)
    chosen, taken = [], set()
    for each in ranked:  # all of them, not only the n best
        places = set(range(each[3], each[4]))
        if len(chosen) < case.options.top_k and not places & taken:
            taken |= places
            chosen.append(each)
    left = total - sum(weight(-each[0]) for each in chosen if each[3:5] in unique)
    beyond = sum(weight(-each[0]) for each in chosen if each[3:5] not in unique)
    share = {True: 1.0, False: min(1.0, left / beyond) if beyond else 1.0}
    spans = [
        (case.context[e[3] : e[4]], e[3], e[4], share[e[3:5] in unique] * weight(-e[0]) / total,
         raw(case.windows[e[5]], e[1], e[2]), margin_of(e))
        for e in chosen
    ]  # fmt: skip
    return Answer(tuple(spans), null_score, spans[0][3], flags, margin)


def expected_flags(case: Case, best: tuple) -> tuple[str, ...]:
    score, first, last, _, _, k = best
    own, flags = case.windows[k].window, []
    goes_on_before, goes_on_after = own.begin > 0, own.end < len(case.offsets)
    if (first == own.begin and goes_on_before) or (last == own.end - 1 and goes_on_after):
        flags.append("answer_at_window_edge")
    longer = [
        compared(case, each, raw(each, i, j))
        for each in case.windows
        for i in range(each.window.begin, each.window.end)
        for j in range(i + case.options.max_answer_len, each.window.end)
    ]
    if longer and max(longer) > -score:
        flags.append("max_answer_len_hit")
    return tuple(flags)


def case_of(dice: random.Random) -> Case:
    """Few tokens, few distinct logits: most cases have ties, many have several windows and tokens without text."""
    n, room = dice.randint(1, 16), dice.randint(1, 10)
    step = dice.randint(1, room)
    logit: Callable[[], float] = dice.choice(
        [lambda: float(dice.randint(-1, 1)), lambda: -3.0, lambda: float(np.float32(dice.uniform(-12, 12)))]
    )
    windows, begin, end = [], 0, 0
    while end < n:
        end = min(begin + room, n)
        starts, ends = ([logit() for _ in range(begin, end)] for _ in range(2))
        windows.append(scored(begin, end, starts, ends, dice.randint(-6, 6)))
        begin += step
    if dice.random() < 0.3:  # only some of the windows were scored
        windows = sorted(dice.sample(windows, dice.randint(1, len(windows))), key=lambda each: each.window.begin)
    context, offsets = words(n)
    for i in [dice.randrange(n) for _ in range(dice.randint(0, 3))]:
        offsets[i] = dice.choice([(2 * i, 2 * i), (2 * i + 1, 2 * i), tuple(offsets[max(i - 1, 0)])])
    n_best = dice.randint(1, 12)
    options = Options(max_answer_len=dice.randint(1, 8), n_best=n_best, top_k=dice.randint(1, n_best), doc_stride=1)
    threshold = dice.choice([None, -4.0, 0.0, 2.0])
    return Case(context, offsets, windows, options, threshold, null_trained=dice.random() < 0.5)


#: Every throw of the dice is Hypothesis's, which makes a case that fails as small as it can.
cases = st.randoms(use_true_random=False).map(case_of)


def equals_a_search(case: Case) -> None:
    expected = search(case)
    if expected is None:
        with pytest.raises(RowFailure, match="empty_context"):
            case.decoded()
        return
    answer = case.decoded()
    assert answer.flags == expected.flags
    assert answer.null_score == pytest.approx(expected.null_score, abs=1e-6)
    assert answer.score == pytest.approx(expected.score, abs=1e-6)
    assert [(s.answer, s.start, s.end) for s in answer.spans] == [each[:3] for each in expected.spans]
    assert answer.margin == pytest.approx(expected.margin, abs=1e-6)
    for span, (*_, probability, score, margin) in zip(answer.spans, expected.spans, strict=True):
        assert span.score == pytest.approx(probability, abs=1e-6)
        assert span.raw_score == pytest.approx(score, abs=1e-6)
        assert span.margin == pytest.approx(margin, abs=1e-6)


@pytest.mark.slow
@settings(max_examples=250, deadline=None)
@given(cases)
def test_equals_a_search_over_every_span_of_every_window(case: Case) -> None:
    equals_a_search(case)


@pytest.mark.slow
def test_equals_a_search_in_thousands_of_cases() -> None:
    """Hypothesis takes ten times as long to make a case as the search takes."""
    for seed in range(3000):
        equals_a_search(case_of(random.Random(seed)))


@pytest.mark.slow
@settings(max_examples=500, deadline=None)
@given(cases)
def test_invariants_of_every_answer(case: Case) -> None:
    try:
        answer = case.decoded()
    except RowFailure:
        return
    assert 0 <= answer.score <= 1
    assert math.fsum(span.score for span in answer.spans) <= 1 + 1e-12
    assert len(answer.spans) <= case.options.top_k
    for span in answer.spans:
        assert case.context[span.start : span.end] == span.answer != ""
    for i, span in enumerate(answer.spans):
        assert all(span.end <= other.start or other.end <= span.start for other in answer.spans[:i])
    values = [answer.score, answer.null_score, *(v for s in answer.spans for v in (s.start, s.end, s.score))]
    assert json.loads(json.dumps(values, allow_nan=False)) == values
    assert {type(v) for v in values} <= {int, float}
    assert answer == case.decoded()


@pytest.mark.slow
@settings(max_examples=500, deadline=None)
@given(cases)
def test_top_k_gives_as_many_as_there_are_and_the_same_first(case: Case) -> None:
    """As long as a token with text is free, there is another answer: a single token is a span."""

    case = replace(case, threshold=None)

    def ask(top_k: int) -> Answer:
        return case.decoded(top_k=top_k, n_best=max(top_k, case.options.n_best))

    try:
        answer = ask(case.options.top_k)
    except RowFailure:
        return
    if len(answer.spans) < case.options.top_k:
        taken = {place for span in answer.spans for place in range(span.start, span.end)}
        tokens = {token for each in case.windows for token in range(each.window.begin, each.window.end)}
        texts = [tuple(case.offsets[token].tolist()) for token in tokens]
        assert all(taken & set(range(begin, end)) for begin, end in texts if begin < end)
    alone = ask(1).spans[0]
    first = answer.spans[0]
    assert first == alone, "its score too"
    assert answer.score == alone.score
    fewer = ask(max(1, case.options.top_k - 1)).spans
    assert [(s.start, s.end) for s in answer.spans[: len(fewer)]] == [(s.start, s.end) for s in fewer]


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 40), st.integers(1, 12), st.data())
def test_each_span_that_fits_in_a_window_counts_in_exactly_one(n: int, room: int, data: st.DataObject) -> None:
    """With raised logits in all of its windows, a span is found, with its own score."""
    step = data.draw(st.integers(1, room))
    begins = [*range(0, max(n - room, 0), step)]
    begins.append(begins[-1] + step if begins else 0)
    slices = [(b, min(b + room, n)) for b in begins]
    begin, end = data.draw(st.sampled_from(slices))
    first = data.draw(st.integers(begin, end - 1))
    last = data.draw(st.integers(first, end - 1))
    windows = [
        scored(b, e, [9.0 * (i == first) for i in range(b, e)], [9.0 * (i == last) for i in range(b, e)])
        for b, e in slices
    ]
    context, offsets = words(n)
    answer = decode(context, offsets, windows, Options(max_answer_len=12))
    assert (answer.spans[0].start, answer.spans[0].end) == (offsets[first, 0], offsets[last, 1])
    assert answer.spans[0].raw_score == 18


# --- each rule by example ----------------------------------------------------------------------------------------


def test_two_independent_argmaxes_would_end_before_they_start() -> None:
    answer = one_window([0, 0, 0, 9], [9, 0, 0, 1])
    assert (answer.spans[0].answer, answer.spans[0].raw_score) == ("d", 10)  # not d..a, which scores 18


def test_question_cls_and_separators_never_answer() -> None:
    assert one_window([-50, -60], [-50, -60]).spans[0].answer == "a"  # they have 90 each


def test_an_answer_is_cut_at_max_answer_len_and_says_so() -> None:
    limited = one_window([5, 0, 0, 0], [0, 0, 0, 5], max_answer_len=3)
    assert limited.spans[0].answer != "a b c d"
    assert limited.flags == ("max_answer_len_hit",)
    assert one_window([5, 0, 0, 0], [0, 0, 0, 5], max_answer_len=4).flags == ()


def test_max_answer_len_beyond_the_context_is_no_problem() -> None:
    assert one_window([5, 0], [0, 5], max_answer_len=1000).spans[0].answer == "a b"


@settings(max_examples=300, deadline=None)
@given(cases)
def test_in_one_window_margins_change_nothing(case: Case) -> None:
    """Not a digit: a context of one window has the answer that it had by rule 1."""
    alone = replace(case, windows=case.windows[:1])
    try:
        trained, untrained = (replace(alone, null_trained=each).decoded() for each in (True, False))
    except RowFailure:
        return
    spans = tuple(replace(span, margin=None) for span in trained.spans)
    assert replace(trained, spans=spans, margin=None) == untrained


def test_windows_compete_on_the_mean_of_raw_score_and_margin_if_the_null_score_was_learned() -> None:
    """A window whose null score is higher by 6 has to be better by 3."""
    context, offsets = words(4)
    left = scored(0, 2, [4, -9], [4, -9], cls=-2)
    for better, answer in ((2.5, "a"), (3.5, "c")):
        right = scored(2, 4, [4 + better, -9], [4, -9], cls=4)
        trained = decode(context, offsets, [left, right], Options(), null_trained=True)
        assert trained.spans[0].answer == answer
        own = {"a": (8, 10, -2), "c": (11.5, 7.5, 4)}[answer]
        assert (trained.spans[0].raw_score, trained.margin, trained.null_score) == own
        assert decode(context, offsets, [left, right], Options()).spans[0].answer == "c"


def test_no_answer_if_the_best_spans_margin_is_too_low() -> None:
    context, offsets = words(4)
    windows = [scored(0, 2, [1, -9], [1, -9], cls=4), scored(2, 4, [5, -9], [5, -9], cls=11)]
    answer = decode(context, offsets, windows, Options(), threshold=0.9, null_trained=True)
    assert (answer.spans, answer.margin, answer.null_score) == ((), -1, 11)
    answer = decode(context, offsets, windows, Options(), threshold=1.0, null_trained=True)
    assert [span.answer for span in answer.spans] == ["c"]


def test_windows_compete_on_raw_logits_not_on_their_own_softmax() -> None:
    context, offsets = words(8)
    sure_but_weak = scored(0, 4, [5, -9, -9, -9], [5, -9, -9, -9])
    torn_but_strong = scored(4, 8, [8, 7.9, 7.9, -9], [8, 7.9, 7.9, -9])
    answer = decode(context, offsets, [sure_but_weak, torn_but_strong], Options())
    assert (answer.spans[0].answer, answer.spans[0].raw_score) == ("e", 16)


def test_a_span_seen_twice_counts_where_it_has_most_context() -> None:
    context, offsets = words(8)
    cut_off = scored(0, 5, [0, 0, 0, 0, 30], [0, 0, 0, 0, 0])  # "e" is the last token here,
    inside = scored(2, 8, [0, 0, 1, 0, 0, 0], [0, 0, 1, 0, 0, 0])  # and has two on its left here
    answer = decode(context, offsets, [cut_off, inside], Options())
    assert (answer.spans[0].answer, answer.spans[0].raw_score) == ("e", 2)
    assert answer.flags == ()


def test_an_answer_at_the_edge_of_its_window_says_so_unless_the_context_ends_there() -> None:
    context, offsets = words(8)
    left, right = scored(0, 4, [0] * 3 + [9], [0] * 3 + [9]), scored(4, 8, [0] * 4, [0] * 4)
    assert decode(context, offsets, [left, right], Options()).flags == ("answer_at_window_edge",)
    left, right = scored(0, 4, [0] * 4, [0] * 4), scored(4, 8, [9] + [0] * 3, [9] + [0] * 3)
    assert decode(context, offsets, [left, right], Options()).flags == ("answer_at_window_edge",)
    left, right = scored(0, 4, [9] + [0] * 3, [9] + [0] * 3), scored(4, 8, [0] * 4, [0] * 4)
    assert decode(context, offsets, [left, right], Options()).flags == ()
    left, right = scored(0, 4, [0] * 4, [0] * 4), scored(4, 8, [0] * 3 + [9], [0] * 3 + [9])
    assert decode(context, offsets, [left, right], Options()).flags == ()


def test_the_context_goes_on_after_the_last_window_if_not_all_were_scored() -> None:
    context, offsets = words(9)
    first, middle = scored(0, 3, [0] * 3, [0] * 3), scored(3, 6, [0, 0, 9], [0, 0, 9])
    assert decode(context, offsets, [first, middle], Options()).flags == ("answer_at_window_edge",)
    assert decode(context, offsets[:6], [first, middle], Options()).flags == ()


def test_ties_go_to_the_lower_start_then_to_the_shorter_span() -> None:
    answer = one_window([1, 1, 1, 1], [1, 1, 1, 1], top_k=20)
    assert [span.answer for span in answer.spans] == ["a", "b", "c", "d"]


def test_ties_across_windows_go_to_the_lower_start() -> None:
    context, offsets = words(6)
    windows = [scored(0, 3, [1, 1, 1], [1, 1, 1]), scored(3, 6, [1, 1, 1], [1, 1, 1])]
    assert decode(context, offsets, windows, Options()).spans[0].start == 0


def test_score_is_one_softmax_over_the_n_best_and_null() -> None:
    answer = one_window([1, -9], [1, -9], cls=2.0, n_best=1)
    assert (answer.score, answer.spans[0].score, answer.null_score) == (0.5, 0.5, 2.0)


def test_scores_of_huge_logits_do_not_overflow() -> None:
    assert one_window([3e37, -3e37], [3e37, -3e37], cls=-3e37).score == 1.0


def test_a_null_score_that_was_not_learned_is_the_least_over_windows() -> None:
    context, offsets = words(4)
    windows = [scored(0, 2, [1, 1], [1, 1], cls=9), scored(2, 4, [1, 1], [1, 1], cls=-3)]
    answer = decode(context, offsets, windows, Options(), threshold=0.0)
    assert answer.null_score == -3
    assert answer.spans  # one window that holds the answer is enough


def test_a_margin_is_the_raw_score_less_the_null_score_of_the_spans_own_window() -> None:
    context, offsets = words(4)
    windows = [scored(0, 2, [4, -9], [4, -9], cls=3), scored(2, 4, [5, -9], [5, -9], cls=2)]
    answer = decode(context, offsets, windows, Options(top_k=2), null_trained=True)
    assert [(span.raw_score, span.margin) for span in answer.spans] == [(10, 8), (8, 5)]
    assert answer.margin == 8
    untrained = decode(context, offsets, windows, Options(top_k=2))
    assert [untrained.margin, *(span.margin for span in untrained.spans)] == [None] * 3


def test_no_answer_has_the_margin_of_the_best_span() -> None:
    answer = one_window([1, 0], [1, 0], cls=5.0, threshold=0.0, null_trained=True)
    assert (answer.spans, answer.margin) == ((), -3)


@pytest.mark.parametrize(
    ("threshold", "answered"), [(None, True), (0.0, False), (2.9, False), (3.0, True), (-9.0, False)]
)
def test_no_answer_when_null_exceeds_the_best_by_more_than_the_threshold(
    threshold: float | None, answered: bool
) -> None:
    answer = one_window([1, 0], [1, 0], cls=5.0, threshold=threshold)
    assert bool(answer.spans) == answered
    assert answer.null_score == 5.0
    probability = 1 / (math.exp(-3) + math.exp(-4) + math.exp(-5) + 1)
    assert (answer.score == pytest.approx(probability, abs=1e-6)) == (not answered)


def test_equal_text_at_two_places_is_two_answers() -> None:
    offsets = np.array([(0, 2), (3, 5), (6, 8)], np.int32)
    answer = decode("No no NO", offsets, [scored(0, 3, [3, 2, 1], [3, 2, 1])], Options(top_k=3, max_answer_len=1))
    assert [(s.answer, s.start) for s in answer.spans] == [("No", 0), ("no", 3), ("NO", 6)]


def test_alternatives_that_overlap_a_better_answer_are_dropped() -> None:
    answer = one_window([5, 4, 0, 3], [4, 5, 0, 3], top_k=5)
    assert [span.answer for span in answer.spans] == ["a b", "d", "c"]


def test_alternatives_are_found_though_the_n_best_all_overlap() -> None:
    """24 spans of one place beat all others; the next place comes after them."""
    starts, ends = [0.0] * 60, [0.0] * 60
    starts[20:24], ends[24:30] = [9.0] * 4, [9.0] * 6
    starts[50] = ends[50] = 2.0
    answer = one_window(starts, ends, top_k=3, n_best=20)
    assert len(answer.spans) == 3
    assert answer.spans[1].raw_score < answer.spans[0].raw_score == 18
    assert sum(span.score for span in answer.spans) <= 1
    assert one_window(starts, ends).spans[0].answer == answer.spans[0].answer


def test_scores_add_up_to_one_at_most_if_alternatives_come_from_beyond_the_n_best() -> None:
    answer = one_window([0] * 12, [0] * 12, cls=-50.0, top_k=2, n_best=2, max_answer_len=12)
    assert [span.answer for span in answer.spans] == ["a", "b"]
    assert [span.score for span in answer.spans] == [0.5, 0.5]  # a and a b share it, and b has what a leaves
    answer = one_window([0] * 12, [0] * 12, cls=-50.0, top_k=3, n_best=3, max_answer_len=12)
    assert [span.score for span in answer.spans] == [pytest.approx(1 / 3, abs=1e-6)] * 3  # a; two share the rest


def test_rounding_makes_no_scores_that_add_up_to_more_than_one() -> None:
    answer = one_window([0] * 6, [0] * 6, cls=-50.0, top_k=6, max_answer_len=1)
    assert [span.score for span in answer.spans] == [0.166667] + [0.166666] * 5
    assert answer.score == 0.166667 == one_window([0] * 6, [0] * 6, cls=-50.0, max_answer_len=1).score
    assert one_window([0] * 3, [0] * 3, cls=-50.0, top_k=2, max_answer_len=1).score == 0.333333


def test_spans_of_equal_offsets_are_one_candidate() -> None:
    """An emoji of four byte tokens: its probability must not be shared among ten pairs of tokens."""
    answer = decode("😀", np.array([(0, 1)] * 4, np.int32), [scored(0, 4, [1] * 4, [1] * 4, cls=2)], Options(top_k=9))
    assert [(s.answer, s.score) for s in answer.spans] == [("😀", 0.5)]


def test_a_token_without_text_can_begin_and_end_a_span_but_not_be_one() -> None:
    offsets = np.array([(0, 0), (0, 2), (3, 2)], np.int32)  # the first and the last are spaces around "ab"
    answer = decode(" ab "[1:], offsets, [scored(0, 3, [9, 0, 0], [9, 0, 9])], Options())
    assert (answer.spans[0].answer, answer.spans[0].raw_score) == ("ab", 18)


def test_a_context_without_any_text_is_a_row_error() -> None:
    with pytest.raises(RowFailure) as failure:
        decode("  ", np.array([(2, 0), (2, 0)], np.int32), [scored(0, 2, [9, 9], [9, 9])], Options())
    assert failure.value.error.code == "empty_context"


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("where", [0, 1, 4])
@pytest.mark.parametrize("which", [1, 2])
def test_a_logit_that_is_not_finite_is_a_row_error_wherever_it_is(bad: float, where: int, which: int) -> None:
    context, offsets = words(4)
    windows = [scored(0, 2, [1, 1], [1, 1]), scored(2, 4, [1, 1], [1, 1])]
    windows[1][which][where] = bad
    with pytest.raises(RowFailure) as failure:
        decode(context, offsets, windows, Options())
    assert failure.value.error.code == "inference_error"


def test_logits_of_another_length_than_the_window_are_a_row_error() -> None:
    context, offsets = words(4)
    window, start, end = scored(0, 4, [1] * 4, [1] * 4)
    with pytest.raises(RowFailure, match="inference_error"):
        decode(context, offsets, [Scored(window, start, end[:-1])], Options())


def test_flags_of_the_encoder_come_first() -> None:
    context, offsets = words(4)
    window = scored(0, 4, [5, 0, 0, 0], [0, 0, 0, 5])
    answer = decode(context, offsets, [window], Options(max_answer_len=2), None, ("question_truncated",))
    assert answer.flags == ("question_truncated", "max_answer_len_hit")


def test_values_are_rounded_to_six_decimals_and_zero_has_no_sign() -> None:
    answer = one_window([0.12345678, -9], [-0.12345679, -9], cls=-1e-8)
    assert (answer.spans[0].raw_score, answer.null_score) == (0.0, 0.0)
    assert "-" not in json.dumps([answer.spans[0].raw_score, answer.null_score])
    assert answer.score == round(answer.score, 6)


def test_a_window_of_384_takes_well_under_a_millisecond() -> None:
    random = np.random.default_rng(0)
    context, offsets = words(363)
    window = Scored(Window(np.zeros(384, np.int64), 20, 0, 363), *random.standard_normal((2, 384)).astype(np.float32))
    times = []
    for _ in range(30):
        began = time.perf_counter()
        decode(context, offsets, [window], Options())
        times.append(time.perf_counter() - began)
    assert min(times) < 0.001  # 0.17 ms on an idle core
