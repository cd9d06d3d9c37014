from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.broker import FaultyCluster, faulty_cluster


@pytest.fixture
def running(tmp_path: Path) -> Iterator[FaultyCluster]:
    with faulty_cluster(tmp_path) as made:
        yield made
