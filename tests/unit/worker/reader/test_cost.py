"""The cost curve of a model, measured."""

from __future__ import annotations

import time
from typing import Any

import pytest

from contract.forecast.work import Cost, Work
from contract.format.job import Options
from tests import REPO
from worker.reader.cost import _fitted, measure
from worker.reader.open import open_reader
from worker.reader.reader import Reader

CURVE = Cost(window=2e-3, token=5e-5, square=2e-7, bytes_per_token=4.5)


@pytest.fixture(scope="module")
def reader() -> Reader:
    return open_reader(REPO / "models" / "minilm-l6-qa")


class Clocked:
    """A reader whose answers take exactly what a curve says, by a clock of its own."""

    def __init__(self, reader: Reader) -> None:
        self.info = reader.info
        self.window_lengths = reader.window_lengths
        self.now = 0.0

    def answer(self, question: str, context: str, options: Options) -> None:
        self.now += CURVE.seconds(Work.of(self.window_lengths(question, context, options)))


def test_the_curve_is_the_one_that_answers_follow(reader: Reader, monkeypatch: pytest.MonkeyPatch):
    clocked: Any = Clocked(reader)
    monkeypatch.setattr(time, "perf_counter", lambda: clocked.now)
    curve = measure(clocked)
    assert (curve.window, curve.token, curve.square) == pytest.approx((2e-3, 5e-5, 2e-7), rel=0.02)
    assert 4.0 < curve.bytes_per_token < 5.0


def test_no_term_is_below_zero():
    works = [Work.of([length]) for length in (64, 192, 384)]
    for took in ([1.0, 0.9, 0.8], [0.1, 0.5, 0.7], [0.1, 0.2, 0.9], [0.3, 0.3, 0.3]):
        curve = _fitted(works, took, 4.0)
        assert min(curve.window, curve.token, curve.square) >= 0.0


def test_a_measured_curve_grows_with_the_window(reader: Reader):
    curve = measure(reader, seconds=0.05)
    assert 0.0 < curve.seconds(Work.of([64])) < curve.seconds(Work.of([384]))
