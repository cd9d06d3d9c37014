"""Lanes, turns and counts: what one client asks for, however much, leaves the others theirs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Generator, Iterator
from functools import partial
from itertools import count
from typing import Any

import pytest

from contract.errors import BulkqaError, RedisUnreachable

pytest.importorskip("starlette")

from starlette.requests import ClientDisconnect

from producer.server.problems import Refused
from producer.server.shares import AtOnce, Lane, Recent, Turns


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 30))  # type: ignore[arg-type]


async def true(condition: Callable[[], Any]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


class Client:
    """A client that leaves when the test says so."""

    left = False

    async def is_disconnected(self) -> bool:
        return self.left


def turns(lane: Lane, client: Client) -> Turns:
    return Turns(lane, "a", client.is_disconnected)


def test_a_client_that_asks_for_much_leaves_threads_to_others():
    async def test() -> None:
        lane, go, under_way = Lane(4, 2), threading.Event(), []

        def long() -> None:
            under_way.append(threading.get_ident())
            go.wait(30)

        asked = [asyncio.create_task(lane.run("a", long)) for _ in range(100)]
        await true(lambda: len(under_way) == 2)
        assert [await lane.run("b", lambda number=number: number) for number in range(20)] == list(range(20))
        assert len(under_way) == 2
        go.set()
        await asyncio.gather(*asked)
        assert len(under_way) == 100

    run(test)


def test_clients_take_turns():
    async def test() -> None:
        lane, order, begin = Lane(1, 1), [], threading.Event()
        first = asyncio.create_task(lane.run("a", lambda: begin.wait(30)))
        await asyncio.sleep(0)
        tasks = [asyncio.create_task(lane.run("a", partial(order.append, "a"))) for _ in range(60)]
        await asyncio.sleep(0.05)
        tasks += [asyncio.create_task(lane.run("b", partial(order.append, "b"))) for _ in range(10)]
        await asyncio.sleep(0.05)
        begin.set()
        await asyncio.gather(first, *tasks)
        assert order[:20].count("b") >= 9, order

    run(test)


def test_three_hundred_that_wait_hold_no_thread():
    async def test() -> None:
        lane, before, ended, polls = Lane(4, 4), threading.active_count(), False, count()
        polled = 0

        def steps() -> Generator[float, None, str]:
            nonlocal polled
            while not ended:
                polled = next(polls)
                yield 0.01
            return "done"

        tasks = [asyncio.create_task(turns(lane, Client()).take(steps())) for _ in range(300)]
        await true(lambda: polled > 1000)
        assert threading.active_count() - before <= 5
        ended = True
        assert await asyncio.gather(*tasks) == ["done"] * 300

    run(test)


def test_steps_are_closed_if_the_client_leaves_and_raise_what_they_raise():
    async def test() -> None:
        lane, begun, closed = Lane(4, 4), threading.Event(), threading.Event()

        def waits() -> Generator[float, None, None]:
            try:
                while True:
                    begun.set()
                    yield 0.001
            finally:
                closed.set()

        def fails() -> Generator[float, None, None]:
            yield 0.0
            raise BulkqaError("no")

        client = Client()
        taken = asyncio.create_task(turns(lane, client).take(waits()))
        await true(begun.is_set)
        assert not closed.is_set()
        client.left = True
        with pytest.raises(ClientDisconnect):
            await taken
        assert closed.is_set()
        with pytest.raises(BulkqaError, match="no"):
            await turns(lane, Client()).take(fails())

    run(test)


class Receiver:
    """The other end of an answer: takes blocks as the test lets it, and leaves."""

    def __init__(self) -> None:
        self.blocks: list[bytes] = []
        self.takes = asyncio.Semaphore(0)
        self.leaves = asyncio.Event()

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.body":
            await self.takes.acquire()
            self.blocks.append(message["body"])

    async def receive(self) -> dict[str, Any]:
        await self.leaves.wait()
        return {"type": "http.disconnect"}

    async def has_left(self) -> bool:
        return self.leaves.is_set()


class Blocks:
    """Blocks without end, counted."""

    def __init__(self) -> None:
        self.made = 0
        self.closed = threading.Event()

    def __call__(self) -> Iterator[bytes]:
        try:
            while True:
                self.made += 1
                yield b"" if self.made == 2 else b"block"
        finally:
            self.closed.set()


def test_blocks_are_made_as_they_are_taken_and_a_slow_client_holds_no_thread():
    async def test() -> None:
        lane, receiver, blocks = Lane(4, 1), Receiver(), Blocks()
        answer = await Turns(lane, "a", receiver.has_left).stream(blocks())
        sent = asyncio.create_task(answer({"type": "http"}, receiver.receive, receiver.send))
        for _ in range(5):
            receiver.takes.release()
        await true(lambda: len(receiver.blocks) == 5)
        await true(lambda: blocks.made == 7)
        assert receiver.blocks == [b"block"] * 5, "an empty one is not sent"
        assert await lane.run("a", lambda: "its turn") == "its turn"
        assert blocks.made == 7
        receiver.leaves.set()
        await sent
        assert blocks.closed.is_set()

    run(test)


def test_what_is_wrong_with_the_first_block_is_raised_before_an_answer_begins():
    async def test() -> None:
        def fails() -> Iterator[bytes]:
            raise BulkqaError("no")
            yield b""

        with pytest.raises(BulkqaError, match="no"):
            await Turns(Lane(1, 1), "a", Receiver().has_left).stream(fails())

    run(test)


def test_a_client_has_so_many_at_once_and_then_is_told_when_to_come_again():
    exports = AtOnce(2, "too_many_exports", "exports", 5)
    with exports.held("a"), exports.held("a"), exports.held("b"):
        with pytest.raises(Refused) as refused, exports.held("a"):
            pass
        assert (refused.value.status, refused.value.code, refused.value.after) == (429, "too_many_exports", 5)
        assert "Try again in 5 s" in (refused.value.remedy or "")
        with exports.held("b"):
            pass
    with exports.held("a"), exports.held("a"):
        pass
    assert not exports._held, "a client that has none is forgotten"


def test_what_many_ask_for_is_read_once_and_so_is_its_error():
    async def test() -> None:
        read: list[int] = []

        def look() -> int:
            read.append(1)
            return len(read)

        assert await asyncio.gather(*(asked(Recent(look), 50))) == [1] * 50
        assert len(read) == 1

        def away() -> int:
            read.append(1)
            raise RedisUnreachable("away")

        errors = await asyncio.gather(*(asked(Recent(away), 50)), return_exceptions=True)
        assert {type(error) for error in errors} == {RedisUnreachable}
        assert len(read) == 2

        again = Recent(look)
        assert await again.get(0.0) < await again.get(0.0)

    def asked(recent: Recent[int], count: int) -> list[Awaitable[int]]:
        return [recent.get(60.0) for _ in range(count)]

    run(test)
