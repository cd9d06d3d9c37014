"""Bounded replies of Redis: whoever can write to it can put 500 MB under a key that bulkqa reads."""

from __future__ import annotations

from typing import Any

from redis._parsers import _RESP2Parser
from redis._parsers.socket import SocketBuffer
from redis.exceptions import InvalidResponse
from redis.utils import SENTINEL

from contract.queue.message import LIMIT

#: The most bytes of a whole reply: some 100,000 leases or workers.
REPLY = 16 << 20


class TooLarge(InvalidResponse):
    """The reply is longer than any that bulkqa causes. It was not read, and the connection is closed."""


class BoundedParser(_RESP2Parser):
    """`parser_class` of a connection. No reply is longer than REPLY, no value in it longer than LIMIT."""

    def on_connect(self, connection: Any) -> None:
        """Bound the buffer of a new connection."""
        super().on_connect(connection)  # type: ignore[no-untyped-call]
        self._buffer = _BoundedBuffer(connection._sock, self.socket_read_size, connection.socket_timeout)


#: Options of a redis-py connection. RESP3 would use another parser.
BOUNDED: dict[str, Any] = {"parser_class": BoundedParser, "protocol": 2}


class _BoundedBuffer(SocketBuffer):
    _taken = 0  #: bytes read of the current reply

    def read(self, length: int, timeout: float | object = SENTINEL) -> bytes:
        self._take(length)
        if length > LIMIT:
            raise TooLarge(f"a value of {length} bytes, and {LIMIT} is the limit")
        return super().read(length, timeout)

    def readline(self, timeout: float | object = SENTINEL) -> bytes:
        line = super().readline(timeout)
        self._take(len(line) + 2)
        return line

    def rewind(self, pos: int) -> None:
        self._taken = 0
        super().rewind(pos)

    def purge(self) -> None:
        self._taken = 0
        super().purge()

    def _take(self, length: int) -> None:
        self._taken += length
        if self._taken > REPLY:
            raise TooLarge(f"a reply of more than {REPLY} bytes")
