"""One client that asks for much, and the others: exports, questions and the end of the server. No worker runs."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from contract.ledger import records
from contract.ledger.reconcile import reconcile
from contract.settings import Settings
from tests.acceptance.cluster import Cluster, cluster, until
from tests.acceptance.serving import serving
from tests.acceptance.test_serve import process_of
from tests.making import csv, finish_parts, job_of
from tests.preloaded import Commands
from tests.twins.queue import MemoryQueue

GREEDY, OTHER = "a-token-of-24-characters", "b-token-of-24-characters"
ROWS = 20_000
#: What a server may have beside the threads of its lanes.
THREADS = 45


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, commands: Commands) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("shares"), commands) as made:
        yield made


@pytest.fixture(scope="module")
def job(place: Cluster) -> str:
    """A job of many rows that has ended."""
    settings = Settings(storage_url=place.storage.url)
    data = csv(ROWS).replace(b'"word', b'"' + b"a long context " * 30)
    manifest = job_of(place.storage, settings, data)
    finish_parts(place.storage, manifest)
    assert reconcile(manifest.id, place.storage, MemoryQueue(), settings).published
    return manifest.id


@pytest.fixture
def client(place: Cluster) -> Iterator[httpx.Client]:
    """That of the other token."""
    with serving(place, BULKQA_API_TOKEN=f"{GREEDY},{OTHER}", BULKQA_API_EXPORTS="20") as made:
        made.headers["Authorization"] = f"Bearer {OTHER}"
        yield made


@contextmanager
def exports(client: httpx.Client, job: str, count: int) -> Iterator[Counter[bytes]]:
    """Exports of the greedy client, of which it reads nothing but the status."""
    assert client.base_url.port
    with ExitStack() as connections:
        sockets = []
        for kind in ("json", "jsonl", "csv", "parquet") * (count // 4):
            connection = connections.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.settimeout(60)
            connection.connect((client.base_url.host, client.base_url.port))
            path = f"/v1/jobs/{job}/results?format={kind}"
            connection.sendall(
                f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {GREEDY}\r\n\r\n".encode()
            )
            sockets.append(connection)
        yield Counter(connection.recv(12).removeprefix(b"HTTP/1.1 ") for connection in sockets)


def test_one_client_s_exports_are_a_share_and_the_others_get_theirs(client: httpx.Client, job: str):
    with exports(client, job, 60) as begun:
        assert begun == {b"200": 20, b"429": 40}
        for path in ("/healthz", "/readyz", "/", "/v1/jobs", f"/v1/jobs/{job}", f"/v1/jobs/{job}/rows?text=3"):
            assert client.get(path).status_code == 200
        lines = client.get(f"/v1/jobs/{job}/results", params={"format": "jsonl"}).content.splitlines()
        assert len(lines) == ROWS
        greedy = {"Authorization": f"Bearer {GREEDY}"}
        refused = client.get(f"/v1/jobs/{job}/errors", headers=greedy)
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_exports")
        assert int(refused.headers["retry-after"]) > 0
        assert client.get(f"/v1/jobs/{job}", headers=greedy).status_code == 200
        assert process_of(client).num_threads() < THREADS
    until(lambda: client.get(f"/v1/jobs/{job}/errors", headers=greedy).status_code == 404, "the end of what was left")


def test_a_whole_file_comes_from_no_temporary_one_and_is_the_same_in_pieces(client: httpx.Client, job: str):
    process = process_of(client)
    with client.stream("GET", f"/v1/jobs/{job}/results", params={"format": "json"}) as answer:
        blocks = answer.iter_raw()
        assert next(blocks)
        assert not [file for file in process.open_files() if Path(file.path).parent.name == "tmp"]
        document = b"".join(blocks)
    assert document.endswith(b"]}\n")


async def ask(client: httpx.Client, count: int) -> list[httpx.Response]:
    limits = httpx.Limits(max_connections=count)
    headers = {"Authorization": f"Bearer {GREEDY}"}
    async with httpx.AsyncClient(base_url=client.base_url, timeout=100, limits=limits, headers=headers) as asking:
        asked = {"question": "When?", "context": "In 1532."}
        tasks = [asyncio.create_task(asking.post("/v1/answer", json=asked)) for _ in range(count)]
        threads = 0
        while not all(task.done() for task in tasks):
            assert (await asyncio.to_thread(client.get, "/healthz")).status_code == 200
            threads = max(threads, await asyncio.to_thread(process_of(client).num_threads))
        assert threads < THREADS
        return await asyncio.gather(*tasks)


def test_questions_that_wait_for_a_worker_hold_no_thread_and_make_no_job(
    client: httpx.Client, place: Cluster, job: str
):
    answers = asyncio.run(ask(client, 300))
    codes = Counter(answer.json()["code"] for answer in answers)
    assert codes == {"no_worker": 256, "too_many_at_once": 44}
    assert all(int(answer.headers["retry-after"]) > 0 for answer in answers)
    assert records.jobs(place.storage) == [job]


def test_whatever_is_open_the_server_ends(client: httpx.Client, job: str):
    process = process_of(client)
    with exports(client, job, 20), client.stream("GET", f"/v1/jobs/{job}/results"):
        os.kill(process.pid, signal.SIGTERM)
        until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE, "its end", 20)
