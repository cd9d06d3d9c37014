"""Nobody phones home: what runs here talks to Redis and the storage only, and leaves nothing in HOME and TMPDIR."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests import REPO
from tests.acceptance.cluster import until

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")

#: A connection or a datagram to an address, as strace shows it.
_ADDRESS = re.compile(r'sa_family=(AF_INET6?),.*?(?:inet_addr\("|inet_pton\(AF_INET6, ")([^"]+)')


def traced(folder: Path, *command: str) -> list[str]:
    """`strace`, as an argument list: it follows all processes that a command starts."""
    calls = "trace=connect,sendto,sendmsg,sendmmsg"
    return ["strace", "-f", "-qq", "-e", calls, "-o", str(folder / "calls"), sys.executable, "-P", "-m", *command]


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    for name in ("home", "tmp"):
        (tmp_path / name).mkdir()
    ours = {
        "HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "tmp"), "PYTHONPATH": str(REPO),
        "BULKQA_STORAGE_URL": str(tmp_path / "storage"),
    }  # fmt: skip
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("ORT_", "HF_", "XDG_", "BULKQA_"))
    }
    return kept | ours


def left_behind(folder: Path) -> list[Path]:
    return [path for name in ("home", "tmp") for path in (folder / name).rglob("*")]


def foreign(folder: Path) -> set[str]:
    """The addresses outside this machine that were talked to."""
    found = {match[2] for match in _ADDRESS.finditer((folder / "calls").read_text())}
    return {address for address in found if not address.startswith("127.") and address != "::1"}


def test_run_talks_to_nobody_and_leaves_nothing(tmp_path: Path, env: dict[str, str]) -> None:
    sample = str(REPO / "samples" / "questions.csv")
    command = traced(tmp_path, "producer", "run", sample, "-o", str(tmp_path / "answers.json"))
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    assert foreign(tmp_path) == set()
    assert left_behind(tmp_path) == []


def test_serve_with_a_worker_talks_to_nobody_and_leaves_nothing(tmp_path: Path, env: dict[str, str]) -> None:
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            traced(tmp_path, "producer", "serve", "--local", "--port", "0"),
            env=env, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
    try:
        until(lambda: "bulkqa serves http://" in log.read_text() or process.poll() is not None, "the server")
        url = re.search(r"http://[\d.:]+", log.read_text())
        assert url, log.read_text()
        until(lambda: httpx.get(f"{url[0]}/v1/workers").json(), "a worker")
        pair = {"question": "When was it built?", "context": "It was built in 1874.", "timeout": 30}
        answer = httpx.post(f"{url[0]}/v1/answer", json=pair, timeout=60)
        assert answer.is_success, answer.text
        assert answer.json()["predictions"][0]["answer"] == "1874"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)
    assert foreign(tmp_path) == set()
    assert left_behind(tmp_path) == []
