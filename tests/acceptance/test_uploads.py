"""A kilobyte that is hundreds of megabytes of rows, sent to a real server: nobody else waits for it."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path

import httpx
import psutil
import pyarrow as pa
import pytest

from contract.format import layout
from tests.acceptance.cluster import Cluster, until
from tests.acceptance.serving import serving

TOKENS = ("a-token-of-one-client", "a-token-of-another")


@pytest.fixture(scope="module")
def bomb() -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "brotli") as file:
        file.write(b"question|context\n")
        for _ in range(200):
            file.write(b"a|b\n" * 250_000)
    data = sink.getvalue().to_pybytes()
    assert len(data) < 2000
    return data


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def sent(server: httpx.Client, data: bytes, name: str, token: str) -> httpx.Response:
    return server.post("/v1/jobs", files={"file": (name, data)}, headers=bearer(token))


def send(server: httpx.Client, data: bytes, name: str, token: str) -> socket.socket:
    """The connection of a client that has sent an upload, and waits."""
    request = server.build_request("POST", "/v1/jobs", files={"file": (name, data)}, headers=bearer(token))
    lines = [f"POST {request.url.path} HTTP/1.1", *(f"{name}: {value}" for name, value in request.headers.items())]
    connection = socket.create_connection((server.base_url.host, server.base_url.port or 80))
    connection.sendall("\r\n".join([*lines, "", ""]).encode() + request.read())
    return connection


def children(running: Cluster) -> int:
    """The processes that read uploads to this storage."""
    count = 0
    for process in psutil.process_iter(["cmdline", "environ"]):
        if "producer.server.uploads.reading" in (process.info["cmdline"] or []):
            count += (process.info["environ"] or {}).get("BULKQA_STORAGE_URL") == running.storage.url
    return count


def test_who_sends_much_in_little_keeps_nobody_waiting_and_leaves_nothing_behind(
    running: Cluster, bomb: bytes, tmp_path: Path
):
    """Where its ratio is allowed."""
    (temporary := tmp_path / "temporary").mkdir()
    env = {"BULKQA_API_TOKEN": ",".join(TOKENS), "BULKQA_API_UPLOAD_RATIO": "1000000000", "TMPDIR": str(temporary)}
    with serving(running, **env) as server, ExitStack() as connections:
        for _ in range(5):
            connections.enter_context(send(server, bomb, "rows.csv.br", TOKENS[0]))
        until(lambda: len(running.storage.list(layout.JOBS)) == 2, "what is read of two of them")
        assert sent(server, b"question|context\na?|b\n", "rows.csv", TOKENS[1]).status_code == 202
        assert children(running) == 2
        connections.close()
        until(lambda: not children(running), "the end of what was read for clients that have left")
        until(lambda: len(running.storage.list(layout.JOBS)) == 1, "the removal of what they wrote")
        assert list(temporary.iterdir()) == []


def test_what_expands_too_much_is_a_problem_that_names_the_setting(server: httpx.Client, bomb: bytes):
    answer = sent(server, bomb, "rows.csv.br", TOKENS[0])
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, "unreadable")
    assert f"rows.csv.br: its {len(bomb):,} bytes expand to over 1," in problem["detail"]
    assert "BULKQA_API_UPLOAD_RATIO" in problem["remedy"]
