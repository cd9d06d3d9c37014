"""What one client may do to a server to be a burden to others, one function each. Nothing of it is answered for."""

from __future__ import annotations

import json
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import httpx
import pyarrow as pa

HEADER = b"question|context\n"


def _bomb(kind: str, line: bytes) -> bytes:
    """A file of a kilobyte or two that is hundreds of megabytes of rows."""
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, kind) as file:
        file.write(HEADER)
        for _ in range(200):
            file.write(line * (1_000_000 // len(line)))
    return sink.getvalue().to_pybytes()


class Attacker:
    """A client with a token of its own. `large` is a job of many rows, `silent` the URL of a host that takes
    connections and says nothing."""

    def __init__(self, url: str, token: str, large: str, silent: str, dice: random.Random) -> None:
        self._dice = dice
        self._large = large
        self._silent = silent
        self._token = token
        self._client = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=60)
        self._bag: list[Callable[[], None]] = []
        self._bombs = [("rows.csv.br", _bomb("brotli", b"a|b\n")), ("rows.csv.zst", _bomb("zstd", b"a|" + b"b" * 9997))]
        self.attacks = (
            self.large_body, self.exports, self.questions, self.bombs, self.silence, self.garbage, self.fields,
            self.webhook, self.cancels, self.pages, self.break_off,
        )  # fmt: skip

    def close(self) -> None:
        self._client.close()

    def next(self) -> Callable[[], None]:
        """Every attack once, in any order, before one comes again."""
        if not self._bag:
            self._bag = self._dice.sample(self.attacks, len(self.attacks))
        return self._bag.pop()

    def large_body(self) -> None:
        """A gigabyte to a route that takes little, under any name."""
        path = self._dice.choice(("/v1/answer", "/login", "/v1/jobs/none/cancel", "/nowhere"))
        kind = self._dice.choice(("multipart/form-data; boundary=b", "application/json", "text/plain"))
        with suppress(httpx.HTTPError):
            self._client.post(path, content=_gigabyte(), headers={"Content-Type": kind})

    def exports(self) -> None:
        """Many at once, of which little is read."""
        with ExitStack() as open_ones, suppress(httpx.HTTPError):
            for _ in range(self._dice.randint(5, 30)):
                options = {"format": self._dice.choice(("json", "jsonl", "csv", "parquet"))}
                answer = self._client.stream("GET", f"/v1/jobs/{self._large}/results", params=options)
                next(open_ones.enter_context(answer).iter_raw(), None)

    def questions(self) -> None:
        """Many at once, which no worker answers."""
        asked = {"question": "who?", "context": "nobody", "model": "none-has-it", "timeout": 20}
        self._at_once(20, lambda: self._client.post("/v1/answer", json=asked, timeout=self._dice.uniform(0.2, 4)))

    def bombs(self) -> None:
        name, data = self._dice.choice(self._bombs)
        path = self._dice.choice(("/v1/jobs", "/v1/check"))
        patience = self._dice.uniform(0.1, 3)
        self._at_once(4, lambda: self._client.post(path, files={"file": (name, data)}, timeout=patience))

    def silence(self) -> None:
        """Connections that say nothing, or stop in the middle of a head."""
        with ExitStack() as connections, suppress(OSError):
            for _ in range(self._dice.randint(50, 300)):
                connection = connections.enter_context(self._connection())
                connection.sendall(self._dice.choice((b"", b"GET /v1/jobs HTTP/1.1\r\nHost: ")))
            time.sleep(self._dice.uniform(0, 5))

    def garbage(self) -> None:
        for _ in range(50):
            with suppress(OSError), self._connection() as connection:
                connection.sendall(self._dice.randbytes(self._dice.randint(1, 2000)) + b"\r\n\r\n")
            with suppress(httpx.HTTPError):
                self._client.get(self._dice.choice(("/%00", "/v1/jobs/..%2f..", "/v1/jobs?limit=-1", "/\ud7ff")))

    def fields(self) -> None:
        """Surrogates, NUL, another charset, numbers without bounds."""
        odd = self._dice.choice(('{"a": "\\ud800"}', "\0", "[" * 5000, '{"a": 1e999}', "x" * 60_000))
        fields = {self._dice.choice(("metadata", "model", "key", "expire", "notify", "top_k", "nothing")): odd}
        file = {"file": ("../\0odd\n.csv", HEADER + b"a?|b\n")}
        with suppress(httpx.HTTPError):
            self._drop(self._client.post("/v1/jobs", files=file, data=fields))
            self._client.post("/v1/jobs", content=odd.encode(), headers={"Content-Type": "application/json"})

    def webhook(self) -> None:
        with suppress(httpx.HTTPError):
            for _ in range(4):
                self._drop(self._submitted(3, notify=self._silent))

    def cancels(self) -> None:
        """Jobs that are cancelled, or deleted with it, just after they came."""
        with suppress(httpx.HTTPError):
            for _ in range(3):
                answer = self._submitted(2000)
                if answer.is_success and self._dice.random() < 0.5:
                    self._client.post(f"/v1/jobs/{answer.json()['id']}/cancel")
                self._drop(answer)

    def pages(self) -> None:
        job = f"/v1/jobs/{self._large}"
        paths = (
            f"{job}/rows?limit=500",
            f"{job}/scores",
            f"{job}/diff?with={self._large}",
            f"{job}/errors",
            "/metrics",
        )
        self._at_once(10, lambda: self._client.get(self._dice.choice(paths), timeout=self._dice.uniform(0.1, 5)))

    def break_off(self) -> None:
        """An upload that ends in its middle."""
        with suppress(OSError), self._connection() as connection:
            head = f"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {self._token}\r\n"
            head += "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 9000000\r\n\r\n--b\r\n"
            connection.sendall(head.encode() + b'Content-Disposition: form-data; name="file"; filename="a"\r\n\r\n')
            connection.sendall(HEADER + b"a?|b\n" * self._dice.randint(1, 500_000))

    def _submitted(self, rows: int, **fields: str) -> httpx.Response:
        file = HEADER + b"who is it?|Nobody knows who it is.\n" * rows
        return self._client.post("/v1/jobs", files={"file": ("rows.csv", file)}, data=fields)

    def _drop(self, answer: httpx.Response) -> None:
        """Remove the job that came of it, if one did."""
        if answer.is_success:
            self._client.delete(f"/v1/jobs/{answer.json()['id']}", params={"cancel": "true"})

    def _connection(self) -> socket.socket:
        url = self._client.base_url
        return socket.create_connection((url.host, url.port or 80), timeout=10)

    def _at_once(self, count: int, do: Callable[[], object]) -> None:
        def one() -> None:
            with suppress(httpx.HTTPError):
                do()

        threads = [threading.Thread(target=one, daemon=True) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def _gigabyte() -> Iterator[bytes]:
    yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    for _ in range(1024):
        yield b"x" * (1 << 20)


def decoded(line: str) -> dict[str, object]:
    """A prediction, without what differs from job to job."""
    return {name: value for name, value in json.loads(line).items() if name != "job"}
