"""Pages of predictions are bounded in bytes, contexts are cut, and the same filter shows, counts and exports rows."""

from __future__ import annotations

import json

import numpy as np
import pytest

from contract.format import layout, part
from contract.ledger.stored import StoredJob
from contract.settings import Settings
from contract.storage import Storage
from producer.results import pages
from producer.results.lines import ready_lines
from producer.results.pages import RowFilter, cut, matches, matching, page, page_in_order
from producer.results.scores import Scores
from tests.making import csv, finish, job_of
from tests.twins.queue import MemoryQueue

ALL = RowFilter()


@pytest.fixture
def large(storage: Storage, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> str:
    """A job of 30 rows, of which four fit into a page."""
    monkeypatch.setattr(pages, "_BYTES", 1 << 16)
    context = "word it is " + "x" * ((1 << 14) - 1024)
    lines = "".join(f"what {n}?|{context}\n" for n in range(30))
    job = job_of(storage, settings, f"question|context\n{lines}".encode()).id
    finish(job, storage, MemoryQueue(), settings)
    return job


def test_a_page_ends_before_it_is_too_large_and_the_next_goes_on(storage: Storage, large: str) -> None:
    seen, offset = [], 0
    while True:
        one = page(storage, large, offset, 500, ALL)
        assert 0 < len(json.dumps(one.predictions)) < pages._BYTES + 4096
        seen += [prediction["row"] for prediction in one.predictions]
        if one.next is None:
            break
        offset = one.next
    assert seen == list(range(30))


def test_so_does_one_in_another_order(storage: Storage, large: str) -> None:
    order, seen, offset = np.arange(30)[::-1], [], 0
    while True:
        one = page_in_order(storage, large, order, offset, 500, ALL)
        assert len(json.dumps(one.predictions)) < pages._BYTES + 4096
        seen += [prediction["row"] for prediction in one.predictions]
        if one.next is None:
            break
        offset = one.next
    assert seen == order.tolist()


def test_a_row_that_is_larger_than_a_page_is_one(storage: Storage, large: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "_BYTES", 1000)
    assert [prediction["row"] for prediction in page(storage, large, 3, 500, ALL).predictions] == [3]


def test_contexts_that_are_cut_let_more_rows_in(storage: Storage, large: str) -> None:
    one = page(storage, large, 0, 500, ALL, around=20)
    assert (len(one.predictions), one.next) == (30, None)
    first = one.predictions[0]
    assert first["context"] == "word it is " + "x" * (first["end"] + 20 - len("word it is "))
    assert (first["context_at"], first["context_length"]) == (0, (1 << 14) - 1024 + len("word it is "))


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [(None, None, ("😀bcd", 0)), (5, 6, ("bcdefghij", 1)), (9, 10, ("fghij", 5)), (0, 1, ("😀bcde", 0))],
)
def test_what_is_left_of_a_context_is_around_its_answer(start: int | None, end: int | None, expected: tuple) -> None:
    prediction = {"context": "😀bcdefghij", "start": start, "end": end}
    found = cut(prediction, 4)
    assert (found["context"], found["context_at"]) == expected
    assert found["context_length"] == 10
    if start is not None and end is not None:
        at = found["context_at"]
        assert found["context"][start - at : end - at] == prediction["context"][start:end]  # type: ignore[index]


def test_a_context_that_fits_or_was_left_out_stays_as_it_is() -> None:
    for prediction in ({"context": "short", "start": 1, "end": 2}, {"start": 1, "end": 2}, {"context": None}):
        assert cut(prediction, 100) == prediction


@pytest.mark.parametrize(
    ("row_filter", "rows"),
    [
        (ALL, range(20)),
        (RowFilter(status=("error",)), [3, 9]),
        (RowFilter(status=("no_answer", "error")), [3, 5, 7, 9]),
        (RowFilter(above=0.9), [5, 7]),
        (RowFilter(below=0.9), [n for n in range(20) if n not in (3, 5, 7, 9)]),
        (RowFilter(above=0.5, below=0.9, text="WORD1"), [1, *range(10, 20)]),
        (RowFilter(flag="none such"), []),
    ],
)
def test_what_a_filter_shows_is_what_it_counts_and_exports(
    storage: Storage, settings: Settings, monkeypatch: pytest.MonkeyPatch, row_filter: RowFilter, rows: list[int]
) -> None:
    """In as many calls as it takes."""
    monkeypatch.setattr(pages, "_LOOKED_THROUGH", 5)
    job = job_of(storage, settings, csv(20, bad=(3,), silent=(5, 7), odd=(9,))).id
    finish(job, storage, MemoryQueue(), settings)
    exported = b"".join(matching(ready_lines(job, storage), row_filter)).splitlines()
    assert [json.loads(line)["row"] for line in exported] == list(rows)

    shown, offset = [], 0
    while offset is not None:
        one = page(storage, job, offset, 3, row_filter)
        shown += [prediction["row"] for prediction in one.predictions]
        offset = one.next
    assert shown == list(rows)

    count, calls, offset = 0, 0, 0
    while offset is not None:
        found = matches(storage, job, offset, row_filter)
        assert found.ready
        count, calls, offset = count + found.count, calls + 1, found.next
    assert (count, calls) == (len(rows), 4)


def test_a_count_ends_where_no_part_is(storage: Storage, settings: Settings) -> None:
    job = job_of(storage, settings, rows=8).id
    found = matches(storage, job, 0, ALL)
    assert (found.count, found.next, found.ready, found.rows) == (0, 0, False, 8)


def test_flags_are_counted_with_the_scores(storage: Storage, settings: Settings) -> None:
    job = job_of(storage, settings, rows=4)
    flags: list[list[str]] = [["context_windowed"], [], ["context_windowed", "question_truncated"], []]
    for chunk, rows in enumerate(StoredJob.open(storage, job.id).index.rows):
        head = 3 * chunk
        lines = [{"row": head + n, "status": "answered", "score": 0.5, "flags": flags[head + n]} for n in range(rows)]
        storage.create(layout.part(job.id, chunk), part.encode(lines, job=job.id, chunk=chunk)[0])
    assert Scores(storage).spread(job.id).flags == {"context_windowed": 2, "question_truncated": 1}
