"""Scoring a chunk: predictions in the order of the rows, even if some rows fail."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from contract.format.job import Answer, Options, Row, RowError, Span
from worker.reader.decode import RowFailure
from worker.scoring import Drained, Watch, score

THREADS = 3


class Reader:
    """Answers every question with the context, and behaves as the question says."""

    def __init__(self) -> None:
        self.questions: list[str] = []
        self.in_progress = 0
        self._lock = threading.Lock()
        self.together = threading.Barrier(THREADS)

    def answer(self, question: str, context: str, options: Options) -> Answer:
        with self._lock:
            self.questions.append(question)
            self.in_progress += 1
        try:
            if question == "fails":
                raise RowFailure("inference_error", "why")
            if question == "meets":
                self.together.wait(30)
            if question == "hungry" and self.questions.count("hungry") == 1:
                raise MemoryError
            if question == "starved":
                raise MemoryError
            if question == "breaks":
                raise ZeroDivisionError
            return Answer((Span(context, 0, len(context), 0.5, 1.0),), 0.0, 0.5)
        finally:
            with self._lock:
                self.in_progress -= 1


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(THREADS) as made:
        yield made


def rows(*questions: str) -> list[Row]:
    return [Row(10 + number, question, "context", id=f"id-{number}") for number, question in enumerate(questions)]


def scored(
    chunk: list[Row], reader: Reader, pool: ThreadPoolExecutor, watch: Watch | None = None, **known
) -> list[dict]:
    return score(chunk, reader, Options(), pool, THREADS, watch or Watch(), **known)


def codes(predictions: list[dict]) -> list[str | None]:
    return [prediction.get("error", {}).get("code") for prediction in predictions]


def test_predictions_come_in_the_order_of_the_rows(pool: ThreadPoolExecutor):
    chunk = rows(*(f"q{n % 40}" for n in range(200)))
    predictions = scored(chunk, Reader(), pool)
    assert [(p["row"], p["id"], p["question"]) for p in predictions] == [
        (row.row, row.id, row.question) for row in chunk
    ]
    assert {p["status"] for p in predictions} == {"answered"}


def test_equal_rows_are_scored_once_and_each_has_its_own_prediction(pool: ThreadPoolExecutor):
    reader = Reader()
    chunk = [*rows("a", "b", "a"), Row(20, "a", "another context", id="x")]
    predictions = scored(chunk, reader, pool)
    assert Counter(reader.questions) == {"a": 2, "b": 1}
    assert [p["id"] for p in predictions] == ["id-0", "id-1", "id-2", "x"]
    assert [p["answer"] for p in predictions] == ["context", "context", "context", "another context"]


def test_the_longest_contexts_are_scored_first_and_questions_on_one_context_together(pool: ThreadPoolExecutor):
    texts = {"aaa": "a" * 9, "bbb": "b" * 9, "short": "s", "long": "l" * 30}
    chunk = [Row(n, f"q{n}", texts[name]) for n, name in enumerate(["aaa", "short", "aaa", "bbb", "long", "short"])]
    begun: list[int] = []
    predictions = score(chunk, Reader(), Options(), pool, 1, Watch(begin=begun.append))
    assert begun == [4, 0, 2, 3, 1, 5]
    assert [p["row"] for p in predictions] == list(range(6))


def test_threads_score_at_the_same_time(pool: ThreadPoolExecutor):
    """Three rows that wait for each other: a single thread would wait forever."""
    chunk = [Row(n, "meets", f"context {n}") for n in range(THREADS)]
    assert codes(scored(chunk, Reader(), pool)) == [None] * THREADS


def test_a_row_that_fails_costs_no_other(pool: ThreadPoolExecutor):
    predictions = scored(rows("a", "fails", "b", "fails"), Reader(), pool)
    assert codes(predictions) == [None, "inference_error", None, "inference_error"]
    assert predictions[1]["error"]["message"] == "why"


def test_rejected_rows_are_passed_over_and_keep_their_error(pool: ThreadPoolExecutor):
    reader = Reader()
    chunk = [*rows("a"), Row(11, None, "c", error=RowError("empty_question", "m")), Row(12, "b", "c")]
    assert codes(scored(chunk, reader, pool)) == [None, "empty_question", None]
    assert sorted(reader.questions) == ["a", "b"]


def test_a_row_that_ran_out_of_memory_is_tried_again_alone(pool: ThreadPoolExecutor):
    reader = Reader()
    seen_beside: list[int] = []
    answer = reader.answer

    def watched(question: str, context: str, options: Options) -> Answer:
        if question == "hungry" and "hungry" in reader.questions:
            seen_beside.append(reader.in_progress)
        return answer(question, context, options)

    reader.answer = watched  # type: ignore[method-assign]
    predictions = scored(rows("hungry", *"abcdefgh"), reader, pool)
    assert codes(predictions) == [None] * 9
    assert reader.questions.count("hungry") == 2
    assert seen_beside == [0]


def test_a_row_that_has_no_room_alone_either_is_an_error(pool: ThreadPoolExecutor):
    predictions = scored(rows("a", "starved", "starved"), Reader(), pool)
    assert codes(predictions) == [None, "inference_error", "inference_error"]
    assert "out of memory" in predictions[1]["error"]["message"]


def test_what_is_known_is_not_scored_again(pool: ThreadPoolExecutor):
    reader = Reader()
    known = {10: RowError("worker_crash", "m"), 12: Answer((), 1.0, 0.9)}
    predictions = scored(rows("a", "b", "c"), reader, pool, known=known)
    assert reader.questions == ["b"]
    assert [p["status"] for p in predictions] == ["error", "answered", "no_answer"]
    assert set(known) == {10, 12}, "the argument is not changed"


def test_a_cancel_keeps_what_is_done_and_says_so_of_the_rest(pool: ThreadPoolExecutor):
    reader = Reader()
    chunk = [*rows("a", "b", "c", "d"), Row(14, None, "c", error=RowError("empty_question", "m"))]
    done: list[int] = []
    watch = Watch(stop=lambda: "cancel" if done else None, end=done.append)
    predictions = score(chunk, reader, Options(), pool, 1, watch)
    assert codes(predictions) == [None, "job_cancelled", "job_cancelled", "job_cancelled", "empty_question"]
    assert reader.questions == ["a"]


def test_a_drain_hands_the_chunk_back(pool: ThreadPoolExecutor):
    done: list[int] = []
    with pytest.raises(Drained):
        scored(rows(*"abcdefgh"), Reader(), pool, Watch(stop=lambda: "drain" if done else None, end=done.append))
    assert 1 <= len(done) <= THREADS


@pytest.mark.parametrize("stop", ["drain", "cancel"])
def test_a_stop_after_the_last_row_changes_nothing(pool: ThreadPoolExecutor, stop):
    done: list[int] = []
    watch = Watch(stop=lambda: stop if len(done) == 3 else None, end=done.append)
    chunk = [*rows("a", "b", "c"), Row(13, None, None, error=RowError("empty_question", "m"))]
    assert codes(scored(chunk, Reader(), pool, watch)) == [None, None, None, "empty_question"]


def test_begin_and_end_are_called_for_every_row_that_is_scored(pool: ThreadPoolExecutor):
    calls: list[tuple[str, int]] = []
    watch = Watch(begin=lambda row: calls.append(("begin", row)), end=lambda row: calls.append(("end", row)))
    scored(rows("a", "fails", "a", "hungry"), Reader(), pool, watch)
    tries = {10: 1, 11: 1, 13: 2}  # a row that ran out of memory is scored again, alone
    assert Counter(calls) == {(what, row): n for what in ("begin", "end") for row, n in tries.items()}
    assert all(calls.index(("begin", row)) < calls.index(("end", row)) for row in (10, 11, 13))


def test_a_stop_is_checked_before_a_row_is_tried_again_alone(pool: ThreadPoolExecutor):
    reader = Reader()
    with pytest.raises(Drained):
        scored(rows("hungry"), reader, pool, Watch(stop=lambda: "drain" if "hungry" in reader.questions else None))
    assert reader.questions == ["hungry"]


def test_an_unexpected_exception_leaves_no_thread_behind(pool: ThreadPoolExecutor):
    """An exception that is not a row's failure ends the attempt; the next chunk must not run beside its remains."""
    begun, ended = threading.Event(), threading.Event()
    overlapped: list[bool] = []

    class Slow(Reader):
        def answer(self, question: str, context: str, options: Options) -> Answer:
            if question == "breaks":
                assert begun.wait(30)
            if question == "slow":
                begun.set()
                overlapped.append(ended.wait(0.5))  # not set while this row is in progress
            return super().answer(question, context, options)

    reader = Slow()
    with pytest.raises(ZeroDivisionError):
        scored(rows("breaks", "slow", *(f"q{n}" for n in range(5000))), reader, pool)
    ended.set()
    assert overlapped == [False]
    assert len(reader.questions) < 5000, "the remaining rows are not scored in vain"


def test_without_rows_there_are_no_predictions(pool: ThreadPoolExecutor):
    assert scored([], Reader(), pool) == []


def test_every_row_is_reported_once_with_its_status(pool: ThreadPoolExecutor):
    """Whether the producer rejected it, its outcome is known, it fails, equals another, or runs out of memory first."""
    chunk = [
        *rows("a", "a", "b", "fails", "hungry", "known"),
        Row(30, None, None, error=RowError("empty_question", "")),
    ]
    counted: Counter[str] = Counter()
    lock = threading.Lock()

    def done(status: str, count: int) -> None:
        with lock:
            counted[status] += count

    known = {15: Answer((), 0.0, 0.5)}
    predictions = scored(chunk, Reader(), pool, Watch(done=done), known=known)
    assert counted == Counter(p["status"] for p in predictions) == {"answered": 4, "no_answer": 1, "error": 2}
