from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contract.health import health_files
from contract.settings import Settings
from contract.storage.local import LocalStorage
from tests import REPO
from tests.making import NAMESPACE
from worker.heartbeat import Parent
from worker.reader.open import open_reader
from worker.reader.reader import Reader
from worker.worker import Worker

SHIPPED = REPO / "models" / "minilm-l6-qa"


@pytest.fixture(scope="session")
def shipped() -> Reader:
    return open_reader(SHIPPED)


@pytest.fixture
def worker(
    settings: Settings, redis_url: str, redis_client: Any, shipped: Reader, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Worker]:
    """A worker in this process. All have the same reader in turn: loading it takes longer than most tests."""
    monkeypatch.setattr("worker.reader.open.open_reader", lambda *_: shipped)
    LocalStorage(Path(settings.storage_url), create=True)
    settings = settings.model_copy(
        update={"redis_url": redis_url, "threads": 1, "model": SHIPPED.name, "namespace": NAMESPACE}
    )
    made = Worker(settings, "w1", health_files(settings.health_file, "worker")[0], Parent())
    yield made
    made.close()
