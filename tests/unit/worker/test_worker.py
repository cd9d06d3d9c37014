"""A worker in this process, with the model that ships: its calls of the storage, and jobs that change meanwhile."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from contract.format import layout, part
from contract.ledger import records
from contract.ledger.reconcile import reconcile
from tests.making import job_of, pop
from worker.worker import Worker

MODEL = "minilm-l6-qa"
ROWS = [f"Where does mill {number} stand?|Mill {number} stands in Delft since 1{number:03}." for number in range(12)]


def data(rows: list[str]) -> bytes:
    return "\n".join(["question|context", *rows]).encode()


def sent(worker: Worker, rows: list[str], **request: Any) -> str:
    job = job_of(worker.storage, worker.settings, data(rows), **request).id
    reconcile(job, worker.storage, worker.queue, worker.settings)
    return job


def work(worker: Worker) -> list[int]:
    """Handle all messages. Returns their chunks."""
    done = []
    while message := pop(worker.queue, MODEL):
        assert worker.work(*message, None)
        done.append(message[1])
    return done


def test_a_chunk_takes_six_calls_of_the_storage(worker: Worker, monkeypatch: pytest.MonkeyPatch):
    """However many chunks and workers there are: whether it has a part, and whether its job is paused; chunk, attempt
    and part. In addition, the cancel marker is checked once a second."""
    calls: Counter[str] = Counter()

    def counted(name: str) -> Any:
        real = getattr(worker.storage, name)

        def call(*args: Any, **more: Any) -> Any:
            if args[:1] != (layout.cancel(job),):
                calls[name] += 1
            return real(*args, **more)

        return call

    job = sent(worker, ROWS)
    assert worker.work(job, 0, None)
    for name in ("read", "tail", "exists", "list", "create", "replace", "delete"):
        monkeypatch.setattr(worker.storage, name, counted(name))
    for chunk in (1, 2):
        calls.clear()
        assert worker.work(job, chunk, None)
        assert calls == {"exists": 2, "read": 1, "create": 2, "delete": 1}


def test_a_job_submitted_again_with_its_key_gets_its_own_answers(worker: Worker):
    """The worker scored a chunk of the earlier job, and has that in its cache."""
    job = sent(worker, ROWS, key="mills")
    assert worker.work(job, 0, None)
    worker.storage.discard(layout.folder(job))
    worker.queue.forget(job)
    while pop(worker.queue, MODEL):
        pass
    again = [row.replace("Delft", "Gouda") for row in ROWS[:9]]
    assert sent(worker, again, key="mills") == job
    work(worker)
    report = records.report(worker.storage, job)
    assert report is not None
    assert (report.status, report.request_counts.total) == ("completed", 9)
    document = worker.storage.read(layout.predictions(job)).decode()
    assert ("Gouda" in document, "Delft" in document) == (True, False)


def test_the_report_says_by_which_rules_a_job_was_answered(worker: Worker):
    """One of its chunks was scored before the worker was upgraded."""
    job = sent(worker, ROWS)
    assert worker.work(job, 0, None)
    lines, footer = part.body(worker.storage.read(layout.part(job, 0)), 3)
    assert footer.rule == 2
    older, _ = part.encode(map(json.loads, lines.splitlines()), model=footer.model, job=job, chunk=0)
    worker.storage.replace(layout.part(job, 0), older)
    work(worker)
    report = records.report(worker.storage, job)
    assert report is not None
    assert report.answering_rule == (1, 2)


def test_a_part_says_how_its_answers_were_computed_and_what_they_took(worker: Worker):
    """Also where rows were scored one at a time, after a death. Equal rows are scored once."""
    job = sent(worker, [ROWS[0], ROWS[0], ROWS[1], "|Not a question."])
    records.pin_model(worker.storage, job, worker._model)
    worker.storage.create(layout.attempt(job, 0, 1), b"{}")
    work(worker)

    first, second = (part.footer(worker.storage.read(layout.part(job, n))[-part.FOOTER_BYTES :]) for n in (0, 1))
    assert (first.attempts, first.scored, first.repeated, first.windows) == (2, 2, 1, 2)
    assert (second.scored, second.repeated, second.windows, second.tokens) == (0, 0, 0, 0)
    assert first.numerics.startswith("onnxruntime ")
    assert "CPUExecutionProvider" in first.numerics
    assert 30 < first.tokens < 100
    assert first.cpu_seconds > 0.0


def test_a_worker_says_how_fast_it_is_and_learns_from_chunks(worker: Worker):
    (info,) = worker.queue.workers()
    assert info.cost == worker.reader.info.cost
    assert 0.0 < info.speed < 100.0

    worker.settings = worker.settings.model_copy(update={"chunk_rows": 100})
    job = sent(worker, [f"Who was {row}?|{row} was the first of them, and the last." for row in range(40)])
    work(worker)
    worker._heartbeat._beat()
    (after,) = worker.queue.workers()
    assert after.speed != info.speed
    last = part.footer(worker.storage.read(layout.part(job, 0))[-part.FOOTER_BYTES :])
    assert last.windows * 15**2 < last.squares < last.windows * 40**2


def test_nothing_is_written_for_a_removed_job(worker: Worker):
    job = sent(worker, ROWS)
    assert worker.work(job, 0, None)
    worker.storage.discard(layout.folder(job))
    assert worker.work(job, 1, None), "its message is dropped"
    assert worker.storage.list(layout.JOBS) == []


def test_nothing_is_scored_for_a_job_under_removal(worker: Worker):
    """Its report goes last: chunks and parts may be gone already."""
    job = sent(worker, ROWS)
    assert work(worker) == [0, 1, 2, 3]
    assert records.report(worker.storage, job)
    for number in range(4):
        worker.storage.delete(layout.part(job, number))
        worker.storage.delete(layout.chunk(job, number))
    assert worker.work(job, 2, None)
    assert worker.storage.list(layout.parts(job)) == []


class Gated:
    """The reader, which answers a row when it is let."""

    micro_batch = 0

    def __init__(self, reader: Any) -> None:
        self._reader, self.gate = reader, threading.Semaphore(0)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    def answer(self, *args: Any) -> Any:
        assert self.gate.acquire(timeout=60)
        return self._reader.answer(*args)


@pytest.fixture
def rare_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.heartbeat.HEARTBEAT", 3600.0)


def test_a_chunk_is_announced_when_it_is_taken_and_when_it_is_done(rare_heartbeat: None, worker: Worker):
    """Forecasts count what a worker holds."""
    worker.reader = reader = Gated(worker.reader)  # type: ignore[assignment]
    job = sent(worker, ROWS[:1])

    def holds(expected: str | None) -> None:
        for _ in range(600):
            if worker.queue.workers()[0].job == expected:
                return
            time.sleep(0.05)
        raise AssertionError(f"the worker is not said to hold {expected}")

    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(worker.work, job, 0, None)
        holds(job)
        assert not working.done()
        reader.gate.release()
        assert working.result(60)
        holds(None)


def test_rows_of_a_chunk_are_counted_while_it_is_scored(worker: Worker):
    worker.settings = worker.settings.model_copy(update={"chunk_rows": 11})
    worker.reader = reader = Gated(worker.reader)  # type: ignore[assignment]
    job = sent(worker, [*ROWS[:10], "|no question"])

    def await_rows(rows: int) -> None:
        """Until so many are counted, by the heartbeat alone."""
        before = 0
        for _ in range(600):
            status = records.status(worker.storage, worker.queue, job)
            counts = status.request_counts
            done = counts.total - counts.pending
            assert before <= done <= rows
            assert (status.committed_rows, status.progress) == (0, round(done / 11, 6))
            if done == rows and (rows == 1 or status.eta_seconds):  # a row that was rejected says nothing of the rate
                assert counts.failed == 1, "the row that was rejected"
                return
            before = done
            time.sleep(0.05)
        raise AssertionError(f"no heartbeat with {rows} rows came")

    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(worker.work, job, 0, None)
        for rows, more in ((1, 0), (2, 1), (6, 4), (10, 4)):
            for _ in range(more):
                reader.gate.release()
            await_rows(rows)
        reader.gate.release()
        assert working.result(60)
    report = records.report(worker.storage, job)
    assert report is not None
    assert (report.request_counts.failed, report.committed_rows) == (1, 11)
