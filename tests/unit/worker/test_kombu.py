"""What `worker.transport` and `worker.tasks` use of the insides of kombu, Celery, billiard and redis-py, which none of
them promises: a release that changes one of them fails here, by name, before it fails in a worker, or in silence."""

from __future__ import annotations

import inspect
from typing import Any

import billiard.pool
import celery.apps.worker
import pytest
import redis
from celery.concurrency.prefork import TaskPool
from celery.worker.consumer import Consumer
from celery.worker.request import Request
from kombu.transport.redis import Channel, QoS, Transport

#: Class, method, and its parameters without self: those that we override are called with them, or call them.
METHODS: list[tuple[type, str, list[str]]] = [
    (Channel, "_connparams", ["asynchronous"]),
    (Channel, "_queue_bind", ["exchange", "routing_key", "pattern", "queue"]),
    (Channel, "_size", ["queue"]),
    (Channel, "_brpop_start", ["timeout"]),
    (Channel, "_brpop_read", ["options"]),
    (Channel, "close", []),
    (QoS, "append", ["message", "delivery_tag"]),
    (QoS, "ack", ["delivery_tag"]),
    (QoS, "reject", ["delivery_tag", "requeue"]),
    (QoS, "restore_by_tag", ["tag", "client", "leftmost"]),
    (QoS, "restore_visible", ["start", "num", "interval"]),
    (QoS.__mro__[1], "append", ["message", "delivery_tag"]),
    (QoS.__mro__[1], "ack", ["delivery_tag"]),
    (Consumer, "on_connection_error_before_connected", ["exc"]),
    (Consumer, "on_connection_error_after_connected", ["exc"]),
    (TaskPool, "on_start", []),
    (TaskPool, "on_stop", []),
    (TaskPool, "did_start_ok", []),
]


@pytest.mark.parametrize(("owner", "name", "parameters"), METHODS)
def test_a_method_that_is_overridden_or_called(owner: type, name: str, parameters: list[str]) -> None:
    found = list(inspect.signature(getattr(owner, name)).parameters)
    assert found[1:] == parameters


@pytest.mark.parametrize(
    ("owner", "names"),
    [
        (Channel, ["QoS", "_in_poll", "_queue_cycle", "active_queues", "client", "global_keyprefix", "pool"]),
        (Channel, ["connection_errors", "unacked_index_key", "unacked_key", "visibility_timeout"]),
        (Transport, ["Channel", "connection_errors", "channel_errors"]),
        (Request, ["time_limits"]),
        (QoS, ["channel", "_delivered"]),
        (Consumer, ["channel_errors"]),
        (redis.Connection, ["_sock"]),
    ],
)
def test_an_attribute(owner: Any, names: list[str]) -> None:
    source = "".join(inspect.getsource(each) for each in owner.__mro__[:-1])
    assert [name for name in names if not hasattr(owner, name) and f"self.{name} = " not in source] == []


def test_who_calls_what_is_overridden() -> None:
    """The loop reads one reply at a time by `_brpop_read`, which hands a message to `connection._deliver`; what it took
    is in `_delivered`."""
    assert "self.connection._deliver" in inspect.getsource(Channel._brpop_read)
    assert "_brpop_read" in inspect.getsource(Channel)
    assert "self._queue_cycle" in inspect.getsource(Channel._brpop_start)
    assert "self._delivered = " in inspect.getsource(QoS.__mro__[1])


def test_a_name_that_is_replaced_is_one_that_is_read() -> None:
    """Else replacing it would change nothing, and nothing would tell."""
    assert "safe_say(" in inspect.getsource(celery.apps.worker._shutdown_handler)
    assert billiard.pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT > 10
    assert "GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT" in inspect.getsource(billiard.pool.Worker)
    assert "self.Channel(" in inspect.getsource(Transport.__mro__[1])


def test_a_child_knows_its_place() -> None:
    assert "w.index = i" in inspect.getsource(billiard.pool.Pool)
