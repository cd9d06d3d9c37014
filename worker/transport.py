"""Celery's way to Redis, without its ways to fall silent and to do what a message asks and we do not need."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Empty
from typing import Any

from celery.worker.consumer import Consumer
from celery.worker.request import Request
from kombu.asynchronous import get_event_loop
from kombu.transport.redis import Channel, Transport

log = logging.getLogger("bulkqa.worker")

#: After a refusal of Redis, before it is asked again.
_REFUSED = 2.0


def install() -> None:
    """Have this process's connections to Redis go through `SteadyChannel`."""
    Transport.Channel = SteadyChannel


class UnlimitedRequest(Request):  # type: ignore[misc]
    """A message may ask for limits of time, at which Celery kills the child: not here, whoever wrote it."""

    time_limits = property(lambda self: (None, None), lambda self, given: None)


class SteadyChannel(Channel):
    """Celery's way to Redis, without two of its ways to fall silent.

    What is on the queue and is no message at all would end the worker: it is thrown away with a word. And an
    acknowledgement that fails is logged by Celery and forgotten: its message counts as under way for ever, and the
    worker, which takes one at a time, never asks for another. So it connects again.
    """

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[no-untyped-call]
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            log.warning("dropped from the queue what is no message of ours: %r", error)
            raise Empty from error

    def basic_ack(self, *given: Any, **more: Any) -> None:
        """Acknowledge a message, or connect again."""
        with _reconnecting():
            super().basic_ack(*given, **more)  # type: ignore[no-untyped-call]

    def basic_reject(self, *given: Any, **more: Any) -> None:
        """Put a message back, or connect again."""
        with _reconnecting():
            super().basic_reject(*given, **more)  # type: ignore[no-untyped-call]


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
