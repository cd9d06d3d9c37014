"""Whose upload is read next: those of no client keep those of others waiting."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

#: Uploads that are read at once, each by a process.
READ_AT_ONCE = 4


class Line:
    """`most` uploads are read at once, and of one client half of them: so whoever comes next need not wait for a client
    that came first. How many of a client wait is bounded by `producer.server.access`."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._share = max(1, most // 2)
        self._reading = Counter[str]()
        self._waiting: list[tuple[str, asyncio.Future[None]]] = []

    @asynccontextmanager
    async def turn(self, client: str) -> AsyncIterator[None]:
        """Held while an upload of a client is read. Waits for its turn."""
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((client, granted))
        self._grant()
        try:
            await granted
            yield
        finally:
            if granted.cancelled():  # its client left while it waited
                self._waiting.remove((client, granted))
            else:
                self._reading[client] -= 1
            self._reading += Counter()  # forgets who has none
            self._grant()

    def _grant(self) -> None:
        """Give the free turns: the next is that of the client that has the fewest; of several, of who came first."""
        while self._reading.total() < self._most:
            waiting = [each for each in self._waiting if not each[1].done() and self._reading[each[0]] < self._share]
            if not waiting:
                return
            client, granted = turn = min(waiting, key=lambda each: self._reading[each[0]])
            self._waiting.remove(turn)
            self._reading[client] += 1
            granted.set_result(None)
