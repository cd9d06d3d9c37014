"""Any history of a few jobs, workers that die, messages that vanish, wipes, damage and cancels ends with every row
exactly once, in order, with counts that add up all the way.

Hypothesis writes the histories. Queue and storage are the twins in memory, time is moved by hand.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from contract.format import codec, layout
from contract.format.job import Manifest
from contract.ledger import records
from contract.ledger.reconcile import reconcile
from contract.ledger.stored import StoredJob
from contract.queue import queue_name
from contract.settings import Settings
from tests.making import Clock, Hand, csv, job_of, outcome, pop, predictions
from tests.twins.queue import MemoryQueue
from tests.twins.storage import MemoryStorage

anyone = st.integers(0, 99)  #: which of the jobs, chunks, messages or workers that there are


@dataclass
class Told:
    """A job, and what the history did to it: from that follows what its rows may say in the end."""

    manifest: Manifest
    expected: list[dict[str, Any]]
    chunk_of: list[int]
    cancelled: bool = False
    published: dict[str, bytes] = field(default_factory=dict)  #: what was published of a job that has ended
    strikes: dict[int, int] = field(default_factory=dict)  #: chunk -> tries of which no part is left
    scored: dict[int, int] = field(default_factory=dict)  #: chunk -> tries that ended well
    damaged_parts: set[int] = field(default_factory=set)
    damaged_chunks: set[int] = field(default_factory=set)

    def may_be_given_up(self, chunk: int, attempts: int) -> bool:
        lost = self.scored.get(chunk, 0) if chunk in self.damaged_parts else 0
        return self.strikes.get(chunk, 0) + lost >= attempts


@dataclass
class UnderWay:
    hand: Hand
    job: str
    chunk: int
    attempt: int
    until: float
    struck: bool = False


class History(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.queue = MemoryQueue(self.clock)
        self.storage = MemoryStorage()
        self.settings = Settings(model="tiny", chunk_rows=3, queue_ahead=2, max_attempts=3, lease=45.0)
        self.told: dict[str, Told] = {}
        self.under_way: list[UnderWay] = []
        self.names = 0

    # Jobs

    @initialize()
    def first(self) -> None:
        self.submit(10, {2}, {5})

    @precondition(lambda self: len(self.told) < 3)
    @rule(rows=st.integers(1, 14), bad=st.sets(st.integers(0, 13)), odd=st.sets(st.integers(0, 13)))
    def submit(self, rows: int, bad: set[int], odd: set[int]) -> None:
        # Of a time and a name that are the same each time: the order of jobs follows from them.
        key = f"job {len(self.told)}"
        manifest = job_of(self.storage, self.settings, csv(rows, bad=tuple(bad), odd=tuple(odd)), key=key)
        manifest = replace(manifest, created_at=self.clock.now)
        self.storage.replace(layout.manifest(manifest.id), codec.dump(manifest))
        stored = StoredJob.open(self.storage, manifest.id)
        chunks = [stored.rows(number) for number in range(manifest.chunks)]
        expected = [outcome(row, manifest.options) for chunk in chunks for row in chunk]
        chunk_of = [number for number, chunk in enumerate(chunks) for _ in chunk]
        self.told[manifest.id] = Told(manifest, expected, chunk_of)
        reconcile(manifest.id, self.storage, self.queue, self.settings)

    def job(self, which: int) -> Told:
        return list(self.told.values())[which % len(self.told)]

    @rule(which=anyone)
    def cancel(self, which: int) -> None:
        told = self.job(which)
        records.request_cancel(self.storage, told.manifest.id)
        told.cancelled = True

    @rule(which=anyone, owner=st.sampled_from(["client", "sweeper"]), times=st.integers(1, 2))
    def reconcile(self, which: int, owner: str, times: int) -> None:
        told = self.job(which)
        sent: set[int] = set()
        for _ in range(times):
            repair = reconcile(told.manifest.id, self.storage, self.queue, self.settings, owner)
            for chunk in repair.given_up:
                assert told.may_be_given_up(chunk, self.settings.max_attempts)
                at_it = [w for w in self.under_way if (w.job, w.chunk) == (told.manifest.id, chunk)]
                assert all(w.until <= self.clock.now for w in at_it), "its worker is alive"
            assert not sent.intersection(repair.sent), "sent twice"
            sent.update(repair.sent)

    # Workers

    def hand(self) -> Hand:
        self.names += 1
        return Hand(self.storage, self.queue, self.settings, name=f"w{self.names}")

    @rule(count=st.integers(1, 4))
    def work(self, count: int) -> None:
        for _ in range(count):
            self.begin()
            if self.under_way:
                self.end(-1)

    @rule()
    def begin(self) -> None:
        message = pop(self.queue, "tiny")
        hand = self.hand()
        attempt = hand.begin(*message) if message else None
        if message and attempt:
            self.under_way.append(UnderWay(hand, *message, attempt, self.clock.now + self.settings.lease))

    @precondition(lambda self: self.under_way)
    @rule(which=anyone)
    def end(self, which: int) -> None:
        """In time, or as a ghost whose chunk long was another's."""
        work = self.under_way.pop(which % len(self.under_way))
        scored = self.told[work.job].scored
        scored[work.chunk] = scored.get(work.chunk, 0) + 1
        work.hand.end(work.job, work.chunk)

    @precondition(lambda self: self.under_way)
    @rule(which=anyone)
    def die(self, which: int) -> None:
        self.strike(self.under_way.pop(which % len(self.under_way)))

    @precondition(lambda self: self.under_way)
    @rule(which=anyone)
    def give_back(self, which: int) -> None:
        work = self.under_way.pop(which % len(self.under_way))
        work.hand.give_back(work.job, work.chunk, work.attempt)
        self.put(work.job, work.chunk)

    def strike(self, work: UnderWay) -> None:
        if not work.struck:
            strikes = self.told[work.job].strikes
            strikes[work.chunk] = strikes.get(work.chunk, 0) + 1
            work.struck = True

    # Redis, and time

    def put(self, job: str, chunk: int) -> None:
        """A message of which nobody takes note: redelivered, or doubled."""
        self.queue.messages.setdefault(queue_name("tiny"), deque()).append((job, chunk))

    @rule()
    def lose_a_message(self) -> None:
        pop(self.queue, "tiny")

    @rule(which=anyone, chunk=anyone)
    def send_a_message_nobody_asked_for(self, which: int, chunk: int) -> None:
        manifest = self.job(which).manifest
        self.put(manifest.id, chunk % manifest.chunks)

    @rule()
    def wipe_redis(self) -> None:
        self.queue.wipe()

    @rule(seconds=st.sampled_from([1, 11, 50, 1000]))
    def let_time_pass(self, seconds: int) -> None:
        self.clock.now += seconds
        for work in self.under_way:
            if work.until <= self.clock.now:
                self.strike(work)

    # Storage

    @rule(which=anyone, chunk=anyone, how=st.sampled_from(["cut", "altered", "gone"]))
    def damage_a_part(self, which: int, chunk: int, how: str) -> None:
        told = self.job(which)
        number = chunk % told.manifest.chunks
        key = layout.part(told.manifest.id, number)
        if self.storage.exists(key) and not self.storage.exists(layout.report(told.manifest.id)):
            data = self.storage.read(key)
            self.storage.delete(key)
            if how != "gone":
                self.storage.create(key, data[:-30] if how == "cut" else data.replace(b'"row":', b'"raw":', 1))
            told.damaged_parts.add(number)

    @rule(which=anyone, chunk=anyone)
    def damage_a_chunk(self, which: int, chunk: int) -> None:
        told = self.job(which)
        number = chunk % told.manifest.chunks
        self.storage.replace(layout.chunk(told.manifest.id, number, told.manifest.chunks_folder), b"PAR1")
        told.damaged_chunks.add(number)

    # What always holds

    @invariant()
    def counts_add_up_and_what_ended_stays(self) -> None:
        for job, told in self.told.items():
            if told.published:  # it is what `status` reads of a job that has ended
                assert {key: self.storage.read(key) for key in told.published} == told.published
                continue
            found = records.status(self.storage, self.queue, job)
            counts = found.request_counts
            parts = (counts.answered, counts.no_answer, counts.failed, counts.cancelled, counts.pending)
            assert sum(parts) == counts.total == told.manifest.rows
            assert min(parts) >= 0
            if found.finished:
                told.published = {key: self.storage.read(key) for key in (layout.report(job), layout.predictions(job))}

    def teardown(self) -> None:
        for _ in range(40):
            self.let_time_pass(1000)
            ended = [reconcile(job, self.storage, self.queue, self.settings).finished for job in self.told]
            if all(ended):
                break
            self.hand().run()
        for job, told in self.told.items():
            self.check_the_end(job, told)

    def check_the_end(self, job: str, told: Told) -> None:
        for found, expected, chunk in zip(predictions(self.storage, job), told.expected, told.chunk_of, strict=True):
            if found == expected:
                continue
            code = found["error"]["code"]
            assert (
                (code == "job_cancelled" and told.cancelled)
                or (code == "chunk_damaged" and chunk in told.damaged_chunks)
                or (code == "worker_crash" and told.may_be_given_up(chunk, self.settings.max_attempts))
            ), found
            if "error" in expected and expected["error"]["code"] == "empty_question":
                assert code == "chunk_damaged", "a rejected row keeps its own error"


TestHistory = History.TestCase
TestHistory.settings = hypothesis.settings(max_examples=40, stateful_step_count=40, deadline=None)

#: How often each thing happens in the long histories, which go deeper than those that hypothesis writes.
WEIGHTS: dict[str, float] = {
    "reconcile": 6, "begin": 6, "end": 3, "die": 3, "give_back": 1, "work": 1, "let_time_pass": 3,
    "lose_a_message": 0.5,
    "send_a_message_nobody_asked_for": 1, "wipe_redis": 0.3, "damage_a_part": 1, "damage_a_chunk": 0.1, "cancel": 0.05,
    "submit": 0.5,
}  # fmt: skip


@pytest.mark.parametrize("seed", [*range(10), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(10, 40))])
def test_a_long_history_ends_well_too(seed: int):
    chance = random.Random(seed)
    history = History()
    history.submit(14, {2}, {5})
    for _ in range(150):
        name = chance.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        n = chance.randrange(100)
        match name:
            case "submit" if len(history.told) < 5:
                history.submit(chance.randint(1, 14), set(chance.sample(range(14), 3)), {chance.randrange(14)})
            case "reconcile":
                history.reconcile(n, chance.choice(["client", "sweeper"]), chance.randint(1, 2))
            case "end" | "die" | "give_back" if history.under_way:
                getattr(history, name)(n)
            case "begin" | "lose_a_message" | "wipe_redis":
                getattr(history, name)()
            case "work":
                history.work(chance.randint(1, 2))
            case "let_time_pass":
                history.let_time_pass(chance.choice([1, 11, 50, 1000]))
            case "damage_a_part":
                history.damage_a_part(n, chance.randrange(100), chance.choice(["cut", "altered", "gone"]))
            case "cancel" | "damage_a_chunk":
                history.cancel(n) if name == "cancel" else history.damage_a_chunk(n, chance.randrange(100))
            case "send_a_message_nobody_asked_for":
                history.send_a_message_nobody_asked_for(n, chance.randrange(100))
        history.counts_add_up_and_what_ended_stays()
    history.teardown()
