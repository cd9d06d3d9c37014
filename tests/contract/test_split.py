"""A job that is split by the promise of another: the marks, the counts and the warning."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from contract.evaluation import nothing
from contract.format import part
from contract.format.job import ROW_ERRORS, Answer, ModelRef, Options, Row, RowError, Span, Trust, answered, failed
from contract.format.part import SCORE_BINS, spread
from contract.trust.split import Split, added, chance, marked, split
from tests.making import answer

TRUST = Trust("a-job", 0.5, 0.9, 0.95, 0.91, 0.4, 80, None, ModelRef("tiny", "d1", "int8"), 2, spread([0.5] * 300))
ROWS = [Row(0, "what?", "word"), Row(1, "nothing?", "word"), Row(2, "odd?", "word")]


def predictions() -> list[dict[str, object]]:
    outcomes = [(row, answer(row)) for row in ROWS]
    return [
        failed(row, said, Options()) if isinstance(said, RowError) else answered(row, said, Options())
        for row, said in outcomes
    ]


def test_answers_with_the_score_are_trusted_of_that_model_and_rule_alone():
    split_up = marked(predictions(), TRUST, "d1", 2)
    assert [each["trusted"] for each in split_up] == [True, False, False]
    names = list(split_up[0])
    assert names.index("trusted") == names.index("status") + 1
    assert [{n: v for n, v in each.items() if n != "trusted"} for each in split_up] == predictions()
    for digest, rule, threshold in (("d2", 2, 0.5), ("d1", 3, 0.5), ("d1", 2, 0.50000001)):
        none = marked(predictions(), replace(TRUST, threshold=threshold), digest, rule)
        assert [each["trusted"] for each in none] == [False] * 3
    assert marked(predictions(), None, "d1", 2) == predictions()


def test_a_part_counts_the_trusted_rows_and_all_answers_by_score():
    _, footer = part.encode(marked(predictions(), TRUST, "d1", 2))
    assert (footer.trusted, footer.scores[50], sum(footer.scores)) == (1, 1, 1)
    _, footer = part.encode(marked(predictions()[2:], TRUST))
    assert (footer.trusted, footer.scores) == (0, (0,) * SCORE_BINS), "a part without answers is of such a job too"
    _, footer = part.encode(predictions())
    assert (footer.trusted, footer.scores) == (0, ())


def test_a_footer_with_scores_in_every_bin_fits_into_the_end_of_its_part():
    row, span = Row(0, "what?", "word"), Span("word", 0, 4, 0.0, 3.0)
    outcomes = [answered(row, Answer((span,), 1.0, number / 4096), Options()) for number in range(4096)]
    errors = [failed(row, RowError(code, ""), Options()) for code in ROW_ERRORS]
    sums = {name: [[4096, 4096.123456, 4096.0]] * 10 if name == "bins" else 4096.123456 for name in nothing()}
    about = {
        "evaluation": sums,
        "worker": "w" * 200,
        "model": "d" * 16,
        "numerics": "n" * 300,
        "job": "key-" + "0" * 24,
    }
    data, footer = part.encode(marked([*outcomes, *errors], TRUST, "d1", 2), chunk=10**8, **about)
    assert part.footer(data[-part.FOOTER_BYTES :]) == footer
    assert (footer.trusted, set(footer.scores) <= {40, 41}, sum(footer.scores)) == (2048, True, 4096)


def test_bins_of_a_later_version_are_left_out():
    assert added([(), (1,) * SCORE_BINS, (2,) * SCORE_BINS, (1, 2, 3)]) == (3,) * SCORE_BINS
    assert added([(), (1, 2, 3)]) == ()


def test_scores_that_are_spread_as_before_bring_no_warning_and_others_do():
    random = np.random.default_rng(1)
    before = replace(TRUST, scores=spread(random.beta(4, 2, 5000)))
    alike = split(before, 4000, 2500, spread(random.beta(4, 2, 3000)))
    assert alike == Split(2500, 1500, None, "a-job", 0.5, 0.9, 0.95)
    shifted = split(before, 4000, 2500, spread(random.beta(3, 2, 3000)))
    assert shifted is not None
    assert str(shifted.warning).startswith("the scores are distributed differently from those of job a-job: ")
    few = split(before, 4000, 2, spread(random.beta(3, 2, 5)))
    assert few is not None
    assert few.warning is None, "five rows do not show it"
    assert split(before, 512, 0, (0,) * SCORE_BINS) == Split(0, 512, None, "a-job", 0.5, 0.9, 0.95)
    assert split(None, 4000, 0, ()) is None


@pytest.mark.parametrize(
    ("distance", "first", "second", "wanted"), [(0.2, 100, 100, 0.0314), (0.0564, 3000, 2000, 0.001)]
)
def test_how_often_like_samples_are_so_far_apart(distance: float, first: int, second: int, wanted: float):
    """As by scipy.stats.kstwobign, with the sizes as Stephens has them."""
    assert chance(distance, first, second) == pytest.approx(wanted, rel=0.15)


def test_like_samples_are_rarely_warned_of():
    random = np.random.default_rng(2)
    warned = 0
    for _ in range(2000):
        before = replace(TRUST, scores=spread(random.beta(4, 2, 400)))
        told = split(before, 300, 0, spread(random.beta(4, 2, 300)))
        warned += told is not None and told.warning is not None
    assert warned <= 8
