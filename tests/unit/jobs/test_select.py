"""Which jobs a list shows, and in which order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from contract.errors import UsageError
from contract.format.job import ModelRef
from contract.ledger.progress import Chunks, Counts, Progress
from producer.jobs.select import ORDERS, JobFilter, pairs, select

ONE = Progress(
    id="a", status="completed", reason=None, created_at=100.0, started_at=None, finished_at=None,
    request_counts=Counts(total=5), chunks=Chunks(), progress=1.0, rows_per_second=None, eta_seconds=None,
    committed_rows=5, attempts=1, top_errors=(), model=ModelRef("small", "", ""), options={}, input={},
    metadata={"team": "search", "night": "1"},
)  # fmt: skip


def job(name: str, **values: Any) -> Progress:
    return replace(ONE, id=name, **values)


JOBS = [
    job("old", created_at=50.0, status="failed", request_counts=Counts(total=9, failed=9)),
    job("new", created_at=200.0, metadata={}, model=ModelRef("large", "", "")),
    job("mid", status="running", progress=0.5, request_counts=Counts(total=7)),
]


def names(**wanted: Any) -> list[str]:
    return [one.id for one in select(JOBS, JobFilter(**wanted))]


def test_all_are_listed_oldest_first():
    assert names() == ["old", "mid", "new"]
    assert names(reverse=True) == ["new", "mid", "old"]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"status": ("running", "failed")}, ["old", "mid"]),
        ({"since": 100.0}, ["mid", "new"]),
        ({"model": "large"}, ["new"]),
        ({"metadata": {"team": "search"}}, ["old", "mid"]),
        ({"metadata": {"team": "search", "night": "2"}}, []),
        ({"status": ("running",), "since": 150.0}, []),
    ],
)
def test_a_filter_leaves_those_that_fit_all_of_it(wanted: dict[str, Any], found: list[str]):
    assert names(**wanted) == found


def test_a_limit_leaves_the_last_of_the_order():
    assert names(limit=2) == ["mid", "new"]
    assert names(limit=2, sort="rows") == ["mid", "old"]
    assert names(limit=9) == ["old", "mid", "new"]


@pytest.mark.parametrize("order", ORDERS)
def test_every_order_keeps_all_jobs(order: str):
    assert sorted(names(sort=order)) == ["mid", "new", "old"]


def test_what_is_equal_in_an_order_is_sorted_by_age():
    assert names(sort="status") == ["new", "old", "mid"]
    assert names(sort="model") == ["new", "old", "mid"]


def test_an_unknown_order_is_told_with_those_there_are():
    with pytest.raises(UsageError) as caught:
        JobFilter(sort="colour")
    assert "created" in (caught.value.remedy or "")


def test_metadata_is_key_and_value():
    assert pairs(["a=1", "b=x=y", "c=", "a=1"]) == {"a": "1", "b": "x=y", "c": ""}


@pytest.mark.parametrize("given", [["a"], ["=x"], [" =x"], ["a=1", "a=2"]])
def test_metadata_that_is_not_is_refused(given: list[str]):
    with pytest.raises(UsageError):
        pairs(given)
