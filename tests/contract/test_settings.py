"""Settings come from flags first, then the environment, then the defaults; what is wrong is named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from contract.errors import UsageError
from contract.settings import Settings, load


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch):
    for name in list(os.environ):
        if name.startswith("BULKQA_") or name in ("REDIS_URL", "CELERY_BROKER_URL"):
            monkeypatch.delenv(name)


def test_a_flag_wins_over_the_environment_and_that_over_the_default(monkeypatch: pytest.MonkeyPatch):
    assert load().queue_ahead == 1
    monkeypatch.setenv("BULKQA_QUEUE_AHEAD", "7")
    assert load().queue_ahead == 7
    assert load(queue_ahead=9).queue_ahead == 9
    assert load(queue_ahead=None).queue_ahead == 7, "a flag that was not given"


def test_a_variable_under_its_old_name_is_read_and_said_to_be_deprecated(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    load()
    assert not caplog.messages
    monkeypatch.setenv("BULKQA_WINDOW", "7")
    assert load().queue_ahead == 7
    assert caplog.messages == ["BULKQA_WINDOW is deprecated: its new name is BULKQA_QUEUE_AHEAD"]
    monkeypatch.setenv("BULKQA_QUEUE_AHEAD", "5")
    assert load().queue_ahead == 5, "the new name wins"
    assert load(queue_ahead=9).queue_ahead == 9, "and a flag over both"


def test_redis_has_other_names_too_and_ours_wins(monkeypatch: pytest.MonkeyPatch):
    found = []
    for name in ("REDIS_URL", "CELERY_BROKER_URL", "BULKQA_REDIS_URL"):
        monkeypatch.setenv(name, f"redis://{name.lower()}")
        found.append(load().redis_url)
    assert found == ["redis://redis_url", "redis://celery_broker_url", "redis://bulkqa_redis_url"]
    assert load(redis_url="redis://flag").redis_url == "redis://flag"


@pytest.mark.parametrize("name", sorted(set(Settings.model_fields) - {"redis_url"}))
def test_every_setting_has_its_variable_and_says_what_it_is_for(monkeypatch: pytest.MonkeyPatch, name: str):
    default = getattr(load(), name)
    words = {"log_format": "json", "provider": "cpu", "namespace": "mine", "read_memory": "70000000"}
    words |= {"processes": "70", "threads": "70", "notify_private": "True"}
    other = words.get(name) or {int: "7000", float: "77.5"}.get(type(default), "/elsewhere")
    monkeypatch.setenv(f"BULKQA_{name.upper()}", other)
    found = getattr(load(), name)
    assert found == (Path(other) if default is None or isinstance(default, Path) else type(default)(other))
    assert found != default
    assert Settings.model_fields[name].description


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("BULKQA_THREADS", "-1", r"BULKQA_THREADS: .*greater than or equal to 0 \(got '-1'\)"),
        ("BULKQA_LEASE", "soon", r"BULKQA_LEASE: .*valid number.* \(got 'soon'\)"),
        ("BULKQA_CHUNK_ROWS", "-1", "BULKQA_CHUNK_ROWS"),
        ("BULKQA_LOG_FORMAT", "xml", r"BULKQA_LOG_FORMAT: .*\^\(text\|json\)"),
    ],
)
def test_a_wrong_value_is_named_with_its_variable(monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str):
    monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=message):
        load()


def test_a_wrong_flag_is_named_too():
    with pytest.raises(UsageError, match=r"BULKQA_MAX_ATTEMPTS: .*greater than or equal to 1"):
        load(max_attempts=0)


def test_settings_do_not_change_once_they_were_read():
    with pytest.raises(ValidationError):
        load().queue_ahead = 5
