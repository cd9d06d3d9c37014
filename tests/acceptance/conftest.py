from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.cluster import Cluster, cluster


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Cluster]:
    """A real Redis and nothing else yet: the test starts workers and submits."""
    with cluster(tmp_path) as made:
        yield made
