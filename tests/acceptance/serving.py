"""`producer serve` as a process, for tests that ask it."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.acceptance.cluster import Cluster, end, until


@contextmanager
def serving(cluster: Cluster, *arguments: str, **env: str) -> Iterator[httpx.Client]:
    """A client of a server in front of the cluster's storage and Redis."""
    with tempfile.TemporaryDirectory(prefix="server-") as folder:
        log = Path(folder) / "log"
        process = cluster.serve("--port", "0", *arguments, log=log, **env)
        try:
            until(lambda: "\n" in log.read_text() or process.poll() is not None, "the first line of the server")
            found = re.search(r"http://\S+", log.read_text())
            assert found, log.read_text()
            with httpx.Client(base_url=found[0], timeout=60) as client:
                yield client
        finally:
            assert end(process) == 0, log.read_text()
