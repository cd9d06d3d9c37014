"""Times as people write and read them."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from contract.errors import UsageError
from producer.times import dated, iso, local, moment, span


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("10m", 600), ("2h", 7200), ("1.5d", 129600), ("4w", 2419200)]
)
def test_a_span(text: str, seconds: float):
    assert span(text) == seconds
    assert moment(text, now=10_000_000.0) == 10_000_000.0 - seconds


@pytest.mark.parametrize("text", ["", "3", "d", "-3d", "3 d", "3y", "1e3d"])
def test_other_text_is_not_a_span(text: str):
    with pytest.raises(UsageError, match="not a span of time"):
        span(text)


def test_a_moment_is_a_date_with_or_without_a_zone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        noon = datetime(2026, 11, 26, 12, tzinfo=UTC).timestamp()
        assert moment("2026-11-26T12:00Z") == moment("2026-11-26T13:00+01:00") == moment("2026-11-26T21:00") == noon
        assert moment("2026-11-26") == noon - 21 * 3600
        assert local(noon) == "2026-11-26 21:00:00+09:00"
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", ""])
def test_other_text_is_not_a_time(text: str):
    with pytest.raises(UsageError):
        moment(text)


def test_each_time_in_json_is_repeated_as_iso_8601():
    given = {"created_at": 0.5, "finished_at": None, "model": {"made_at": 1}, "jobs": [{"started_at": 2.0}], "at": 3}
    assert dated(given) == {
        "created_at": 0.5, "created": "1970-01-01T00:00:00.500Z",
        "finished_at": None, "finished": None,
        "model": {"made_at": 1, "made": "1970-01-01T00:00:01.000Z"},
        "jobs": [{"started_at": 2.0, "started": "1970-01-01T00:00:02.000Z"}],
        "at": 3,
    }  # fmt: skip


def test_a_value_that_is_not_a_time_and_a_name_in_use_are_left_alone():
    given = {"created_at": "monday", "asked": True, "asked_at": 1.0}
    assert dated(given) == given
    assert iso(0) == "1970-01-01T00:00:00.000Z"
