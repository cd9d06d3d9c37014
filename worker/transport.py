"""Celery's transport to Redis, with a gate for messages, and without the ways in which it falls silent.

Whoever can write to Redis can put anything on the queue, or among the unacknowledged messages. Celery would do what
such a message says, or fail on it and never take another. So no message reaches Celery as it is:
`contract.queue.message` reads it, up to the length of our own, and it is dropped and logged, or built again.
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

#: Seconds between a refusal by Redis and the next attempt.
_REFUSED = 2.0
#: Unacknowledged messages in one batch, and batches in a row.
_BATCH, _BATCHES = 500, 20


def install(on_reply: Callable[[], None] = lambda: None) -> None:
    """Make `SteadyChannel` this process's transport. It calls `on_reply` whenever Redis replies about the queue."""
    Transport.Channel = SteadyChannel
    SteadyChannel.on_reply = staticmethod(on_reply)


class UnlimitedRequest(Request):  # type: ignore[misc]
    """Ignores time limits, which any message may set, and at which Celery would kill the child."""

    time_limits = property(lambda self: (None, None), lambda self, limits: None)


_dropped = Dropped(log)


class SteadyQoS(QoS):
    """The unacknowledged messages, where kombu keeps them, but of each only the queue, the job and the chunk.

    Celery logs an acknowledgement that fails, and forgets it: the message counts as in progress forever, and a worker,
    which takes one at a time, never asks for another. This class connects again instead.
    """

    def append(self, message_: Any, delivery_tag: str) -> None:
        """Record a message as taken."""
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
        """Put a message of this worker back, unless another worker has done so because this one was silent."""
        delivered = self._delivered.get(tag)
        if delivered is None:
            return
        job, chunk = delivered.payload[0]
        self._restore(tag, delivered.delivery_info["routing_key"], job, chunk, "LPUSH" if leftmost else "RPUSH")

    def restore_visible(self, start: int = 0, num: int | None = None, interval: int = 1) -> None:
        """Put back the messages of dead workers. Called every few seconds, and when a worker starts."""
        try:
            for _ in range(_BATCHES):
                too_long, overdue = self._run("overdue", [], self.visibility_timeout, _BATCH, message.LIMIT)
                if too_long:
                    _dropped.add("an entry of `unacked` that is too long", too_long)
                for tag, value in zip(overdue[::2], overdue[1::2], strict=True):
                    self._restore_unacked(tag, value)
                if not too_long and len(overdue) < 2 * _BATCH:
                    return
        except redis.exceptions.NoPermissionError:
            raise  # logged by the worker, which waits until the right is granted
        except redis.ResponseError as error:
            log.warning("unacknowledged messages cannot be read: %s", error)

    def _restore_unacked(self, tag: bytes, value: bytes) -> None:
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
    """Celery's connection to Redis, with the gate."""

    QoS = SteadyQoS
    on_reply: Callable[[], None] = staticmethod(lambda: None)
    #: The connection that waits for messages, and its client id in Redis, if known.
    _waiting: tuple[Any, int | None] = (None, None)

    def _connparams(self, *args: Any, **more: Any) -> dict[str, Any]:
        return {**super()._connparams(*args, **more), **BOUNDED}  # type: ignore[no-untyped-call]

    def _queue_bind(self, *_: Any) -> None:
        """Do nothing: messages go to their queue by name. A table of exchanges could be tampered with too."""

    def _size(self, queue: str) -> int:
        """Save a call: kombu asks for the size when a queue is declared, and nothing uses it."""
        return 0

    def close(self) -> None:
        """Close the connection. Kombu waits for the reply to its last request, so that no message is lost: that takes a
        second, unless Redis is asked to reply at once."""
        if self._in_poll and self._waiting[1] is not None:
            with suppress(redis.RedisError, OSError):
                redis.Redis(connection_pool=self.pool).client_unblock(self._waiting[1])
        super().close()  # type: ignore[no-untyped-call]

    def _brpop_start(self, timeout: float | None = None) -> None:
        connection = self.client.connection
        if connection._sock is not self._waiting[0]:
            client_id = None
            with suppress(redis.ResponseError):  # a user without that right: then closing takes a second
                connection.send_command("CLIENT", "ID")
                client_id = connection.read_response()
            self._waiting = connection._sock, client_id
        super()._brpop_start(timeout)  # type: ignore[no-untyped-call]

    def _brpop_read(self, **options: Any) -> bool:
        queue, job, chunk = self._pop(**options)
        self._queue_cycle.rotate(queue)
        self.connection._deliver(message.build(queue, job, chunk), queue)
        return True

    def _pop(self, **options: Any) -> tuple[str, str, int]:
        """The queue, job and chunk of the next message. Raises Empty if there is none, or a foreign one."""
        reply: Any = None
        try:
            reply = self.client.parse_response(self.client.connection, "BRPOP", **options)
        except TooLarge as error:
            _dropped.add(f"a message: {error}")  # it is off the queue, and the connection cannot be used further
            self.client.connection.disconnect()
        except self.connection_errors:
            self.client.connection.disconnect()
            raise
        except redis.ResponseError as error:
            if not is_wrong_type(error):
                raise
            _dropped.add("a queue that is not a list")
            self._healer().heal(lists=[self.global_keyprefix + queue for queue in self.active_queues])
        finally:
            self._in_poll = None  # type: ignore[assignment]
        self.on_reply()
        if not reply:
            raise Empty
        try:
            return reply[0].decode(), *message.read(reply[1])
        except NotOurs as error:
            _dropped.add(f"a message: {error}")
            raise Empty from error

    def run(self, script: str, names: list[str], *args: Any) -> Any:
        """Run a script, by its name, over our keys. A key of another type is removed first."""
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
    """Have Celery's loop connect again if the block fails. The error is raised from the loop itself: Celery would
    swallow it here (`ack_log_error`, and the pool, which calls back from its own loop)."""
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
    """Waits two seconds after a refusal by Redis, for example of a user without the necessary rights."""

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        """Wait before the next attempt."""
        super().on_connection_error_before_connected(exc)
        self._pause(exc)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Wait before connecting again."""
        super().on_connection_error_after_connected(exc)
        self._pause(exc)

    def _pause(self, exc: Exception) -> None:
        if isinstance(exc, self.channel_errors):
            time.sleep(_REFUSED)
