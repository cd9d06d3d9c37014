"""A client whose storage and queue are in memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bulkqa import Client
from tests.twins.queue import MemoryQueue
from tests.twins.storage import MemoryStorage


class ClosableQueue(MemoryQueue):
    def close(self) -> None:
        self.closed = True


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """No worker runs: `tests.making.finish` does its work."""
    monkeypatch.setenv("BULKQA_MODEL", "tiny")
    monkeypatch.setattr("contract.storage.open_storage", lambda *_, **__: MemoryStorage())
    monkeypatch.setattr("contract.namespace.open_queue", lambda *_: ClosableQueue())
    with Client() as client:
        yield client
