"""Whose upload is read next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

pytest.importorskip("starlette")

from producer.server.uploads.line import Line


class Uploads:
    """Uploads of clients `a`, `b`, ...: each waits for its turn, and is read until it is told to end."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.reading: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self._ends: dict[str, asyncio.Event] = {}

    async def come(self, *names: str) -> None:
        for name in names:
            self._ends[name] = asyncio.Event()
            self.tasks[name] = asyncio.create_task(self._upload(name))
        await _settled()

    async def end(self, *names: str) -> None:
        for name in names:
            self._ends[name].set()
        await _settled()

    async def leave(self, *names: str) -> None:
        for name in names:
            self.tasks[name].cancel()
        await _settled()

    async def _upload(self, name: str) -> None:
        async with self.line.turn(name[0]):
            self.reading.append(name)
            try:
                await self._ends[name].wait()
            finally:
                self.reading.remove(name)


async def _settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def with_four_turns(test: Callable[[Uploads], Awaitable[None]]) -> Callable[[], None]:
    return lambda: asyncio.run(test(Uploads(Line(4))))  # type: ignore[arg-type]


@with_four_turns
async def test_a_client_that_comes_first_leaves_half_of_the_turns(uploads: Uploads) -> None:
    await uploads.come("a1", "a2", "a3", "a4", "a5", "b1")
    assert uploads.reading == ["a1", "a2", "b1"]
    await uploads.end("a1")
    assert uploads.reading == ["a2", "b1", "a3"]


@with_four_turns
async def test_the_next_turn_is_that_of_the_client_with_the_fewest(uploads: Uploads) -> None:
    await uploads.come("a1", "a2", "b1", "b2", "a3", "b3", "c1")
    assert uploads.reading == ["a1", "a2", "b1", "b2"]
    await uploads.end("a1")
    assert uploads.reading == ["a2", "b1", "b2", "c1"]
    await uploads.end("b1")
    assert uploads.reading == ["a2", "b2", "c1", "a3"], "of clients that have as many, the first that came"


@with_four_turns
async def test_a_client_that_leaves_frees_its_turn_or_its_place_among_those_that_wait(uploads: Uploads) -> None:
    await uploads.come("a1", "a2", "a3", "a4")
    await uploads.leave("a1", "a3")
    assert uploads.reading == ["a2", "a4"]
    await uploads.end("a2", "a4")
    await uploads.come("a5", "b1")
    assert uploads.reading == ["a5", "b1"]


@with_four_turns
async def test_a_client_that_leaves_at_its_turn_takes_none_along(uploads: Uploads) -> None:
    await uploads.come("a1", "a2", "a3")
    uploads._ends["a1"].set()
    await asyncio.sleep(0)  # a1 ends, and a3 is granted its turn
    uploads.tasks["a3"].cancel()
    await _settled()
    await uploads.come("a4")
    assert uploads.reading == ["a2", "a4"]
