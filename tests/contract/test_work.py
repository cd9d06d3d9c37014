"""The work of windows and the curve that prices it: anybody may have written either."""

from __future__ import annotations

from typing import Any

import pytest

from contract.forecast.work import Cost, Work


def test_a_curve_of_a_later_version_is_read_without_what_is_new():
    assert Cost.of({"window": 0.5, "token": 1, "later": 7}) == Cost(window=0.5, token=1)


@pytest.mark.parametrize(
    "values",
    [
        {"window": 0.0},
        {"window": float("inf")},
        {"token": float("nan")},
        {"square": float("inf")},
        {"token": -1.0},
        {"bytes_per_token": 0.0},
        {"window": "1"},
        {"window": None},
        [1.0],
        7,
    ],
)
def test_what_is_no_curve_is_refused(values: Any):
    with pytest.raises((TypeError, ValueError)):
        Cost.of(values)


def test_work_of_windows_is_their_number_tokens_and_squares():
    work = Work.of([3, 4])
    assert work == Work(2, 7, 25)
    assert Cost(window=1.0, token=0.1, square=0.01).seconds(work) == pytest.approx(2.95)
