"""Scoring a chunk: predictions in the order of the rows, whatever happens to one of them."""

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
    """Answers with the question itself, and does to a row what its question says."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.under_way = 0
        self._lock = threading.Lock()
        self.together = threading.Barrier(THREADS)

    def answer(self, question: str, context: str, options: Options) -> Answer:
        with self._lock:
            self.asked.append(question)
            self.under_way += 1
        try:
            if question == "fails":
                raise RowFailure("inference_error", "why")
            if question == "meets":
                self.together.wait(30)
            if question == "hungry" and self.asked.count("hungry") == 1:
                raise MemoryError
            if question == "starved":
                raise MemoryError
            if question == "breaks":
                raise ZeroDivisionError
            return Answer((Span(context, 0, len(context), 0.5, 1.0),), 0.0, 0.5)
        finally:
            with self._lock:
                self.under_way -= 1


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(THREADS) as made:
        yield made


def rows(*questions: str) -> list[Row]:
    return [Row(10 + number, question, "context", id=f"id-{number}") for number, question in enumerate(questions)]


def scored(
    given: list[Row], reader: Reader, pool: ThreadPoolExecutor, watch: Watch | None = None, **known
) -> list[dict]:
    return score(given, reader, Options(), pool, THREADS, watch or Watch(), **known)


def codes(predictions: list[dict]) -> list[str | None]:
    return [prediction.get("error", {}).get("code") for prediction in predictions]


def test_predictions_come_in_the_order_of_the_rows(pool: ThreadPoolExecutor):
    given = rows(*(f"q{n % 40}" for n in range(200)))
    found = scored(given, Reader(), pool)
    assert [(p["row"], p["id"], p["question"]) for p in found] == [(row.row, row.id, row.question) for row in given]
    assert {p["status"] for p in found} == {"answered"}


def test_equal_rows_are_scored_once_and_each_has_its_own_prediction(pool: ThreadPoolExecutor):
    reader = Reader()
    given = [*rows("a", "b", "a"), Row(20, "a", "another context", id="x")]
    found = scored(given, reader, pool)
    assert Counter(reader.asked) == {"a": 2, "b": 1}
    assert [p["id"] for p in found] == ["id-0", "id-1", "id-2", "x"]
    assert [p["answer"] for p in found] == ["context", "context", "context", "another context"]


def test_the_longest_contexts_are_scored_first_and_questions_on_one_context_together(pool: ThreadPoolExecutor):
    texts = {"aaa": "a" * 9, "bbb": "b" * 9, "short": "s", "long": "l" * 30}
    given = [Row(n, f"q{n}", texts[name]) for n, name in enumerate(["aaa", "short", "aaa", "bbb", "long", "short"])]
    begun: list[int] = []
    found = score(given, Reader(), Options(), pool, 1, Watch(begin=begun.append))
    assert begun == [4, 0, 2, 3, 1, 5]
    assert [p["row"] for p in found] == list(range(6))


def test_threads_score_at_the_same_time(pool: ThreadPoolExecutor):
    """Three rows that wait for each other: one thread alone would wait for ever."""
    given = [Row(n, "meets", f"context {n}") for n in range(THREADS)]
    assert codes(scored(given, Reader(), pool)) == [None] * THREADS


def test_a_row_that_fails_costs_no_other(pool: ThreadPoolExecutor):
    found = scored(rows("a", "fails", "b", "fails"), Reader(), pool)
    assert codes(found) == [None, "inference_error", None, "inference_error"]
    assert found[1]["error"]["message"] == "why"


def test_rejected_rows_are_passed_over_and_keep_their_error(pool: ThreadPoolExecutor):
    reader = Reader()
    given = [*rows("a"), Row(11, None, "c", error=RowError("empty_question", "m")), Row(12, "b", "c")]
    assert codes(scored(given, reader, pool)) == [None, "empty_question", None]
    assert sorted(reader.asked) == ["a", "b"]


def test_a_row_that_ran_out_of_memory_is_tried_again_alone(pool: ThreadPoolExecutor):
    reader = Reader()
    seen_beside: list[int] = []
    answer = reader.answer

    def watched(question: str, context: str, options: Options) -> Answer:
        if question == "hungry" and "hungry" in reader.asked:
            seen_beside.append(reader.under_way)
        return answer(question, context, options)

    reader.answer = watched  # type: ignore[method-assign]
    found = scored(rows("hungry", *"abcdefgh"), reader, pool)
    assert codes(found) == [None] * 9
    assert reader.asked.count("hungry") == 2
    assert seen_beside == [0]


def test_a_row_that_has_no_room_alone_either_is_an_error(pool: ThreadPoolExecutor):
    found = scored(rows("a", "starved", "starved"), Reader(), pool)
    assert codes(found) == [None, "inference_error", "inference_error"]
    assert "out of memory" in found[1]["error"]["message"]


def test_what_is_known_is_not_scored_again(pool: ThreadPoolExecutor):
    reader = Reader()
    known = {10: RowError("worker_crash", "m"), 12: Answer((), 1.0, 0.9)}
    found = scored(rows("a", "b", "c"), reader, pool, known=known)
    assert reader.asked == ["b"]
    assert [p["status"] for p in found] == ["error", "answered", "no_answer"]
    assert set(known) == {10, 12}, "what was given is not changed"


def test_a_cancel_keeps_what_is_done_and_says_so_of_the_rest(pool: ThreadPoolExecutor):
    reader = Reader()
    given = [*rows("a", "b", "c", "d"), Row(14, None, "c", error=RowError("empty_question", "m"))]
    done: list[int] = []
    watch = Watch(stop=lambda: "cancel" if done else None, end=done.append)
    found = score(given, reader, Options(), pool, 1, watch)
    assert codes(found) == [None, "job_cancelled", "job_cancelled", "job_cancelled", "empty_question"]
    assert reader.asked == ["a"]


def test_a_drain_gives_the_chunk_back(pool: ThreadPoolExecutor):
    done: list[int] = []
    with pytest.raises(Drained):
        scored(rows(*"abcdefgh"), Reader(), pool, Watch(stop=lambda: "drain" if done else None, end=done.append))
    assert 1 <= len(done) <= THREADS


@pytest.mark.parametrize("stop", ["drain", "cancel"])
def test_a_stop_after_the_last_row_changes_nothing(pool: ThreadPoolExecutor, stop):
    done: list[int] = []
    watch = Watch(stop=lambda: stop if len(done) == 3 else None, end=done.append)
    given = [*rows("a", "b", "c"), Row(13, None, None, error=RowError("empty_question", "m"))]
    assert codes(scored(given, Reader(), pool, watch)) == [None, None, None, "empty_question"]


def test_every_row_that_is_scored_is_told_at_its_begin_and_end(pool: ThreadPoolExecutor):
    told: list[tuple[str, int]] = []
    watch = Watch(begin=lambda row: told.append(("begin", row)), end=lambda row: told.append(("end", row)))
    scored(rows("a", "fails", "a", "hungry"), Reader(), pool, watch)
    tries = {10: 1, 11: 1, 13: 2}  # a row that ran out of memory is scored again, alone
    assert Counter(told) == {(what, row): n for what in ("begin", "end") for row, n in tries.items()}
    assert all(told.index(("begin", row)) < told.index(("end", row)) for row in (10, 11, 13))


def test_a_stop_is_heeded_before_a_row_is_tried_again_alone(pool: ThreadPoolExecutor):
    reader = Reader()
    with pytest.raises(Drained):
        scored(rows("hungry"), reader, pool, Watch(stop=lambda: "drain" if "hungry" in reader.asked else None))
    assert reader.asked == ["hungry"]


def test_what_nobody_foresaw_leaves_no_thread_behind(pool: ThreadPoolExecutor):
    """An exception that is no row's failure ends the try; the next chunk must not run beside what is left of it."""
    begun, ended = threading.Event(), threading.Event()
    overlapped: list[bool] = []

    class Slow(Reader):
        def answer(self, question: str, context: str, options: Options) -> Answer:
            if question == "breaks":
                assert begun.wait(30)
            if question == "slow":
                begun.set()
                overlapped.append(ended.wait(0.5))  # nobody sets it while this row is under way
            return super().answer(question, context, options)

    reader = Slow()
    with pytest.raises(ZeroDivisionError):
        scored(rows("breaks", "slow", *(f"q{n}" for n in range(5000))), reader, pool)
    ended.set()
    assert overlapped == [False]
    assert len(reader.asked) < 5000, "what was left is not scored for nothing"


def test_no_rows_are_no_predictions(pool: ThreadPoolExecutor):
    assert scored([], Reader(), pool) == []
