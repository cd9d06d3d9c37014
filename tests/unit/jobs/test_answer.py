"""Questions that are answered at once: what is left of them when they are not, or when nobody waits any more."""

from __future__ import annotations

import pytest

from contract.errors import Busy, NoWorker, TimedOut
from contract.format import layout
from contract.format.job import ModelRef
from contract.ledger.reconcile import BRIEF
from contract.questions import stored
from contract.questions.stored import MOST_TEXT, Reply
from contract.queue import WorkerInfo
from contract.queue.redis import RedisQueue
from contract.settings import Settings
from contract.storage import Storage
from producer.input.checks.pairs import Pair
from producer.jobs.answer import MOST_WAITING, Answered, answer, is_served, unserved
from producer.jobs.follow import Steps, completed
from producer.request import Request
from tests.making import Hand

PAIRS = [Pair(f"what is {n}?", f"word{n} of a context") for n in range(2)]


def steps(
    storage: Storage, queue: RedisQueue, settings: Settings, timeout: float = 60.0, **request: str | None
) -> Steps[Answered]:
    return answer(PAIRS, storage, queue, settings, Request(**request), timeout, BRIEF)


def declined(storage: Storage, queue: RedisQueue, settings: Settings, timeout: float = 60.0) -> Steps[Answered]:
    """The steps of a question that the lane of a worker declines, as far as its job."""
    asked = steps(storage, queue, settings, timeout)
    next(asked)
    name = queue.take_question(settings.model, 5.0)
    assert name
    stored.reply(storage, name, Reply(ModelRef(settings.model, "d1", "int8"), None))
    while not storage.list(layout.JOBS):
        next(asked)
    assert storage.list(layout.QUESTIONS) == []
    return asked


def test_a_question_that_the_lane_answers_makes_no_job(storage: Storage, redis_queue: RedisQueue, settings: Settings):
    Hand(storage, redis_queue, settings).announce()
    asked = steps(storage, redis_queue, settings)
    next(asked)
    name = redis_queue.take_question(settings.model, 5.0)
    assert name
    question = stored.read(storage, name)
    assert question
    assert [row.question for row in question.rows] == ["what is 0?", "what is 1?"]
    model = ModelRef(settings.model, "d1", "int8")
    stored.reply(storage, name, Reply(model, [{"answer": "a"}, {"answer": "b"}]))
    answered = completed(asked)
    assert ([row["answer"] for row in answered.predictions], answered.model, answered.job) == (["a", "b"], model, None)
    assert storage.list(layout.JOBS) == []
    answered.discard()
    assert storage.list(layout.QUESTIONS) == []


def test_rows_that_are_too_many_for_a_lane_are_all_answered_by_a_job(
    storage: Storage, redis_queue: RedisQueue, settings: Settings
):
    """Also those that a lane could have taken: a lane takes all rows or none."""
    hand = Hand(storage, redis_queue, settings)
    hand.announce()
    context = "word " * (MOST_TEXT // 15)  # each row fits, and three do not
    pairs = [Pair(f"what is {n}?", context) for n in range(5)]
    asked = answer(pairs, storage, redis_queue, settings, Request(), 60.0, BRIEF)
    next(asked)
    assert storage.list(layout.QUESTIONS) == []
    hand.run()
    assert [row["row"] for row in completed(asked).predictions] == list(range(5))


@pytest.mark.parametrize("patient", [True, False])
def test_questions_that_would_wait_too_long_are_refused(
    storage: Storage, redis_queue: RedisQueue, settings: Settings, patient: bool
):
    Hand(storage, redis_queue, settings).announce()
    while redis_queue.ask(settings.model, "another", MOST_WAITING) != "full":
        pass
    asked = answer(PAIRS, storage, redis_queue, settings, Request(), 0.5, BRIEF, patient=patient)
    with pytest.raises(Busy, match="too many questions"):
        completed(asked)
    assert storage.list(layout.QUESTIONS) == storage.list(layout.JOBS) == []


def test_a_question_is_answered_as_soon_as_its_job_has_ended(
    storage: Storage, redis_queue: RedisQueue, settings: Settings
):
    hand = Hand(storage, redis_queue, settings)
    hand.announce()
    asked = declined(storage, redis_queue, settings)
    hand.run()
    answered = completed(asked)
    assert [row["answer"] for row in answered.predictions] == ["word0", "word1"]
    answered.discard()
    assert storage.list(layout.JOBS) == []


def test_one_that_takes_too_long_leaves_no_job_once_its_worker_lets_go(
    storage: Storage, redis_queue: RedisQueue, settings: Settings
):
    hand = Hand(storage, redis_queue, settings)
    hand.announce()
    asked = declined(storage, redis_queue, settings, timeout=2.0)
    (job,) = storage.list(layout.JOBS)
    hand.begin(job, 0)
    while not storage.exists(layout.cancel(job)):
        next(asked)
    hand.end(job, 0)
    with pytest.raises(TimedOut, match="no answer within 2 s"):
        completed(asked)
    assert storage.list(layout.JOBS) == []


@pytest.mark.parametrize("key", [None, "k"])
def test_if_nobody_waits_any_more_a_job_goes_unless_it_has_a_key(
    storage: Storage, redis_queue: RedisQueue, settings: Settings, key: str | None
):
    asked = steps(storage, redis_queue, settings, key=key)
    next(asked)
    asked.close()
    assert bool(storage.list(layout.JOBS)) == bool(key)


def test_who_serves_a_model_is_a_worker_on_this_storage(redis_queue: RedisQueue):
    here, elsewhere = (WorkerInfo(name, "m", "d", "int8", 1, "0", storage=name) for name in ("here", "there"))
    assert is_served("m", [elsewhere, here], "here")
    assert not is_served("m", [elsewhere], "here")
    assert not is_served("other", [here], "here")
    assert "another storage" in unserved("m", [elsewhere], redis_queue).message
    error = unserved("m", [], redis_queue)
    assert isinstance(error, NoWorker)
    assert "no worker serves the model m" in error.message
