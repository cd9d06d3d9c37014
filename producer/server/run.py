"""The server process: listens, reports its address, and shuts down in order."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from contract.errors import UsageError
from contract.remedy import Remedy, Set
from contract.settings import Settings
from producer.server.access import SILENCE, connections_of
from producer.server.app import make_app
from producer.server.problems import PROBLEM, SEE_REQUESTS, Refused, problem

#: Seconds that open requests have to end at shutdown. Then their clients are cut off; and seconds that they and their
#: threads have from then on.
_GRACE, _LAST = 3, 2
#: Seconds of silence after which a body that has begun may make room for another connection.
_STALLED = 5.0


def run(settings: Settings, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Serve until a signal ends the process. `ready` is called with the URL. Raises UsageError if the address cannot
    be used."""
    app = make_app(settings)
    with _listening(host, port) as listener:
        shown = f"[{host}]" if ":" in host else host
        config = uvicorn.Config(
            app,
            http=partial(Connection, most=connections_of(settings), silence=SILENCE),  # type: ignore[arg-type]
            ws="none",
            log_config=None,  # contract.logs has set it up
            log_level="warning",
            access_log=False,
            lifespan="on",
            timeout_graceful_shutdown=_GRACE + _LAST,
            server_header=False,
            proxy_headers=False,
        )
        ready(f"http://{shown}:{listener.getsockname()[1]}")
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # the server raises it again after its shutdown
        with suppress(KeyboardInterrupt):
            _Server(config).run(sockets=[listener])
    threading.Thread(target=_end_after_main_thread, daemon=True).start()


class _Server(uvicorn.Server):
    """Cuts off, at its shutdown, the clients of requests that do not end: so each ends as if its client had left."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop."""
        asyncio.get_running_loop().call_later(_GRACE, self._hang_up)
        await super().shutdown(sockets)

    def _hang_up(self) -> None:
        for connection in list(self.server_state.connections):
            connection.transport.abort()


def _end_after_main_thread() -> None:
    """End the process, though threads are still at work for requests: whatever they do can be done again."""
    threading.main_thread().join()
    time.sleep(_LAST)
    os._exit(0)


class Connection(H11Protocol):
    """A connection, one of `most`. A further one takes the place of the one that has said nothing for longest, or is
    refused. The head of a request has `silence` seconds to arrive; its body is seen to by `producer.server.access`."""

    def __init__(self, *arguments: Any, most: int, silence: float, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._most = most
        self._silence = silence
        self._heard = self.loop.time()
        self._late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Make room for it, or refuse it."""
        super().connection_made(transport)
        self._time_head()
        if len(self.connections) > self._most:
            silent = [each for each in self.connections if isinstance(each, Connection) and each.waits and each != self]
            if silent:
                min(silent, key=lambda each: each._heard).transport.close()
            else:
                busy = Refused(503, "too_many_connections", "too many connections are open", "Try again later.", 5)
                self._answer(busy)

    def data_received(self, data: bytes) -> None:
        """It has said something."""
        self._heard = self.loop.time()
        super().data_received(data)
        self._time_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """It has ended."""
        if self._late:
            self._late.cancel()
        super().connection_lost(exc)

    @property
    def waits(self) -> bool:
        """Whether nothing but the client keeps it open: it sends no request, or stopped in the middle of a body."""
        if self.transport.is_closing() or self.transport.get_write_buffer_size():
            return False
        if self.conn.their_state is h11.SEND_BODY:
            return not self.flow.read_paused and self.loop.time() - self._heard > _STALLED
        return self.conn.their_state is h11.IDLE

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP."""
        self._answer(Refused(400, "bad_request", msg, SEE_REQUESTS))

    def _time_head(self) -> None:
        """Have the connection end if it waits for a head for too long."""
        is_head = self.conn.their_state is h11.IDLE
        if is_head and not self._late:
            self._late = self.loop.call_later(self._silence, self.transport.close)
        elif not is_head and self._late:
            self._late.cancel()
            self._late = None

    def _answer(self, refused: Refused) -> None:
        """Answer with a problem, unless another answer has begun, and close the connection."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            body = bytes(problem(refused, {}).body)
            head = f"HTTP/1.1 {refused.status} Refused\r\nContent-Type: {PROBLEM}\r\nContent-Length: {len(body)}\r\n"
            self.transport.write(f"{head}Connection: close\r\n\r\n".encode() + body)
        self.transport.close()


def _listening(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=1024)
    except (OSError, OverflowError) as error:
        free = Remedy("Name another port, or let the system choose a free one: ", Set(port=0))
        raise UsageError(f"cannot listen on {host}:{port}: {error}", free) from error
