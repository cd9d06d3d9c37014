"""Messages on stderr: verbosity, and progress where no bar can be drawn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from contract.ledger.progress import Chunks, Counts
from contract.ledger.reasons import Reason
from producer.cli import bars, messages
from tests.making import Clock
from tests.unit.jobs.test_select import ONE


@pytest.fixture(autouse=True)
def normal_verbosity() -> Iterator[None]:
    yield
    messages.verbosity.set(quiet=False, verbose=False)


def test_a_line_of_progress_comes_every_ten_seconds_and_not_at_once():
    clock, lines = Clock(), []
    ticker = messages.Ticker(lines.append, clock)
    for second in range(35):
        ticker.tick(lambda second=second: f"at {second}")  # type: ignore[misc]
        clock.now += 1
    assert lines == ["at 10", "at 20", "at 30"]


@pytest.mark.parametrize(
    ("quiet", "verbose", "printed"), [(True, False, "w"), (False, False, "sw"), (False, True, "swd")]
)
def test_verbosity_decides_what_is_printed(
    capsys: pytest.CaptureFixture[str], quiet: bool, verbose: bool, printed: str
):
    messages.verbosity.set(quiet=quiet, verbose=verbose)
    messages.say("s")
    messages.warn("w")
    messages.detail("d")
    out, err = capsys.readouterr()
    assert (out, err.split()) == ("", list(printed))


def progress_lines(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines on stderr for a job of 100 rows, at steps ten seconds apart."""
    clock = Clock()
    ticker = messages.Ticker(messages.say, clock)
    monkeypatch.setattr(bars, "_ticker", lambda: ticker)
    with bars.scoring("a") as show:
        for done in (0, 40, 100):
            counts = Counts(total=100, answered=done, pending=100 - done)
            rate, eta = (4.0, 15.0) if 0 < done < 100 else (None, None)
            chunks = Chunks(total=10, done=done // 10)
            show(replace(ONE, status="running", request_counts=counts, rows_per_second=rate, eta_seconds=eta,
                         chunks=chunks, reason=Reason("x", "a reason")))  # fmt: skip
            clock.now += 10
    return capsys.readouterr().err.splitlines()


def test_a_log_has_lines_with_rate_and_time_left(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    assert progress_lines(capsys, monkeypatch) == [
        "waiting: a reason", "running: 40 of 100 rows, 4 rows/s, 15 s left", "running: 100 of 100 rows"
    ]  # fmt: skip


def test_with_quiet_there_are_none(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    messages.verbosity.set(quiet=True, verbose=False)
    assert progress_lines(capsys, monkeypatch) == []


def test_with_verbose_there_are_the_chunks_at_each_change(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    messages.verbosity.set(quiet=False, verbose=True)
    chunks = [line for line in progress_lines(capsys, monkeypatch) if line.startswith("chunks")]
    assert [line.split()[1] for line in chunks] == ["0", "4", "10"]
