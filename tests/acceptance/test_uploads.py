"""A kilobyte that is hundreds of megabytes of rows, sent to a real server: nobody else waits for it."""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import psutil
import pyarrow as pa
import pytest

from contract.format import layout
from tests.acceptance.cluster import Cluster, until
from tests.acceptance.serving import serving

READING = "producer.server.uploads.reading"
TOKENS = ("a-token-of-one-client", "a-token-of-another")


ALLOWED = {"BULKQA_API_TOKEN": ",".join(TOKENS), "BULKQA_API_UPLOAD_RATIO": "1000000000"}


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


def readers(running: Cluster) -> list[psutil.Process]:
    """The processes that read uploads to this storage, after the one from which they are forked."""
    found = [each for each in psutil.process_iter(["cmdline"]) if READING in (each.info["cmdline"] or [])]
    ours = [each for each in found if environment(each).get("BULKQA_STORAGE_URL") == running.storage.url]
    return sorted(ours, key=psutil.Process.create_time)


def environment(process: psutil.Process) -> dict[str, str]:
    """What a process was started with; nothing for one that has ended."""
    try:
        return process.environ()
    except psutil.Error:
        return {}


def temporary_files(process: psutil.Process) -> set[int]:
    """The files without a name that a process has open."""
    opened = Path(f"/proc/{process.pid}/fd").iterdir()
    return {path.stat().st_ino for path in opened if str(path.readlink()).endswith("(deleted)")}


@contextmanager
def reading_two(running: Cluster, server: httpx.Client, bomb: bytes, clients: int) -> Iterator[None]:
    """While two uploads of so many clients are read."""
    with ExitStack() as connections:
        for _ in range(clients):
            connections.enter_context(send(server, bomb, "rows.csv.br", TOKENS[0]))
        until(lambda: len(running.storage.list(layout.JOBS)) == 2, "what is read of two of them")
        yield


def test_who_sends_much_in_little_keeps_nobody_waiting_and_leaves_nothing_behind(
    running: Cluster, bomb: bytes, tmp_path: Path
):
    """Where its ratio is allowed."""
    (temporary := tmp_path / "temporary").mkdir()
    with serving(running, **ALLOWED, TMPDIR=str(temporary)) as server:
        with reading_two(running, server, bomb, 5):
            assert sent(server, b"question|context\na?|b\n", "rows.csv", TOKENS[1]).status_code == 202
            assert len(readers(running)) == 3
        until(lambda: len(readers(running)) == 1, "the end of what was read for clients that have left")
        until(lambda: len(running.storage.list(layout.JOBS)) == 1, "the removal of what they wrote")
        assert list(temporary.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="the files of other processes are looked at")
def test_what_reads_has_no_secret_no_client_and_no_upload_but_its_own(running: Cluster, bomb: bytes):
    with serving(running, **ALLOWED) as server, reading_two(running, server, bomb, 2):
        template, *children = readers(running)
        for each in (template, *children):
            assert not [name for name, value in environment(each).items() if TOKENS[0] in value]
            assert not [word for word in each.cmdline() if running.redis_url in word or TOKENS[0] in word]
            assert each.net_connections("inet") == []
        files = [temporary_files(child) for child in children]
        assert [len(each) for each in files] == [1, 1]
        assert files[0] != files[1]
        assert temporary_files(template) == set()


def test_a_server_that_is_killed_leaves_no_process_and_no_chunk(running: Cluster, bomb: bytes, tmp_path: Path):
    (temporary := tmp_path / "temporary").mkdir()
    process = running.serve("--port", "0", log=(log := tmp_path / "log"), **ALLOWED, TMPDIR=str(temporary))
    address = until(lambda: re.search(r"http://\S+", log.read_text()), "the address of the server")[0]
    with httpx.Client(base_url=address) as server, reading_two(running, server, bomb, 2):
        process.kill()
        until(lambda: not readers(running), "the end of those that read")
    assert running.storage.list(layout.JOBS) == []
    assert list(temporary.iterdir()) == []


def test_what_expands_too_much_is_a_problem_that_names_the_setting(server: httpx.Client, bomb: bytes):
    answer = sent(server, bomb, "rows.csv.br", TOKENS[0])
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, "unreadable")
    assert f"rows.csv.br: its {len(bomb):,} bytes expand to over 1," in problem["detail"]
    assert "BULKQA_API_UPLOAD_RATIO" in problem["remedy"]
