"""A job ends early once more of its rows have failed than it allows: when, with what reason, and whoever finds it."""

from __future__ import annotations

import io

import pytest

from contract.errors import UsageError
from contract.format.job import ErrorLimit
from contract.ledger import records
from contract.ledger.reconcile import reconcile, stop_at_errors
from contract.ledger.stored import StoredJob
from contract.queue import Queue
from contract.settings import Settings
from contract.storage import Storage
from producer.input.options import ReadOptions
from producer.jobs.check import check_file
from producer.request import error_limit, request_of
from tests.making import Hand, csv, finish, job_of, predictions


@pytest.mark.parametrize(
    ("text", "failed", "done", "exceeded"),
    [
        ("5%", 10, 200, False), ("5%", 11, 200, True), ("5%", 199, 199, False), ("29%", 290, 1000, False),
        ("0%", 1, 200, True), ("0%", 0, 200, False), ("100%", 200, 200, False),
        ("20", 20, 500, False), ("20", 21, 500, True), ("20", 21, 199, False), ("0", 1, 200, True),
    ],
)  # fmt: skip
def test_more_than_a_share_or_a_number_of_rows_may_not_fail(text: str, failed: int, done: int, *, exceeded: bool):
    limit = request_of({"max_errors": text}).max_errors
    assert limit is not None
    assert limit.is_exceeded(failed, done) is exceeded
    assert str(limit) == text


@pytest.mark.parametrize("text", ["", "%", "five", "-1", "101%", "5%%", "5 percent", "nan%", "1.5", "inf"])
def test_what_is_no_limit_is_refused(text: str):
    with pytest.raises(UsageError, match="is neither a number of rows nor a share of them"):
        error_limit(text)


@pytest.mark.parametrize(
    ("wrong", "rows", "note"),
    [
        (range(300), 300, "the first 200 rows all have the error empty_question: is 'question' the right column?"),
        (range(200), 300, "the first 200 rows all have the error empty_question: is 'question' the right column?"),
        (range(9), 9, "the first 9 rows all have the error empty_question: is 'question' the right column?"),
        (range(199), 300, ""),
        (range(1, 300), 300, ""),
        (range(1), 1, ""),
    ],
)
def test_a_check_says_if_the_first_rows_all_fail_for_one_reason(settings: Settings, wrong: range, rows: int, note: str):
    data = io.BytesIO(csv(rows, bad=tuple(wrong)))
    checked = check_file(data, ReadOptions(), settings.model_copy(update={"chunk_rows": 70}))
    assert checked.notes == ((note,) if note else ())


def failing(storage: Storage, settings: Settings, limit: ErrorLimit | None, rows: int = 400) -> str:
    """A job whose second half fails, every third row of that for a reason of its file."""
    half = range(rows // 2, rows)
    data = csv(rows, bad=tuple(half[::3]), odd=tuple(row for row in half if row not in half[::3]))
    return job_of(storage, settings.model_copy(update={"chunk_rows": 20}), data, max_errors=limit).id


def test_it_ends_with_the_codes_and_an_example_of_each(storage: Storage, queue: Queue, settings: Settings):
    job = failing(storage, settings, ErrorLimit(percent=5.0))
    reconcile(job, storage, queue, settings)
    hand = Hand(storage, queue, settings)
    while not reconcile(job, storage, queue, settings).finished:
        hand.step()
    found = predictions(storage, job)
    report = records.report(storage, job)
    assert report is not None
    assert report.reason is not None
    assert (report.status, report.reason.code) == ("cancelled", "too_many_errors")
    assert report.reason.message == (
        "20 of the 220 finished rows failed, more than 5%: inference_error 13, such as row 201: odd; "
        "empty_question 7, such as row 200: the question (column 'question') is empty"
    )
    assert report.request_counts.answered == 200
    assert {p["error"]["code"] for p in found[220:]} <= {"job_cancelled", "empty_question"}


def test_the_first_to_find_it_writes_why_and_the_others_change_nothing(
    storage: Storage, queue: Queue, settings: Settings
):
    job = failing(storage, settings, ErrorLimit(rows=5))
    reconcile(job, storage, queue, settings)
    hand = Hand(storage, queue, settings)
    stored = StoredJob.open(storage, job)
    while not stop_at_errors(stored, {}):
        hand.step()
    first = records.cancel_marker(storage, job)
    state = records.status(storage, queue, job)
    assert (state.status, state.reason) == ("cancelling", first and first.reason)
    assert stop_at_errors(stored, {})
    records.request_cancel(storage, job)
    assert records.cancel_marker(storage, job) == first
    finish(job, storage, queue, settings)
    assert records.status(storage, queue, job).reason == (first and first.reason)


@pytest.mark.parametrize(("limit", "rows"), [(None, 400), (ErrorLimit(rows=200), 400), (ErrorLimit(rows=0), 180)])
def test_a_job_within_its_limit_goes_on(
    storage: Storage, queue: Queue, settings: Settings, limit: ErrorLimit | None, rows: int
):
    job = failing(storage, settings, limit, rows)
    finish(job, storage, queue, settings)
    report = records.report(storage, job)
    assert report is not None
    assert (report.status, report.request_counts.failed) == ("completed_with_errors", rows // 2)


def test_somebodys_cancel_stays_somebodys(storage: Storage, queue: Queue, settings: Settings):
    job = failing(storage, settings, ErrorLimit(rows=0))
    records.request_cancel(storage, job)
    finish(job, storage, queue, settings)
    report = records.report(storage, job)
    assert report is not None
    assert report.reason is not None
    assert report.reason.code == "cancelled_by_user"


@pytest.mark.parametrize("chunk_rows", [20, 400])
def test_it_ends_so_even_if_no_row_was_left_to_cancel(
    storage: Storage, queue: Queue, settings: Settings, chunk_rows: int
):
    settings = settings.model_copy(update={"chunk_rows": chunk_rows})
    job = job_of(storage, settings, csv(400, bad=tuple(range(10, 400))), max_errors=ErrorLimit(percent=5.0)).id
    finish(job, storage, queue, settings)
    report = records.report(storage, job)
    assert report is not None
    assert report.reason is not None
    assert (report.status, report.reason.code) == ("cancelled", "too_many_errors")
    assert (report.request_counts.failed, report.request_counts.cancelled) == (390, 0)
