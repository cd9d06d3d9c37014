"""What is known before a forecast: the model, workers, jobs that are due before, and how good forecasts were."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from pathlib import Path

import pytest

from contract.errors import RedisUnreachable
from contract.forecast.work import Cost, Forecast
from contract.format import codec, layout
from contract.ledger import records
from contract.ledger.stored import StoredJob
from contract.queue import WorkerInfo
from contract.settings import Settings
from contract.storage import Storage
from producer.forecast.outlook import NOTHING, history, look
from producer.forecast.tokens import counter
from producer.jobs.submit import submit_and_send
from producer.request import Request
from tests.making import csv, finish_parts, job_of
from tests.twins.queue import MemoryQueue
from tests.unit.forecast.test_windows import SHIPPED

COST = Cost(window=0.5, token=0.0, square=0.0)


def worker(name: str = "w1", **about: object) -> WorkerInfo:
    return WorkerInfo(name, "tiny", "", "int8", 2, "1", cost=COST, speed=0.5, **about)  # type: ignore[arg-type]


def submitted(storage: Storage, settings: Settings, queue: MemoryQueue, rows: int = 8):
    return submit_and_send(io.BytesIO(csv(rows)), storage, queue, settings, Request()).manifest


def test_a_job_has_the_forecast_of_its_submission(storage: Storage, settings: Settings, memory_queue: MemoryQueue):
    memory_queue.announce(worker())
    manifest = submitted(storage, settings, memory_queue)
    made = manifest.forecast
    assert made
    assert (made.windows, made.work, made.workers, made.threads) == (8, 4.0, 1, 2)
    assert made.seconds == pytest.approx(4.0, abs=0.1), "two threads, each half as fast as the curve says"
    assert made.seconds_low < made.seconds < made.seconds_high
    assert made.cpu_hours == pytest.approx(8 / 3600, rel=0.01)
    index = StoredJob.open(storage, manifest.id).index
    assert sum(index.work) == pytest.approx(4.0)
    assert len(index.work) == manifest.chunks
    assert records.status(storage, memory_queue, manifest.id).eta_seconds is not None


def test_without_workers_there_is_work_but_no_time(storage: Storage, settings: Settings, memory_queue: MemoryQueue):
    made = submitted(storage, settings, memory_queue).forecast
    assert made
    assert made.seconds is None
    assert made.windows == 8


def test_rows_that_were_rejected_are_not_in_it(storage: Storage, settings: Settings):
    made = job_of(storage, settings, csv(8, bad=(1, 2))).forecast
    assert made
    assert made.windows == 6


def test_jobs_that_are_due_before_come_first(storage: Storage, settings: Settings, memory_queue: MemoryQueue):
    memory_queue.announce(worker())
    first = submitted(storage, settings, memory_queue, rows=40)
    second = submitted(storage, settings, memory_queue, rows=400).forecast
    small = submitted(storage, settings, memory_queue, rows=8).forecast
    assert second
    assert small
    assert second.seconds_before == pytest.approx(20.0, abs=4.0), "forty rows of half a second"
    assert first.forecast
    waiting = 2 * first.forecast.work / first.chunks
    assert small.seconds_before == pytest.approx(waiting, abs=0.1), "it is due before both, but for what was sent"


def test_a_job_whose_messages_wait_comes_first_though_nothing_is_left_to_send(
    storage: Storage, settings: Settings, memory_queue: MemoryQueue
):
    memory_queue.announce(worker())
    first = submitted(storage, settings, memory_queue, rows=40)
    memory_queue.unplan(first.model, first.id)
    memory_queue.messages.clear()
    memory_queue.send(first.model, first.id, list(range(first.chunks)))
    second = submitted(storage, settings, memory_queue, rows=400).forecast
    assert second
    assert second.seconds_before == pytest.approx(20.0, abs=4.0)


def test_what_was_done_of_an_earlier_job_is_not_waited_for(
    storage: Storage, settings: Settings, memory_queue: MemoryQueue
):
    memory_queue.announce(worker())
    first = submitted(storage, settings, memory_queue, rows=40)
    finish_parts(storage, first, but=(12, 13))
    assert look(settings, "tiny", storage, memory_queue).fleet(400).before == pytest.approx(2.0), "four of its rows"


def test_of_a_job_that_is_due_later_only_what_workers_hold_comes_first(
    storage: Storage, settings: Settings, memory_queue: MemoryQueue
):
    memory_queue.announce(worker())
    first = submitted(storage, settings, memory_queue, rows=40)
    memory_queue.announce(worker(job=first.id, chunk=0, work=0.2))
    memory_queue.messages.clear()
    assert first.forecast
    chunk = first.forecast.work / first.chunks
    assert look(settings, "tiny", storage, memory_queue).fleet(1).before == pytest.approx(chunk - 0.2)


def test_what_a_worker_took_while_the_file_was_read_is_waited_for(
    storage: Storage, settings: Settings, memory_queue: MemoryQueue
):
    memory_queue.announce(worker())
    first = submitted(storage, settings, memory_queue, rows=40)
    seen = look(settings, "tiny", storage, memory_queue)
    memory_queue.messages.clear()
    memory_queue.announce(worker(job=first.id, chunk=0))
    assert first.forecast
    assert seen.fleet(1).before == pytest.approx(first.forecast.work / first.chunks)


def test_what_a_worker_was_last_said_to_hold_may_be_done(
    storage: Storage, settings: Settings, memory_queue: MemoryQueue
):
    memory_queue.announce(worker())
    first = submitted(storage, settings, memory_queue, rows=40)
    memory_queue.announce(worker(job=first.id, chunk=first.chunks - 1, work=0.1))
    memory_queue.unplan(first.model, first.id)
    memory_queue.messages.clear()
    finish_parts(storage, first)
    assert look(settings, "tiny", storage, memory_queue).fleet(400).before == 0.0


def test_what_is_under_way_of_an_earlier_job_is_waited_for_in_part(
    storage: Storage, settings: Settings, memory_queue: MemoryQueue
):
    memory_queue.announce(worker())
    first = submitted(storage, settings, memory_queue, rows=40)
    memory_queue.announce(worker(job=first.id, chunk=0, work=1.25))
    assert look(settings, "tiny", storage, memory_queue).fleet(400).before == pytest.approx(20.0 - 1.25)


def test_a_redis_that_is_away_leaves_the_work(
    storage: Storage, settings: Settings, memory_queue: MemoryQueue, monkeypatch
):
    def away() -> list[WorkerInfo]:
        raise RedisUnreachable("away", "Start it.")

    monkeypatch.setattr(memory_queue, "workers", away)
    seen = look(settings, "tiny", storage, memory_queue)
    assert seen.workers == ()
    assert seen.cost == Cost()


def test_only_workers_of_the_model_and_storage_count(storage: Storage, settings: Settings, memory_queue: MemoryQueue):
    memory_queue.announce(worker("other"))
    memory_queue.announce(replace(worker("elsewhere"), storage="0123456789ab"))
    memory_queue.announce(replace(worker("model"), model="large"))
    assert [each.name for each in look(settings, "tiny", storage, memory_queue).workers] == ["other"]


def test_a_model_on_this_machine_counts_tokens_and_has_a_curve(settings: Settings):
    count = counter(SHIPPED, "minilm-l6-qa")
    assert count
    assert count(["Who built the bridge?", ""]) == [5, 0]
    seen = look(settings.model_copy(update={"model_dir": SHIPPED}), "minilm-l6-qa", None, None)
    assert (seen.longest, seen.cost.window) == (512, 0.0013)
    assert counter(SHIPPED, "another") is None
    assert counter(Path("nowhere"), "another") is None


def ended(storage: Storage, settings: Settings, seconds: float, actual: float, status: str = "completed") -> None:
    manifest = job_of(storage, settings)
    made = Forecast(8, 80, 4.0, 0.0, 1, 2, seconds, seconds / 2, seconds * 2, actual_seconds=actual)
    report = replace(records.status(storage, None, manifest.id), status=status, finished_at=1.0, forecast=made)
    storage.create(layout.report(manifest.id), codec.dump(report))


def test_earlier_jobs_say_how_good_forecasts_are(storage: Storage, settings: Settings):
    ended(storage, settings, 10.0, 20.0)
    ended(storage, settings, 10.0, 5.0, status="completed_with_errors")
    ended(storage, settings, 10.0, 1.0, status="cancelled")
    job_of(storage, settings)
    earlier = history(storage, 50)
    assert sorted(each.forecast.actual_seconds or 0 for each in earlier) == [5.0, 20.0]
    assert all(each.forecast.held for each in earlier)
    errors = look(settings, "tiny", storage, None).errors()
    assert sorted(errors.at_once) == pytest.approx([math.log(7 / 12), math.log(22 / 12)])


def test_nothing_is_known_of_what_nobody_asked():
    assert NOTHING.errors() == ((), ())
    assert NOTHING.fleet(10).rates == ()
