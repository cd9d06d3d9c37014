"""The client of a server that has no room for a request yet: it waits and asks again."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

pytest.importorskip("httpx")

from contract.errors import Unreachable, UsageError
from producer.backend.http import HttpBackend
from producer.input.location import Documents
from producer.request import Request

JOB = "20260101-000000-00000000"


class Busy(ThreadingHTTPServer):
    """Refuses some requests, and then answers as one that removes a job does."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.refusals = 2
        self.after = "0"
        self.requests: list[str] = []


class Handler(BaseHTTPRequestHandler):
    def answer(self) -> None:
        assert isinstance(self.server, Busy)
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.requests.append(self.command)
        busy = len(self.server.requests) <= self.server.refusals
        problem = {"status": 429, "code": "too_many_exports", "detail": "later", "remedy_parts": []}
        body = json.dumps(problem if busy else {"job": JOB, "bytes": 7}).encode()
        self.send_response(429 if busy else 200)
        self.send_header("Content-Type", "application/problem+json" if busy else "application/json")
        self.send_header("Content-Length", str(len(body)))
        if busy:
            self.send_header("Retry-After", self.server.after)
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_DELETE = do_POST = answer  # noqa: N815 - as the library calls them

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def busy() -> Iterator[Busy]:
    with Busy() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def backend(busy: Busy) -> Iterator[HttpBackend]:
    made = HttpBackend(f"http://127.0.0.1:{busy.server_port}")
    yield made
    made.close()


def test_what_is_refused_for_now_is_asked_again(busy: Busy, backend: HttpBackend):
    assert b"".join(backend.lines(JOB)) == json.dumps({"job": JOB, "bytes": 7}).encode()
    busy.requests.clear()
    assert backend.delete(JOB) == (JOB, 7)
    assert busy.requests == ["DELETE"] * 3


def test_nobody_waits_for_longer_than_an_answer_may_take(busy: Busy, backend: HttpBackend):
    busy.after = "3600"
    with pytest.raises(Unreachable, match="later"):
        backend.delete(JOB)
    assert busy.requests == ["DELETE"]


def test_a_file_is_sent_once(busy: Busy, backend: HttpBackend):
    with pytest.raises(Unreachable, match="later"):
        backend.submit(io.BytesIO(b"question|context\na?|b\n"), Request())
    assert busy.requests == ["POST"]


def test_more_documents_than_a_server_takes_are_refused_before_any_is_sent(busy: Busy, tmp_path: Path):
    for number in range(101):
        (tmp_path / f"{number}.txt").write_text("A mill.")
    backend = HttpBackend(f"http://127.0.0.1:{busy.server_address[1]}", "")
    with pytest.raises(UsageError, match="has 101 documents, and a server takes 100 at a time"):
        backend.submit(Documents(str(tmp_path), io.BytesIO(b"What is it?\n")), Request())
    assert busy.requests == []
