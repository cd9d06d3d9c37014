"""The lane of a worker: how the threads of a chunk give way to questions, and what it does with odd names."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from contract.format import layout
from contract.format.job import Answer, ModelRef, Options, Row
from contract.questions import stored
from contract.questions.stored import Question
from contract.queue import WorkerInfo
from tests.twins.queue import MemoryQueue
from tests.twins.storage import MemoryStorage
from worker.heartbeat import Parent
from worker.questions import lane as lanes
from worker.questions.lane import Lane

MODEL = ModelRef("tiny", "d1", "int8")


class Held:
    """A reader that answers once it is let go."""

    def __init__(self) -> None:
        self.begun, self.let_go = threading.Semaphore(0), threading.Event()

    def beside(self) -> Held:
        return self

    def answer(self, question: str, context: str, options: Options) -> Answer:
        self.begun.release()
        assert self.let_go.wait(60)
        return Answer((), 0.0, 0.0)


@pytest.fixture
def place() -> Iterator[tuple[Lane, Held, Callable[[], str], MemoryStorage]]:
    """A lane of two threads, its reader, a function that asks, and the storage."""
    storage, queue, reader = MemoryStorage(), MemoryQueue(), Held()
    queue.announce(WorkerInfo("w", MODEL.name, MODEL.digest, MODEL.precision, 2, "0"))
    lane = Lane(storage, queue, reader, MODEL, 2, Parent())  # type: ignore[arg-type]

    def ask() -> str:
        name = stored.put(storage, Question(MODEL.name, Options(), (Row(0, "who?", "a text"),)))
        assert queue.ask(MODEL.name, name, 8) == "waits"
        return name

    yield lane, reader, ask, storage
    reader.let_go.set()
    lane.close()


def test_one_thread_of_a_chunk_gives_way_to_each_question_until_it_is_answered(place, monkeypatch):
    monkeypatch.setattr(lanes, "_GIVE_WAY", 60.0)
    lane, reader, ask, _ = place
    lane.give_way()  # to nobody
    ask()
    assert reader.begun.acquire(timeout=60)
    first = threading.Thread(target=lane.give_way)
    first.start()
    while not lane._giving_way:
        assert first.is_alive(), "it did not give way"
    lane.give_way()  # the others go on
    assert first.is_alive()
    reader.let_go.set()
    first.join(60)
    assert not first.is_alive()


def test_a_chunk_goes_on_however_long_a_question_takes(place):
    lane, reader, ask, _ = place
    ask()
    assert reader.begun.acquire(timeout=60)
    for _ in range(3):
        lane.give_way()
    assert lane._answering == 1, "it is still under way"


def test_a_lane_answers_as_many_at_once_as_it_has_threads_and_finishes_them_at_its_end(place):
    lane, reader, ask, storage = place
    names = [ask() for _ in range(2)]
    assert all(reader.begun.acquire(timeout=60) for _ in names)
    reader.let_go.set()
    lane.close()
    replies = [stored.reply_to(storage, name) for name in names]
    assert all(reply and reply.model == MODEL and reply.predictions for reply in replies)
    assert len(storage.list(layout.QUESTIONS)) == 4


def test_what_a_process_was_answering_when_it_died_is_left_to_a_job_by_the_one_that_replaces_it(place):
    lane, reader, ask, storage = place
    parent = lane._parent
    names = [ask() for _ in range(2)]
    assert all(reader.begun.acquire(timeout=60) for _ in names)
    kept = Parent()
    for there, here in zip(kept.answering, parent.answering, strict=True):
        there.value = here.value
    reader.let_go.set()
    lane.close()
    assert not any(each.value for each in parent.answering), "these have their reply"
    for name in names:
        storage.delete(layout.reply(name))
    stored.remove(storage, names[1])  # nobody waits for it any more

    Lane(storage, lane._queue, reader, MODEL, 2, kept).close()
    reply = stored.reply_to(storage, names[0])
    assert reply
    assert (reply.model, reply.predictions) == (MODEL, None)
    assert storage.list(layout.QUESTIONS) == [f"{names[0]}.json", f"{names[0]}.reply.json"]
    assert not any(each.value for each in kept.answering)
