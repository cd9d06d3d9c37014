"""An S3 of the tests' own: moto's server in a process, and a proxy before it that fails as it is told."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

BUCKET = "bulkqa-test"
SECRET = "not-to-be-shown"  # noqa: S105 - of no use anywhere


#: moto's own server looks whether there is an object and then writes it, while another thread does the same: two
#: conditional puts may both succeed, which no service does. Requests one after the other are as atomic as its.
_SERVER = """
import sys, threading
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple

moto, turn = DomainDispatcherApplication(create_backend_app), threading.Lock()

def one_at_a_time(environ, start_response):
    with turn:
        return list(moto(environ, start_response))

run_simple("127.0.0.1", int(sys.argv[1]), one_at_a_time, threaded=True)
"""


def environment(endpoint: str) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
    }


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def moto() -> Iterator[str]:
    """Its address. There is one bucket, empty."""
    port = free_port()
    command = [sys.executable, "-c", _SERVER, str(port)]
    env = os.environ | {"MOTO_PORT": str(port), "S3_UPLOAD_PART_MIN_SIZE": "1"}  # tests upload small parts
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env) as server:
        try:
            deadline = time.monotonic() + 60
            while not _bucket_made(port):
                assert time.monotonic() < deadline, "moto's server does not start"
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.kill()


def _bucket_made(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("PUT", f"/{BUCKET}")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


class Faulty(ThreadingHTTPServer):
    """Hands requests on to `endpoint`. Of the methods in `faults` the next ones fail: by a status, or "lost": done, and
    not answered; "late": done, and answered 500. Headers in `ignored` are not handed on, as if unknown."""

    daemon_threads = True

    def __init__(self, endpoint: str) -> None:
        self.target = urlsplit(endpoint).netloc
        self.faults: dict[str, deque[int | str]] = {}
        self.ignored: set[str] = set()
        self.requests: list[str] = []
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hung up is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Faulty

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.requests.append(f"{self.command} {self.path}")
        waiting = self.server.faults.get(self.command)
        fault = waiting.popleft() if waiting else None
        if isinstance(fault, int):
            return self._answer(fault, b"<Error><Code>Made</Code></Error>", {})
        connection = http.client.HTTPConnection(self.server.target, timeout=30)
        left_out = {"connection", "host"} | self.server.ignored
        headers = {k: v for k, v in self.headers.items() if k.lower() not in left_out}
        connection.request(self.command, self.path, body, headers | {"Host": self.server.target})
        response = connection.getresponse()
        data = response.read()
        connection.close()
        if fault == "lost":
            self.close_connection = True
            return None
        if fault == "late":
            return self._answer(500, b"<Error><Code>InternalError</Code></Error>", {})
        given = {k: v for k, v in response.getheaders() if k.lower() not in ("transfer-encoding", "connection")}
        return self._answer(response.status, data, given)

    def _answer(self, status: int, data: bytes, headers: dict[str, str]) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() != "content-length":
                self.send_header(name, value)
        length = headers.get("Content-Length", headers.get("content-length", len(data)))
        self.send_header("Content-Length", str(length if self.command == "HEAD" else len(data)))
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else data)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _handle  # noqa: N815 - their names are http.server's

    def log_message(self, *_: object) -> None:
        """Silent."""
