from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests import s3
from tests.acceptance.cluster import SHOWN, Cluster, cluster
from tests.acceptance.serving import serving
from tests.preloaded import PRODUCER, WORKER, Commands


@pytest.fixture(scope="session")
def commands() -> Iterator[Commands]:
    """`producer`, with a server's modules."""
    made = Commands(os.environ | SHOWN, modules=(*PRODUCER, "producer.server.run"))
    yield made
    made.close()


@pytest.fixture(scope="session")
def starts() -> Iterator[Commands]:
    """`worker`."""
    env = SHOWN | {"ARROW_DEFAULT_MEMORY_POOL": "system"}  # as `worker start` has it before it imports Arrow
    made = Commands(os.environ | env, program="worker", modules=WORKER)
    yield made
    made.close()


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory, commands: Commands, starts: Commands) -> Path:
    """A folder for a shell's PATH, with both programs."""
    folder = tmp_path_factory.mktemp("programs")
    for each in (commands, starts):
        each.script(folder)
    return folder


@pytest.fixture(scope="session")
def object_store(request: pytest.FixtureRequest) -> Iterator[None]:
    """With BULKQA_TEST_STORAGE=s3 (`make test-s3`) an S3 for the jobs of all clusters."""
    with pytest.MonkeyPatch.context() as patch:
        if os.environ.get("BULKQA_TEST_STORAGE") == "s3":
            for name, value in s3.environment(request.getfixturevalue("s3_endpoint")).items():
                patch.setenv(name, value)
        yield


@pytest.fixture
def running(tmp_path: Path, commands: Commands, starts: Commands, object_store: None) -> Iterator[Cluster]:
    """A real Redis and nothing else yet: the test starts workers and submits. For tests that stop, kill or count what
    runs, or that want no other job in the storage."""
    with cluster(tmp_path, commands, starts) as made:
        yield made


@pytest.fixture(scope="session")
def everybodys(
    tmp_path_factory: pytest.TempPathFactory, commands: Commands, starts: Commands, object_store: None
) -> Iterator[Cluster]:
    """A Redis and one idle worker, for the whole session: starting a worker takes longer than most tests."""
    with cluster(tmp_path_factory.mktemp("shared"), commands, starts) as made:
        made.worker()
        made.ready()
        yield made


@pytest.fixture
def shared(everybodys: Cluster, tmp_path: Path) -> Cluster:
    """The session's cluster, with a folder of the test's own. It holds jobs of other tests, some under way. A test that
    uses it stops nothing."""
    return everybodys.within(tmp_path)


@pytest.fixture(scope="session")
def server(everybodys: Cluster) -> Iterator[httpx.Client]:
    """A client of a server in front of that cluster, which takes as many requests as there are."""
    with serving(everybodys, BULKQA_API_REQUESTS="100000") as client:
        yield client


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Show what the workers of a failed test said."""
    report = yield
    used = getattr(item, "funcargs", {})
    if report.failed and (cluster := used.get("running") or used.get("shared")):
        report.sections.append(("workers", cluster.logs()))
    return report
