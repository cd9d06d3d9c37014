"""The log of a job: what is told of every attempt, whatever became of it, and that what went well costs nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from contract.format import layout
from contract.ledger.quarantine import InFlight
from contract.ledger.reconcile import cancel, reconcile
from contract.ledger.stored import load_manifest
from contract.settings import Settings
from contract.storage import Storage
from producer.cli import tables, view
from producer.jobs.logs import Event, events
from tests.making import Clock, Hand, finish, job_of, part_of
from tests.twins.queue import MemoryQueue
from worker.attempt import Attempt


def told(storage: Storage, queue: MemoryQueue | None, job: str, **flags: bool) -> list[Event]:
    """The events of a job; each has a line and goes to JSON."""
    found = events(storage, queue, job, **flags)
    for event in found:
        assert tables.event_line(event)
        assert json.loads(json.dumps(event.to_json()))["event"] == event.event
    return found


def kinds(found: list[Event]) -> list[str]:
    return [event.event for event in found]


def ends(found: list[Event], chunk: int) -> list[tuple[int, str, str]]:
    """(attempt, worker, end) of the attempts at a chunk, in their order."""
    about = [event.about for event in found if event.event == "attempt" and event.about["chunk"] == chunk]
    return sorted((one["attempt"], one["worker"], one["end"]) for one in about)


def score(storage: Storage, job: str, attempt: Attempt, chunk: int, **about: Any) -> None:
    """What a worker does at the end of an attempt."""
    manifest = load_manifest(storage, job)
    about = {"worker": attempt._worker, "attempts": attempt.number, "finished_at": attempt._started_at} | about
    mine = storage.create(layout.part(job, chunk), part_of(storage, manifest, chunk, **about))
    attempt.forget(mine=mine)


def test_a_job_that_went_well_is_told_in_three_lines(storage: Storage, memory_queue: MemoryQueue, settings: Settings):
    job = job_of(storage, settings).id
    finish(job, storage, memory_queue, settings)
    found = told(storage, memory_queue, job)
    assert sorted(kinds(found)) == ["attempts_done", "published", "submitted"]
    (done,) = [event.about for event in found if event.event == "attempts_done"]
    assert (done["worker"], done["chunks"], done["rows"]) == ("hand", 3, 8)
    assert storage.list(layout.events(job)) == [], "what went well costs no write"


def test_verbose_has_a_line_for_each_chunk(storage: Storage, memory_queue: MemoryQueue, settings: Settings):
    job = job_of(storage, settings).id
    finish(job, storage, memory_queue, settings)
    found = told(storage, memory_queue, job, verbose=True)
    assert [ends(found, chunk) for chunk in range(3)] == [[(1, "hand", "done")]] * 3
    assert "attempts_done" not in kinds(found)


def test_an_attempt_that_died_is_told_with_its_rows_after_its_records_are_gone(storage: Storage, settings: Settings):
    job = job_of(storage, settings).id
    Attempt(storage, job, 0, "w1")
    storage.replace(layout.in_flight(job, 0, 1), InFlight((1, 2)).to_bytes())
    second = Attempt(storage, job, 0, "w2")
    before = told(storage, None, job)
    assert ends(before, 0) == [(1, "w1", "died"), (2, "w2", "unknown")]
    score(storage, job, second, 0)
    assert storage.list(layout.attempts(job)) == []
    found = told(storage, None, job)
    assert ends(found, 0) == [(1, "w1", "died"), (2, "w2", "done")]
    (died,) = [event for event in found if event.about.get("end") == "died"]
    assert died.about["rows_in_flight"] == [1, 2]
    assert died.at == second._started_at, "that is when it was known"
    (quarantine,) = [event.about for event in found if event.event == "quarantine"]
    assert (quarantine["attempt"], quarantine["rows"]) == (2, [1, 2])


def test_an_attempt_that_was_given_back_is_told_with_the_reason(storage: Storage, settings: Settings):
    job = job_of(storage, settings).id
    Attempt(storage, job, 0, "w1").release("the worker was told to stop")
    assert ends(told(storage, None, job), 0) == [(1, "w1", "given_back")]
    score(storage, job, Attempt(storage, job, 0, "w2"), 0)
    found = told(storage, None, job)
    assert ends(found, 0) == [(1, "w1", "given_back"), (2, "w2", "done")]
    assert [event.about["why"] for event in found if "why" in event.about] == ["the worker was told to stop"]


def test_who_comes_second_is_told_too(storage: Storage, settings: Settings):
    """As when the first was frozen, was believed dead, and thaws."""
    job = job_of(storage, settings).id
    first, second = Attempt(storage, job, 0, "w1"), Attempt(storage, job, 0, "w2")
    score(storage, job, first, 0)
    score(storage, job, second, 0)
    assert ends(told(storage, None, job, verbose=True), 0) == [(1, "w1", "done"), (2, "w2", "late")]


def test_poison_rows_are_told_once(storage: Storage, settings: Settings):
    job = job_of(storage, settings).id
    Attempt(storage, job, 0, "w1")
    storage.replace(layout.in_flight(job, 0, 1), InFlight((2,), quarantine=True, poison=(1,)).to_bytes())
    last = Attempt(storage, job, 0, "w2")
    last.poison.add(2)
    score(storage, job, last, 0)
    found = told(storage, None, job)
    assert [event.about["rows"] for event in found if event.event == "poison_rows"] == [[1], [2]]


def test_a_story_is_told_once_also_if_its_records_were_not_deleted(storage: Storage, settings: Settings):
    job = job_of(storage, settings).id
    Attempt(storage, job, 0, "w1")
    storage.replace(layout.in_flight(job, 0, 1), InFlight((1,)).to_bytes())
    last = Attempt(storage, job, 0, "w2")
    kept = {name: storage.read(f"{layout.attempts(job)}/{name}") for name in storage.list(layout.attempts(job))}
    score(storage, job, last, 0)
    for name, data in kept.items():
        storage.create(f"{layout.attempts(job)}/{name}", data)
    found = told(storage, None, job)
    assert ends(found, 0) == [(1, "w1", "died"), (2, "w2", "done")]
    assert [event.about["rows"] for event in found if event.event == "quarantine"] == [[1]]


def test_the_lease_tells_the_living_from_the_dead(
    storage: Storage, memory_queue: MemoryQueue, settings: Settings, clock: Clock
):
    job = job_of(storage, settings).id
    Attempt(storage, job, 0, "w1")
    assert ends(told(storage, memory_queue, job), 0) == [(1, "w1", "unknown")], "as when Redis was emptied"
    memory_queue.lease(job, 0, "w1", settings.lease)
    assert ends(told(storage, memory_queue, job), 0) == [(1, "w1", "under_way")]
    clock.now += 2 * settings.lease
    assert ends(told(storage, memory_queue, job), 0) == [(1, "w1", "died")]


def test_a_chunk_that_was_given_up_says_so(
    storage: Storage, memory_queue: MemoryQueue, settings: Settings, clock: Clock
):
    job = job_of(storage, settings, rows=3).id
    hand = Hand(storage, memory_queue, settings)
    for _ in range(settings.max_attempts):
        reconcile(job, storage, memory_queue, settings)
        hand.begin(job, 0)
        clock.now += 2 * settings.lease
    assert reconcile(job, storage, memory_queue, settings).given_up == (0,)
    found = told(storage, memory_queue, job)
    assert [end for _, _, end in ends(found, 0)] == ["died"] * 3
    assert [event.about["attempts"] for event in found if event.event == "given_up"] == [3]


def test_a_cancel_is_told_with_what_it_cost(storage: Storage, memory_queue: MemoryQueue, settings: Settings):
    job = job_of(storage, settings).id
    cancel(job, storage, memory_queue, settings)
    found = told(storage, memory_queue, job)
    assert sorted(kinds(found)) == ["cancel_asked", "chunks_cancelled", "published", "submitted"]
    (cancelled,) = [event.about for event in found if event.event == "chunks_cancelled"]
    assert (cancelled["chunks"], cancelled["rows"]) == (3, 8)


@pytest.mark.parametrize(
    "altered",
    [
        b"", b"[", b"[]", b"null", b'{"attempts": 3}', b'{"attempts": [3, null, {}]}',
        b'{"attempts": [{"chunk": "x", "attempt": [], "rows": "12", "started_at": {}, "worker": 7, "later": 1}]}',
    ],
)  # fmt: skip
def test_a_record_that_was_altered_is_no_reason_to_say_nothing(storage: Storage, settings: Settings, altered: bytes):
    job = job_of(storage, settings).id
    Attempt(storage, job, 0, "w1")
    storage.replace(layout.attempt(job, 0, 1), altered)
    storage.replace(layout.in_flight(job, 0, 1), altered)
    storage.replace(layout.event(job, 1, 5.0), altered)
    storage.replace(layout.cancel(job), altered)
    storage.create(f"{layout.events(job)}/notes.txt", b"mine")
    assert "submitted" in kinds(told(storage, None, job))


def test_events_come_in_the_order_of_their_times(storage: Storage, memory_queue: MemoryQueue, settings: Settings):
    job = job_of(storage, settings).id
    Attempt(storage, job, 0, "w1")
    score(storage, job, Attempt(storage, job, 0, "w2"), 0)
    finish(job, storage, memory_queue, settings)
    found = told(storage, memory_queue, job, verbose=True)
    assert [event.at for event in found] == sorted(event.at for event in found)
    assert found[-1].event == "published"


def test_what_a_worker_said_cannot_play_tricks_on_a_terminal(
    storage: Storage, settings: Settings, capsys: pytest.CaptureFixture[str]
):
    job = job_of(storage, settings).id
    Attempt(storage, job, 0, "w\x1b[2J\n").release("red\x1b[31m")
    for event in events(storage, None, job):
        view.out(tables.event_line(event))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)
