"""Fair shares: how much one client, a token or an address, has the server do at once.

What may take long is done in slices, each in a thread of its lane: a page, a poll, a block of an export. A client has a
few slices of a lane under way, and its others wait without a thread. So clients take turns, however much one asks for.
What takes no lane, such as health and status, runs in the threads of the framework, which nothing long enters.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager, suppress
from functools import partial
from typing import Any, Generic, TypeVar
from weakref import WeakValueDictionary

import anyio
from anyio import to_thread
from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse
from starlette.types import Send

from contract.errors import BulkqaError
from producer.jobs.follow import Steps
from producer.server.problems import Refused

T = TypeVar("T")

#: Seconds for which steps keep their thread while they wait: leaving it and coming back costs more than a few polls.
_KEPT = 0.1


class Places:
    """So many places of each client; a further one waits for its turn."""

    def __init__(self, each: int) -> None:
        self._each = each
        self._taken: WeakValueDictionary[str, anyio.Semaphore] = WeakValueDictionary()  #: of the clients that have any

    def of(self, client: str) -> anyio.Semaphore:
        """Those of a client, to be entered."""
        places = self._taken.get(client)
        if places is None:
            places = self._taken[client] = anyio.Semaphore(self._each)
        return places


class Lane:
    """Threads for one kind of work."""

    def __init__(self, threads: int, each: int) -> None:
        """`each`: how many of them a client has at once, at most."""
        self._threads = anyio.CapacityLimiter(threads)
        self._turns = Places(each)

    async def run(self, client: str, do: Callable[[], T], gone: Callable[[], Awaitable[bool]] | None = None) -> T:
        """What `do` returns, once it is the client's turn. Raises ClientDisconnect if it had to wait and is gone."""
        places = self._turns.of(client)
        waits = not places.value
        async with places:
            if waits and gone and await gone():
                raise ClientDisconnect
            return await to_thread.run_sync(do, limiter=self._threads)


class AtOnce:
    """How many of something each client has at once."""

    def __init__(self, most: int, code: str, what: str, after: int) -> None:
        """`after`: seconds after which a client that was refused may try again."""
        self._most = most
        self._refusal = code, f"{most:,} {what} of this client are under way, as many as it may have", after
        self._held = Counter[str]()

    @contextmanager
    def held(self, client: str) -> Iterator[None]:
        """One of the client's places. Raises Refused if it has as many as it may."""
        if self._held[client] >= self._most:
            code, message, after = self._refusal
            raise Refused(429, code, message, f"Try again in {after} s, or when some of them have ended.", after)
        self._held[client] += 1
        try:
            yield
        finally:
            self._held[client] -= 1
            if not self._held[client]:
                del self._held[client]


class Recent(Generic[T]):
    """A value that is read again at most every so often, however many clients ask for it."""

    def __init__(self, read: Callable[[], T]) -> None:
        self._read = read
        self._latest: tuple[float, T | BulkqaError] | None = None
        self._lock = anyio.Lock()

    async def get(self, seconds: float) -> T:
        """What was read, at most so many seconds ago. Raises the error that it was read with."""
        async with self._lock:
            if self._latest is None or anyio.current_time() - self._latest[0] > seconds:
                value = await to_thread.run_sync(self._try)
                self._latest = anyio.current_time(), value
            _, value = self._latest
        if isinstance(value, BulkqaError):
            raise value
        return value

    def _try(self) -> T | BulkqaError:
        try:
            return self._read()
        except BulkqaError as error:
            return error


class Turns:
    """The turns of a request in a lane."""

    def __init__(self, lane: Lane, client: str, gone: Callable[[], Awaitable[bool]]) -> None:
        """`gone`: whether the client has left."""
        self._lane = lane
        self._client = client
        self._gone = gone

    async def run(self, do: Callable[[], T]) -> T:
        """What `do` returns. Raises ClientDisconnect."""
        return await self._lane.run(self._client, do, self._gone)

    async def take(self, steps: Steps[T]) -> T:
        """The result of steps, which wait in between without a thread, but for the first moment. They are closed if the
        client leaves."""
        try:
            while not isinstance(step := await self.run(partial(_step, steps)), _Result):
                await anyio.sleep(step)
                if await self._gone():
                    raise ClientDisconnect
        except BaseException:
            with anyio.CancelScope(shield=True), suppress(ValueError):  # at shutdown a thread may still be at one
                await self._lane.run(self._client, steps.close)
            raise
        return step.value

    async def stream(self, blocks: Iterator[bytes] | Iterator[str], **options: Any) -> StreamingResponse:
        """An answer of these blocks, each made when the client has taken those before. The first is made now, so that
        an error is an error and not a broken answer."""
        first = await self.run(partial(next, blocks, None))
        return _Stream(self._blocks(first, blocks), **options)

    async def _blocks(self, first: bytes | str | None, blocks: Iterator[bytes] | Iterator[str]) -> Any:
        block = first
        try:
            while block is not None:
                if block:
                    yield block
                block = await self._lane.run(self._client, partial(next, blocks, None))
        finally:
            with suppress(ValueError):  # at shutdown a thread may still be at one
                getattr(blocks, "close", lambda: None)()


class _Stream(StreamingResponse):
    """Closes its blocks as soon as the client has left."""

    async def stream_response(self, send: Send) -> None:
        async with aclosing(self.body_iterator):  # type: ignore[type-var]
            await super().stream_response(send)


class _Result(Generic[T]):
    """What steps came to."""

    def __init__(self, value: T) -> None:
        self.value = value


def _step(steps: Steps[T]) -> float | _Result[T]:
    """Take steps for a moment: the seconds until the next, or the result."""
    ends = time.monotonic() + _KEPT
    try:
        while time.monotonic() + (pause := next(steps)) < ends:
            time.sleep(pause)
        return pause
    except StopIteration as end:
        return _Result(end.value)
