"""Replies of Redis, read no further than ours are long: whoever writes to it may leave 500 MB under a key of ours."""

from __future__ import annotations

from typing import Any

from redis._parsers import _RESP2Parser
from redis._parsers.socket import SocketBuffer
from redis.exceptions import InvalidResponse
from redis.utils import SENTINEL

from contract.queue.message import LIMIT

#: Bytes of a whole reply, at most: some 100,000 leases or workers.
REPLY = 16 << 20


class TooLarge(InvalidResponse):
    """The reply is longer than any of ours. It was not read, and the connection is closed."""


class BoundedParser(_RESP2Parser):
    """`parser_class` of a connection. None of its replies is longer than REPLY, no value in them than LIMIT."""

    def on_connect(self, connection: Any) -> None:
        """Bound the buffer of a new connection."""
        super().on_connect(connection)  # type: ignore[no-untyped-call]
        self._buffer = _BoundedBuffer(connection._sock, self.socket_read_size, connection.socket_timeout)


#: Options of a redis-py connection. RESP3, which some servers speak, has its own parser.
BOUNDED: dict[str, Any] = {"parser_class": BoundedParser, "protocol": 2}


class _BoundedBuffer(SocketBuffer):
    _taken = 0  #: bytes of the reply that is being read

    def read(self, length: int, timeout: float | object = SENTINEL) -> bytes:
        self._take(length)
        if length > LIMIT:
            raise TooLarge(f"a value of {length} bytes, where none of ours has more than {LIMIT}")
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
            raise TooLarge(f"a reply of over {REPLY} bytes")
