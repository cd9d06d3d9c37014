"""Questions and replies in storage, and their names on the queue."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from contract.errors import BulkqaError
from contract.format import layout
from contract.format.job import ModelRef, Options, Row, RowError
from contract.ledger.sweeper import sweep_jobs
from contract.questions import stored
from contract.questions.stored import Question, Reply
from contract.queue import Queue, WorkerInfo
from contract.settings import Settings
from contract.storage import Storage, open_storage
from tests.twins.queue import MemoryQueue

MODEL = "tiny"
ROW = Row(0, "When?", "In 1532.\ud7ff\x00", id="é", line=1)


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return open_storage(str(tmp_path / "storage"), create=True)


def test_a_question_and_its_reply_are_read_as_they_were_stored(storage: Storage):
    rejected = Row(1, None, None, error=RowError("bad_row", "no context"), raw="|")
    question = Question(MODEL, Options(top_k=3, no_answer_threshold=-1.5), (ROW, rejected))
    name = stored.put(storage, question)
    assert layout.is_question(name)
    assert stored.read(storage, name) == question
    assert stored.reply_to(storage, name) is None
    reply = Reply(ModelRef(MODEL, "d1", "int8"), [{"row": 0, "score": 0.1234567890123}])
    stored.reply(storage, name, reply)
    stored.reply(storage, name, Reply(ModelRef(MODEL, "d1", "int8"), []))
    assert stored.reply_to(storage, name) == reply
    stored.remove(storage, name)
    assert (stored.read(storage, name), storage.list(layout.QUESTIONS)) == (None, [])


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b"\xff", b'{"model": "tiny", "options": {"top_k": "1"}, "rows": []}']
)
def test_what_is_no_question_is_none(storage: Storage, data: bytes):
    name = stored.put(storage, Question(MODEL, Options(), (ROW,)))
    storage.replace(layout.question(name), data)
    assert stored.read(storage, name) is None
    storage.replace(layout.reply(name), data)
    assert stored.reply_to(storage, name) is None


@pytest.mark.parametrize(
    "name", ["", "..", "../x", "1790000000000-3f9ac2d13f9ac2d1/..", "1790000000000-3F9AC2D13F9AC2D1"]
)
def test_a_name_leads_nowhere_else(name: str):
    assert not layout.is_question(name)
    with pytest.raises(BulkqaError, match="not the name of a question"):
        layout.question(name)


def test_what_nobody_removed_is_removed_after_an_hour(storage: Storage):
    name = stored.put(storage, Question(MODEL, Options(), (ROW,)))
    stored.reply(storage, name, Reply(ModelRef(MODEL, "d1", "int8"), []))
    storage.replace(f"{layout.QUESTIONS}/other.json", b"{}")
    stored.remove_old(storage, time.time() + 3500)
    assert len(storage.list(layout.QUESTIONS)) == 3
    stored.remove_old(storage, time.time() + 3700)
    assert storage.list(layout.QUESTIONS) == ["other.json"]


def test_the_sweeper_removes_them(storage: Storage):
    storage.create(layout.question(f"{0:013d}-{'0' * 16}"), b"{}")
    kept = stored.put(storage, Question(MODEL, Options(), (ROW,)))
    sweep_jobs(storage, MemoryQueue(), Settings(), stopped=threading.Event(), once=True)
    assert storage.list(layout.QUESTIONS) == [f"{kept}.json"]


def test_names_are_taken_in_order_and_as_many_wait_as_workers_may_have(queue: Queue):
    assert queue.ask(MODEL, "a", 2) == "unserved"
    queue.announce(WorkerInfo("w1", MODEL, "d1", "int8", 2, "0.1.0"))
    assert [queue.ask(MODEL, name, 2) for name in "abc"] == ["waits", "waits", "full"]
    queue.announce(WorkerInfo("w2", MODEL, "d1", "int8", 2, "0.1.0"))
    assert [queue.ask(MODEL, name, 2) for name in "cde"] == ["waits", "waits", "full"]
    assert queue.ask("other", "a", 2) == "unserved"
    assert [queue.take_question(MODEL, 0.01) for _ in range(5)] == ["a", "b", "c", "d", None]


def test_a_worker_that_waits_is_given_the_next_question(queue: Queue):
    queue.announce(WorkerInfo("w1", MODEL, "d1", "int8", 2, "0.1.0"))
    taken: list[str | None] = []
    thread = threading.Thread(target=lambda: taken.append(queue.take_question(MODEL, 9.0)))
    thread.start()
    queue.ask(MODEL, "a", 2)
    thread.join(20)
    assert taken == ["a"]
