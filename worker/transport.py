"""Celery's way to Redis: one gate for all that comes off the queue, and none of its ways to fall silent.

Whoever can write to Redis can put anything on the queue, and among what is noted as not acknowledged. Celery would do
what it asks for, or stumble on it and never take another message. So nothing of it reaches Celery: it is read by
`contract.queue.message`, no further than one of ours is long, dropped with a word if it is none, and else made anew.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from queue import Empty
from typing import Any

import redis
from celery.worker.consumer import Consumer
from celery.worker.request import Request
from kombu.asynchronous import get_event_loop
from kombu.transport.redis import Channel, QoS, Transport

from contract.queue import message
from contract.queue.bounded import BOUNDED, TooLarge
from contract.queue.heal import Dropped, Healer, is_wrong_type
from contract.queue.message import NotOurs
from contract.queue.scripts import lua

log = logging.getLogger("bulkqa.worker")

#: After a refusal of Redis, before it is asked again, in seconds.
_REFUSED = 2.0
#: Unacknowledged messages looked at in one go, and how often in a row.
_BATCH, _BATCHES = 500, 20


def install(heard: Callable[[], None] = lambda: None) -> None:
    """Have this process's connections to Redis go through `SteadyChannel`, which calls `heard` whenever Redis answered
    what is on the queue."""
    Transport.Channel = SteadyChannel
    SteadyChannel.heard = staticmethod(heard)


class UnlimitedRequest(Request):  # type: ignore[misc]
    """A message may ask for limits of time, at which Celery kills the child: not here, whoever wrote it."""

    time_limits = property(lambda self: (None, None), lambda self, given: None)


_dropped = Dropped(log)


class SteadyQoS(QoS):
    """What was taken and is not acknowledged, as kombu keeps it, but of each only what a message of ours is for.

    An acknowledgement that fails is logged by Celery and forgotten: its message counts as under way for ever, and the
    worker, which takes one at a time, never asks for another. So it connects again.
    """

    def append(self, message_: Any, delivery_tag: str) -> None:
        """Note a message as taken."""
        job, chunk = message_.payload[0]
        value = message.dump_unacked(message_.delivery_info["routing_key"], job, chunk)
        self._run("take", [], delivery_tag, value)
        super(QoS, self).append(message_, delivery_tag)  # type: ignore[no-untyped-call]

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge a message, or connect again."""
        with _reconnecting():
            self._run("ack", [], delivery_tag)
        super(QoS, self).ack(delivery_tag)  # type: ignore[no-untyped-call]

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:  # noqa: FBT001, FBT002 - Celery's
        """Put a message back, or drop it, or connect again."""
        with _reconnecting():
            if requeue:
                self.restore_by_tag(delivery_tag, leftmost=True)
            else:
                self._run("ack", [], delivery_tag)
        super(QoS, self).ack(delivery_tag)  # type: ignore[no-untyped-call]

    def restore_by_tag(self, tag: str, client: Any = None, leftmost: bool = False) -> None:  # noqa: FBT001, FBT002
        """Put a message of this worker's back, unless another has done so because this one was silent."""
        mine = self._delivered.get(tag)
        if mine is None:
            return
        job, chunk = mine.payload[0]
        self._restore(tag, mine.delivery_info["routing_key"], job, chunk, "LPUSH" if leftmost else "RPUSH")

    def restore_visible(self, start: int = 0, num: int | None = None, interval: int = 1) -> None:
        """Put back what workers left behind that died: called every few seconds, and when a worker starts."""
        try:
            for _ in range(_BATCHES):
                lost, overdue = self._run("overdue", [], self.visibility_timeout, _BATCH, message.LIMIT)
                if lost:
                    _dropped.add("an entry of `unacked` that is too long", lost)
                for tag, value in zip(overdue[::2], overdue[1::2], strict=True):
                    self._restore_noted(tag, value)
                if not lost and len(overdue) < 2 * _BATCH:
                    return
        except redis.exceptions.NoPermissionError:
            raise  # the worker says so, and waits until it may
        except redis.ResponseError as error:
            log.warning("unacknowledged messages are not looked at: %s", error)

    def _restore_noted(self, tag: bytes, value: bytes) -> None:
        try:
            queue, job, chunk = message.read_unacked(value)
        except NotOurs as error:
            _dropped.add(f"an entry of `unacked`: {error}")
            self._run("ack", [], tag)
        else:
            self._restore(tag, queue, job, chunk, "RPUSH")

    def _restore(self, tag: str | bytes, queue: str, job: str, chunk: int, side: str) -> None:
        self._run("restore", [queue], tag, message.dump(message.build(queue, job, chunk)), side)

    def _run(self, script: str, queues: list[str], *args: Any) -> Any:
        return self.channel.run(script, [self.unacked_index_key, self.unacked_key, *queues], *args)


class SteadyChannel(Channel):
    """Celery's way to Redis, with the gate."""

    QoS = SteadyQoS
    heard: Callable[[], None] = staticmethod(lambda: None)
    #: The connection on which Redis is asked for messages, and its number there, if Redis says it.
    _waiting: tuple[Any, int | None] = (None, None)

    def _connparams(self, *given: Any, **more: Any) -> dict[str, Any]:
        return {**super()._connparams(*given, **more), **BOUNDED}  # type: ignore[no-untyped-call]

    def _queue_bind(self, *_: Any) -> None:
        """Messages go to their queue by name: a table of exchanges would be one more thing to alter."""

    def _size(self, queue: str) -> int:
        """Asked for when a queue is declared, and used by nobody."""
        return 0

    def close(self) -> None:
        """Leave. Kombu waits for the answer to what was asked last, which Redis gives a second after it was asked, so
        that no message is lost on the way; it is told to answer now."""
        if self._in_poll and self._waiting[1] is not None:
            with suppress(redis.RedisError, OSError):
                redis.Redis(connection_pool=self.pool).client_unblock(self._waiting[1])
        super().close()  # type: ignore[no-untyped-call]

    def _brpop_start(self, timeout: float | None = None) -> None:
        connection = self.client.connection
        if connection._sock is not self._waiting[0]:
            number = None
            with suppress(redis.ResponseError):  # a user without the right: then leaving takes a second
                connection.send_command("CLIENT", "ID")
                number = connection.read_response()
            self._waiting = connection._sock, number
        super()._brpop_start(timeout)  # type: ignore[no-untyped-call]

    def _brpop_read(self, **options: Any) -> bool:
        queue, job, chunk = self._pop(**options)
        self._queue_cycle.rotate(queue)
        self.connection._deliver(message.build(queue, job, chunk), queue)
        return True

    def _pop(self, **options: Any) -> tuple[str, str, int]:
        """What the queue gave, if that is a message of ours. Raises Empty if it is none, or if there is nothing."""
        reply: Any = None
        try:
            reply = self.client.parse_response(self.client.connection, "BRPOP", **options)
        except TooLarge as error:
            _dropped.add(f"a message: {error}")  # its reading ended the connection, and it is off the queue
            self.client.connection.disconnect()
        except self.connection_errors:
            self.client.connection.disconnect()
            raise
        except redis.ResponseError as error:
            if not is_wrong_type(error):
                raise
            _dropped.add("a queue that is no list")
            self._healer().heal(lists=[self.global_keyprefix + queue for queue in self.active_queues])
        finally:
            self._in_poll = None  # type: ignore[assignment]
        self.heard()
        if not reply:
            raise Empty
        try:
            return reply[0].decode(), *message.read(reply[1])
        except NotOurs as error:
            _dropped.add(f"a message: {error}")
            raise Empty from error

    def run(self, script: str, names: list[str], *args: Any) -> Any:
        """Run a script, by its name, over keys of ours; where one is of another type, it is removed first."""
        keys = [self.global_keyprefix + name for name in names]
        client = redis.Redis(connection_pool=self.pool)
        call = client.register_script(lua(script))
        try:
            return call(keys=keys, args=args)
        except redis.ResponseError as error:
            if not is_wrong_type(error):
                raise
            _dropped.add("a key of another type")
            self._healer().heal(zsets=keys[:1], hashes=keys[1:2], lists=keys[2:])
            return call(keys=keys, args=args)

    def _healer(self) -> Healer:
        return Healer(redis.Redis(connection_pool=self.pool))


@contextmanager
def _reconnecting() -> Iterator[None]:
    """Have Celery's loop connect again if this fails. Raised here it would be swallowed (`ack_log_error`, and the pool,
    which calls back from its own loop): so it is raised from the loop itself."""
    try:
        yield
    except Exception as error:
        if loop := get_event_loop():
            loop.call_soon(  # type: ignore[no-untyped-call]
                _raise, ConnectionError(f"a message was not acknowledged: {error}")
            )
        raise


def _raise(error: Exception) -> None:
    raise error


class PatientConsumer(Consumer):  # type: ignore[misc]
    """Asks a Redis that answers and refuses, as where its user lacks a right, every two seconds and no more often."""

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        """Wait a little before the next attempt."""
        super().on_connection_error_before_connected(exc)
        self._pause(exc)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Wait a little before connecting again."""
        super().on_connection_error_after_connected(exc)
        self._pause(exc)

    def _pause(self, exc: Exception) -> None:
        if isinstance(exc, self.channel_errors):
            time.sleep(_REFUSED)
