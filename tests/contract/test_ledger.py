"""The status of a job adds up, whatever was read."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.forecast.work import Forecast
from contract.format import codec
from contract.format.job import InputFile, Manifest, ModelRef, Options
from contract.format.part import Footer
from contract.ledger import progress as ledger
from contract.ledger.progress import Counts, Progress, Seen
from contract.ledger.reasons import CANCELLED
from contract.ledger.tally import Scored, Tally

SOURCE = InputFile("f.csv", "csv", 10, "s", ("question", "context"), "|")
MANIFEST = Manifest("j", 50.0, "tiny", 40, 0, 4, "i", SOURCE, Options())


def footer(answered: int = 10, no_answer: int = 0, failed: int = 0, cancelled: int = 0, **about) -> Footer:
    rows = answered + no_answer + failed + cancelled
    codes = {"inference_error": failed} if failed else {}
    about = {"started_at": 100.0, "finished_at": 110.0, "worker": "w", "model": "d1"} | about
    return Footer(rows, answered, no_answer, failed, cancelled, "sha", codes, **about)


def seen(footers: dict[int, Footer] | None = None, attempts: int = 0, **about) -> Seen:
    return Seen(footers or {}, attempts, **({"workers": ("w",)} | about))


counts = st.integers(0, 50)
parts = st.lists(st.tuples(counts, counts, counts, counts).filter(any), max_size=8)


@given(parts, parts)
def test_counts_always_add_up_and_never_go_back(done: list, missing: list):
    total = sum(map(sum, done)) + sum(map(sum, missing))
    before: Counts | None = None
    for upto in range(len(done) + 1):
        found = Counts.of(total, Tally().plus({number: footer(*part) for number, part in enumerate(done[:upto])}))
        assert found.answered + found.no_answer + found.failed + found.cancelled + found.pending == total == found.total
        assert found.pending >= sum(map(sum, missing))
        assert before is None or (found.pending <= before.pending and found.answered >= before.answered)
        before = found


@given(parts, st.integers(0, 9), st.lists(st.integers(0, 9)), st.booleans())
def test_progress_is_consistent_for_any_input_and_survives_json(done, attempts, running, cancelled):
    total = sum(map(sum, done)) + 7
    manifest = replace(MANIFEST, rows=total, chunks=len(done) + 1)
    footers = {number: footer(*part) for number, part in enumerate(done)}

    found = ledger.progress(
        manifest,
        Seen(footers, attempts, running=tuple(running), cancelled=CANCELLED if cancelled else None, workers=("w",)),
        now=200.0,
    )

    assert found.committed_rows == total - 7
    assert found.request_counts.pending == 7
    assert 0.0 <= found.progress < 1.0
    assert found.chunks.done + found.chunks.running <= found.chunks.total + len(running)
    assert not found.finished
    lists = {name: list(value) for name, value in found.input.items() if isinstance(value, tuple)}  # JSON has no tuples
    stored = replace(found, input=found.input | lists)
    assert codec.read(Progress, codec.dump(found)) == stored
    assert codec.parse(Progress, codec.values(found) | {"of_a_later_version": 1}) == stored


# States


def test_a_job_without_attempts_is_queued():
    found = ledger.progress(MANIFEST, seen(), now=60.0)
    assert (found.status, found.reason, found.progress) == ("queued", None, 0.0)
    assert (found.started_at, found.rows_per_second, found.eta_seconds) == (None, None, None)
    assert found.model == ModelRef("tiny", "", "")


@pytest.mark.parametrize("what", [{"attempts": 1}, {"running": (0,)}, {"footers": {0: footer()}}])
def test_a_job_with_an_attempt_part_or_lease_is_running(what: dict):
    assert ledger.progress(MANIFEST, seen(**what), now=120.0).status == "running"


def test_a_job_with_all_parts_is_finalizing():
    found = ledger.progress(MANIFEST, seen(dict.fromkeys(range(4), footer())), now=120.0)
    assert (found.status, found.progress, found.eta_seconds) == ("finalizing", 1.0, None)


@pytest.mark.parametrize("done", [0, 2, 4])
def test_a_job_to_be_cancelled_is_cancelling_until_it_is_published(done: int):
    found = ledger.progress(MANIFEST, seen(dict.fromkeys(range(done), footer()), cancelled=CANCELLED), now=120.0)
    assert found.status == "cancelling"


def test_the_reason_says_why_a_job_waits():
    nobody = ledger.progress(MANIFEST, seen(workers=()), now=120.0)
    away = ledger.progress(MANIFEST, seen(workers=None), now=120.0)
    assert nobody.reason.code == "no_worker"
    assert nobody.reason.message == "no worker serves the model tiny"
    assert "worker start" in nobody.reason.remedy
    assert away.reason.code == "redis_unreachable"


def test_chunks_are_done_running_or_retrying():
    found = ledger.progress(MANIFEST, seen({0: footer()}, 6, repeated=(1,), running=(0, 1, 2)), now=120.0).chunks
    assert (found.total, found.done, found.running, found.retrying) == (4, 1, 2, 1)


def test_the_most_frequent_errors_are_reported():
    footers = {
        0: footer(7, failed=3),
        1: replace(footer(8, failed=2), codes={"empty_context": 1, "inference_error": 1}),
    }
    found = ledger.progress(MANIFEST, seen(footers), now=120.0)
    assert found.top_errors == (("inference_error", 4), ("empty_context", 1))
    assert found.request_counts.failed == 5


# Verdicts


@pytest.mark.parametrize(
    ("counts", "asked", "verdict"),
    [
        (Counts(4, answered=4), False, ("completed", None)),
        (Counts(4, no_answer=4), False, ("completed", None)),
        (Counts(4, answered=3, failed=1), False, ("completed_with_errors", "some_rows_failed")),
        (Counts(4, failed=4), False, ("failed", "all_rows_failed")),
        (Counts(4, answered=3, cancelled=1), True, ("cancelled", "cancelled_by_user")),
        (Counts(4, failed=3, cancelled=1), True, ("cancelled", "cancelled_by_user")),
        (Counts(4, answered=4), True, ("completed", None)),
        (Counts(4, failed=4), True, ("failed", "all_rows_failed")),
    ],
    ids=str,
)
def test_a_job_ends_as_its_rows_did(counts: Counts, asked: bool, verdict: tuple):
    status, reason = ledger.verdict(counts, CANCELLED if asked else None)
    assert (status, reason and reason.code) == verdict


# Chunks that are being scored


@given(parts, st.lists(st.tuples(counts, counts, counts), max_size=4), st.integers(0, 3))
def test_rows_that_a_worker_reports_count_until_their_chunk_has_its_part(done: list, reported: list, written: int):
    """And once: what the part says replaces what the worker said. So no row is ever taken back."""
    total = sum(map(sum, done)) + sum(map(sum, reported)) + 1
    manifest = replace(MANIFEST, rows=total, chunks=len(done) + len(reported) + 1)
    footers = {number: footer(*part) for number, part in enumerate(done)}
    scored = tuple(Scored(len(done) + at, *rows, held=5.0) for at, rows in enumerate(reported))

    before = ledger.progress(manifest, seen(footers, scored=scored), now=120.0)
    footers |= {each.chunk: footer(each.answered, each.no_answer, each.failed) for each in scored[:written]}
    after = ledger.progress(manifest, seen(footers, scored=scored), now=120.0)

    assert before.request_counts == after.request_counts
    assert (before.request_counts.pending, before.progress) == (1, round(1 - 1 / total, 6))
    assert before.committed_rows == sum(map(sum, done))
    assert after.committed_rows == before.committed_rows + sum(map(sum, reported[:written]))


def test_a_worker_cannot_report_more_rows_than_are_left():
    scored = (Scored(2, answered=21), Scored(3, answered=19), Scored(4, failed=2))
    found = ledger.progress(MANIFEST, seen({0: footer(), 1: footer()}, scored=scored), now=120.0).request_counts
    assert (found.answered, found.failed, found.pending) == (39, 0, 1)


def test_rows_of_a_first_chunk_give_a_rate_and_the_time_left():
    found = ledger.progress(MANIFEST, seen(scored=(Scored(0, 4, 3, 1, held=3.0, age=1.0),)), now=120.0)
    assert (found.rows_per_second, found.eta_seconds) == (round(8 / 3, 2), 12.0)


def test_rows_of_later_chunks_count_for_the_rate_of_the_parts_time():
    """One chunk was begun after the part, one twenty seconds before: of that only the half counts."""
    one = {0: footer(10, started_at=100.0, finished_at=110.0)}
    scored = (Scored(1, 5, held=9.0, age=1.0), Scored(2, 20, held=39.0, age=1.0))
    found = ledger.progress(replace(MANIFEST, rows=95), seen(one, scored=scored), now=120.0)
    assert found.rows_per_second == round((10 + 5 + 20 * 19 / 39) / 19, 2)
    assert found.request_counts.pending == 60


def test_a_worker_that_reports_nothing_new_lowers_the_rate():
    lost = (Scored(0, 30, held=10.0, age=40.0),)
    assert ledger.progress(MANIFEST, seen(scored=lost), now=120.0).rows_per_second == 1.5


# Rate


def test_the_rate_gives_the_time_left():
    footers = {0: footer(10, started_at=100.0, finished_at=105.0), 1: footer(10, started_at=105.0, finished_at=110.0)}
    found = ledger.progress(MANIFEST, seen(footers), now=111.0)
    assert (found.rows_per_second, found.eta_seconds, found.started_at) == (2.0, 10.0, 100.0)


FORECAST = Forecast(40, 4000, work=100.0, cpu_hours=1.0, seconds=60.0, seconds_low=50.0, seconds_high=70.0)


def test_where_the_long_rows_come_last_the_time_left_is_that_of_the_work():
    """A quarter of the rows is a tenth of the work."""
    manifest = replace(MANIFEST, forecast=FORECAST)
    first = {0: footer(10, started_at=100.0, finished_at=110.0, work=10.0)}
    assert ledger.progress(manifest, seen(first), now=110.0).eta_seconds == 90.0
    assert ledger.progress(MANIFEST, seen(first), now=110.0).eta_seconds == 30.0, "by rows"

    begun = (Scored(1, 5, work=30.0, held=10.0),)
    assert ledger.progress(manifest, seen(first, scored=begun), now=120.0).eta_seconds == (100 - 40) / (40 / 20)


def test_the_time_left_is_by_what_finished_chunks_took_and_not_by_the_tokens_that_were_forecast():
    """As where a byte has twice the tokens, or the workers are half as fast."""
    manifest = replace(MANIFEST, forecast=FORECAST)
    first = footer(10, started_at=100.0, finished_at=150.0, work=25.0, tokens=2000)
    assert ledger.progress(manifest, seen({0: first}), now=150.0).eta_seconds == 3 * 50.0


def test_before_the_first_row_the_time_left_is_as_forecast():
    manifest = replace(MANIFEST, forecast=FORECAST)
    assert ledger.progress(manifest, seen(), now=60.0).eta_seconds == 50.0
    assert ledger.progress(manifest, seen(), now=500.0).eta_seconds is None
    assert (
        ledger.progress(replace(MANIFEST, forecast=replace(FORECAST, seconds=None)), seen(), now=60.0).eta_seconds
        is None
    )


def test_work_that_exceeds_the_forecast_leaves_no_time_below_zero():
    manifest = replace(MANIFEST, forecast=FORECAST)
    first = {0: footer(20, started_at=100.0, finished_at=110.0, work=100.0)}
    assert ledger.progress(manifest, seen(first), now=110.0).eta_seconds == 10.0, "by rows"


def test_parts_in_the_tally_count_like_the_others():
    footers = {number: footer(10, failed=number) for number in range(4)}
    manifest = replace(MANIFEST, rows=60)
    whole = ledger.progress(manifest, seen(footers, 5, running=(1, 3)), now=111.0)
    first = Tally().plus({0: footers.pop(0), 1: footers.pop(1)})
    assert ledger.progress(manifest, seen(footers, 5, tally=first, running=(1, 3)), now=111.0) == whole
    assert (whole.chunks.done, whole.chunks.running, whole.attempts) == (4, 0, 9)


@pytest.mark.parametrize(
    ("what", "code", "says"),
    [
        ({"trouble": ("w1", "No space left on device")}, "storage_refuses", "w1 cannot use the storage: No space left"),
        ({"workers": (), "elsewhere": 2}, "other_storage", "2 workers serve the model tiny, but for another storage"),
        (
            {"retry": (3, 4, (70, 71))},
            "retrying",
            "chunk 3 is on attempt 4, because workers died on it; suspected: rows 70, 71",
        ),
        ({"ahead": 7}, "behind_others", "7 chunks of other jobs wait before it"),
    ],
)
def test_a_waiting_job_has_a_reason_and_a_remedy(what: dict, code: str, says: str):
    found = ledger.progress(MANIFEST, seen(**what), now=120.0)
    assert found.reason.code == code
    assert says in found.reason.message
    assert found.reason.remedy
    assert codec.read(Progress, codec.dump(found)).reason == found.reason


def test_a_report_of_an_earlier_version_has_a_reason_that_is_its_code():
    old = codec.values(ledger.progress(MANIFEST, seen(), now=1.0)) | {"reason": "some_rows_failed"}
    assert codec.parse(Progress, old).reason.code == "some_rows_failed"


def test_retries_are_counted_to_the_end():
    footers = {0: footer(), 1: replace(footer(), attempts=3)}
    assert ledger.progress(MANIFEST, seen(footers, 2, repeated=(2,)), now=120.0).chunks.retried == 2
