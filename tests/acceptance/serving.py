"""`producer serve` as a process, for tests that ask it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from tests.acceptance.cluster import OURS, Cluster, end


@contextmanager
def serving(cluster: Cluster, *arguments: str, **env: str) -> Iterator[httpx.Client]:
    """A client of a server in front of the cluster's storage and Redis."""
    command = [sys.executable, "-m", "producer", "serve", "--port", "0", *arguments]
    with subprocess.Popen(
        command, env=cluster.env | env, stderr=subprocess.PIPE, text=True, cwd=cluster.folder, **OURS
    ) as process:
        try:
            assert process.stderr
            first = process.stderr.readline()
            found = re.search(r"http://\S+", first)
            assert found, first + process.stderr.read()
            with httpx.Client(base_url=found[0], timeout=60) as client:
                yield client
        finally:
            assert end(process) == 0
