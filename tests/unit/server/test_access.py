"""Tokens, addresses, and requests a minute."""

from __future__ import annotations

import asyncio
import errno
import json
import re
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretStr

from contract.errors import UsageError
from contract.settings import Settings

pytest.importorskip("starlette")

from producer.server import access
from producer.server.access import (
    COOKIE,
    Rate,
    address_of,
    check_address,
    client_of,
    cookie_of,
    is_among,
    proxies_of,
    tokens_of,
)
from producer.server.app import make_app

BLOCK = 64 << 10
FORM = "multipart/form-data; boundary=b"


@dataclass
class Asked:
    """A request to the application, and what came of it."""

    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    head: bytes = b""
    blocks: int = 0  #: after the head
    peer: str = "127.0.0.1"
    read: int = 0  #: bytes that the application took
    messages: list[Any] = field(default_factory=list)

    async def receive(self) -> dict[str, Any]:
        block, self.head = self.head or b"x" * BLOCK * bool(self.blocks), b""
        self.blocks -= bool(self.blocks)
        self.read += len(block)
        return {"type": "http.request", "body": block, "more_body": self.blocks > 0}

    async def send(self, message: Any) -> None:
        self.messages.append(message)

    def of(self, app: Any) -> Asked:
        asyncio.run(app(_scope(self.method, self.path, self.headers, self.peer), self.receive, self.send))
        return self

    @property
    def status(self) -> int:
        return self.messages[0]["status"]

    @property
    def answer_headers(self) -> dict[bytes, bytes]:
        return dict(self.messages[0]["headers"])

    @property
    def problem(self) -> dict[str, Any]:
        assert self.answer_headers[b"content-type"] == b"application/problem+json"
        return json.loads(b"".join(message.get("body", b"") for message in self.messages[1:]))


def _scope(method: str, path: str, headers: dict[str, str], peer: str) -> dict[str, Any]:
    return {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "root_path": "",
        "query_string": b"", "scheme": "http", "http_version": "1.1", "client": (peer, 5),
        "server": ("127.0.0.1", 80), "state": {},
        "headers": [(name.lower().encode(), value.encode("latin-1"))
                    for name, value in ({"Host": "localhost"} | headers).items()],
    }  # fmt: skip


@pytest.mark.parametrize("kind", [FORM, "application/x-www-form-urlencoded", "application/json", "text/plain", ""])
@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize(
    ("path", "most"),
    [
        ("/v1/answer", 4 << 20),
        ("/v1/jobs/some-job/verdicts", 4 << 20),
        ("/login", 4 << 10),
        ("/v1/jobs/some-job/cancel", 64 << 10),
        ("/nowhere", 64 << 10),
    ],
)
def test_only_uploads_may_be_large(path: str, most: int, kind: str, chunked: bool, settings: Settings):
    """Whatever the request calls itself, and however long it says that it is."""
    length = {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": str(1 << 30)}
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    asked = Asked("POST", path, {"Content-Type": kind, **length}, head, (1 << 30) // BLOCK).of(make_app(settings))
    assert asked.read <= (most + BLOCK + len(head) if chunked else 0)
    if asked.status == 413:
        assert asked.problem["code"] == "too_large"
        assert asked.problem["remedy"]
    else:  # what it does without a body, or says of the first of it
        assert chunked
        assert asked.status in (400, 403, 404, 405, 415, 422)
    assert asked.answer_headers[b"connection"] == b"close", "the rest is not read"


def test_a_json_object_that_names_a_file_is_no_upload(settings: Settings):
    headers = {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}
    for path in ("/v1/jobs", "/v1/check"):
        asked = Asked("POST", path, headers, b'{"url": "', 1000).of(make_app(settings))
        assert asked.read <= 2 * BLOCK
        assert asked.status in (413, 422)


def test_a_bucket_holds_a_minute_and_is_filled_steadily():
    now = 0.0
    rate = Rate(60, clock=lambda: now)
    assert [rate.take("a") for _ in range(60)] == [None] * 60
    assert rate.take("a") == 1
    assert rate.take("b") is None
    now = 1.0
    assert rate.take("a") is None
    assert rate.take("a") == 1
    now = 1000.0
    assert [rate.take("a") for _ in range(61)] == [None] * 60 + [1]


def test_of_very_many_clients_those_of_long_ago_are_forgotten():
    rate = Rate(1, clock=lambda: 0.0)
    for number in range(20_000):
        rate.take(str(number))
    assert len(rate._left) <= 10_000


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "LOCALHOST.", "127.3.2.1"])
def test_this_machine_alone_needs_no_token(host: str):
    check_address(host, ())


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "example.org", ""])
def test_an_address_that_others_reach_needs_one(host: str):
    with pytest.raises(UsageError, match="token"):
        check_address(host, ())
    check_address(host, ("a" * 16,))


def test_tokens_are_several_and_long():
    assert tokens_of("") == ()
    assert tokens_of(f"{'a' * 16}, {'b' * 16},") == ("a" * 16, "b" * 16)
    with pytest.raises(UsageError, match="shorter"):
        tokens_of("secret")


def test_what_is_compared_may_be_anything():
    assert is_among("é", ["a", "é"])
    assert not is_among("", ["a"])
    assert not is_among("", [])
    assert cookie_of("a" * 16) != cookie_of("b" * 16)


TOKEN = "a" * 16


def test_bad_requests_from_an_address_take_nothing_from_a_token_or_a_health_check(settings: Settings):
    """All come from the address of one proxy."""
    app = make_app(settings.model_copy(update={"api_token": SecretStr(TOKEN), "api_requests": 30}))
    wrong = {"Authorization": "Bearer nobody-has-this-token"}
    assert [Asked("GET", "/v1/workers", wrong).of(app).status for _ in range(40)] == [403] * 30 + [429] * 10
    assert Asked("POST", "/login").of(app).status == 429
    for headers in ({"Authorization": f"Bearer {TOKEN}"}, {"Cookie": f"{COOKIE}={cookie_of(TOKEN)}"}):
        assert Asked("GET", "/v1/jobs/none", headers).of(app).status == 404
    assert [Asked("GET", "/healthz").of(app).status for _ in range(40)] == [200] * 40
    counted = [Asked("GET", "/v1/jobs/none", {"Authorization": f"Bearer {TOKEN}"}, peer=f"10.0.0.{i}").of(app).status
               for i in range(30)]  # fmt: skip
    assert counted == [404] * 28 + [429] * 2, "a token is one client, wherever it is used"


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("10.0.0.7", "9.9.9.9, 8.8.8.8", "8.8.8.8"),
        ("10.0.0.7", "8.8.8.8, 10.1.2.3", "8.8.8.8"),
        ("10.0.0.7", "10.1.0.1", "10.1.0.1"),
        ("10.0.0.7", "", "10.0.0.7"),
        ("10.0.0.7", "8.8.8.8, no address", "10.0.0.7"),
        ("::ffff:10.0.0.7", "8.8.8.8", "8.8.8.8"),
        ("10.0.0.8", "8.8.8.8", "10.0.0.8"),
        ("2001:db8::1:2", "8.8.8.8", "2001:db8::/64"),
        ("10.0.0.7", "2001:db8::9", "2001:db8::/64"),
    ],
)
def test_a_header_names_the_client_if_a_proxy_sent_it(peer: str, forwarded: str, address: str):
    scope = {"type": "http", "client": (peer, 1), "headers": [(b"x-forwarded-for", forwarded.encode())]}
    assert address_of(scope, proxies_of("10.0.0.7, 10.1.0.0/16")) == address


def test_a_request_that_is_passed_on_knows_who_sent_it(settings: Settings):
    app = make_app(settings.model_copy(update={"api_token": SecretStr(f"{'b' * 16},{TOKEN}")}))
    seen = []

    async def asked(scope: Any, receive: Any, send: Any) -> None:
        seen.append(client_of(scope))

    for headers in ({"Authorization": f"Bearer {TOKEN}"}, {"Cookie": f"{COOKIE}={cookie_of(TOKEN)}"}, {}):
        asyncio.run(replace(app, app=asked)(_scope("GET", "/", headers, "10.0.0.7"), None, None))  # type: ignore[arg-type]
    assert seen == ["token 1", "token 1", "10.0.0.7"]


def test_a_proxy_is_an_address_or_a_network():
    with pytest.raises(UsageError, match="BULKQA_API_PROXIES"):
        proxies_of("proxy.example.org")


@pytest.mark.parametrize("tokens", ["", TOKEN])
@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Host": "[::1"}, 400, "bad_host"),
        ({"Host": "[x]:9"}, 400, "bad_host"),
        ({"Origin": "http://[::1"}, 403, "other_site"),
        ({"Content-Type": "multipart/form-data; charset=undefined; boundary=b"}, 400, "bad_charset"),
    ],
)
def test_malformed_headers_are_problems(
    headers: dict[str, str], status: int, code: str, tokens: str, settings: Settings
):
    app = make_app(settings.model_copy(update={"api_token": SecretStr(tokens)}))
    body = b'--b\r\nContent-Disposition: form-data; name="token"\r\n\r\nx\r\n--b--\r\n'
    asked = Asked("POST", "/login", {"Transfer-Encoding": "chunked", **headers}, body).of(app)
    assert (asked.status, asked.problem["code"]) == (status, code)
    assert asked.problem["remedy"]


@pytest.mark.parametrize(
    ("peer", "status"), [("10.0.0.7", 404), ("10.0.0.8", 403), ("::ffff:10.0.0.7", 404), ("nowhere", 403)]
)
def test_a_page_behind_a_proxy_that_names_another_host_is_its_own(peer: str, status: int, settings: Settings):
    """The proxy asks under a name of its own, and says under which one it was asked. Others are not believed."""
    app = make_app(settings.model_copy(update={"api_proxies": "10.0.0.7"}))
    headers = {"Origin": "https://qa.example.org", "X-Forwarded-Host": "qa.example.org", "Content-Length": "0"}
    asked = Asked("POST", "/v1/jobs/no-such-job/cancel", headers, peer=peer).of(app)
    assert asked.status == status


def test_the_page_asks_below_the_address_where_it_lies():
    """A proxy may serve it below a path."""
    absolute = re.compile(r"""(href|src|action)=["']/|(href|src|action): ?[`"']/|(EventSource|assign|fetch)\([`"']/""")
    files = [path for path in Path(access.__file__).with_name("page").iterdir() if path.suffix in (".html", ".js")]
    assert {(path.name, match[0]) for path in files for match in absolute.finditer(path.read_text())} == set()


@pytest.mark.parametrize("path", ["/", "/login", "/healthz", "/metrics", "/openapi.json", "/v1/jobs"])
def test_head_is_answered_as_get_is_without_a_body(path: str, settings: Settings):
    app = make_app(settings)
    get, head = Asked("GET", path).of(app), Asked("HEAD", path).of(app)
    assert (head.status, get.status) == (200, 200)
    assert {name for name, _ in head.messages[0]["headers"]} == {name for name, _ in get.messages[0]["headers"]}
    assert [message.get("body", b"") for message in head.messages[1:]] == [b""]
    assert not head.messages[-1].get("more_body")


def test_head_of_what_is_not_there_is_refused_as_get_is(settings: Settings):
    app = make_app(settings)
    assert [Asked("HEAD", path).of(app).status for path in ("/nowhere", "/v1/jobs/no-such-job")] == [404, 404]
    assert Asked("HEAD", "/v1/answer").of(app).status == 405


@pytest.mark.parametrize("path", ["/v1/jobs/", "/login/", "/healthz/", "/page", "/v1/workers/"])
def test_nothing_redirects_to_an_address_that_the_server_made_up(path: str, settings: Settings):
    """Behind TLS it would be one of http://, to which a client sends its token in clear."""
    asked = Asked("GET", path, {"X-Forwarded-Proto": "https"}).of(make_app(settings))
    assert asked.status == 404
    assert b"location" not in asked.answer_headers


def test_a_malformed_range_is_a_problem(settings: Settings):
    asked = Asked("GET", "/page/main.js", {"Range": "bytes=9-1"}).of(make_app(settings))
    assert (asked.status, asked.problem["code"]) == (400, "http_400")


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 507, "no_room"),
        (OSError(errno.EMFILE, "Too many open files"), 503, "overloaded"),
        (RuntimeError("a bug"), 500, "internal"),
        pytest.param(UsageError("\ud800"), 422, "usage", id="surrogate"),
    ],
)
@pytest.mark.parametrize("inside", [True, False])
def test_no_failure_is_without_a_problem(
    error: Exception, status: int, code: str, inside: bool, settings: Settings, caplog: pytest.LogCaptureFixture
):
    """Wherever it is raised: in a route, or before the framework."""
    app = make_app(settings)

    async def route() -> None:
        raise error

    async def layer(_: Any, __: Any, ___: Any) -> None:
        raise error

    if inside:
        app.app.get("/fails")(route)
    else:
        app = replace(app, app=layer)
    asked = Asked("GET", "/fails").of(app)
    assert (asked.status, asked.problem["code"]) == (status, code)
    assert asked.problem["remedy"] or code == "usage"
    assert ("a request failed" in caplog.text) == (status == 500)


def test_a_body_that_stalls_is_refused(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(access, "SILENCE", 0.05)
    app = make_app(settings)
    form = {"Content-Type": FORM, "Transfer-Encoding": "chunked"}

    class Stalls(Asked):
        async def receive(self) -> dict[str, Any]:
            return await (super().receive() if self.blocks else asyncio.Event().wait())  # type: ignore[return-value]

    for path in ("/v1/jobs", "/v1/answer", "/login"):
        asked = Stalls("POST", path, form).of(app)
        assert (asked.status, asked.problem["code"]) == (408, "request_timeout")
        assert asked.answer_headers[b"connection"] == b"close"


def test_a_slow_body_is_read_to_its_end_unless_it_barely_moves(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    """On a clock by which 20 s pass while each block is awaited."""
    monkeypatch.setattr(access, "time", SimpleNamespace(monotonic=count(0.0, 20.0).__next__))
    app = make_app(settings)
    form = {"Content-Type": FORM, "Transfer-Encoding": "chunked"}
    assert Asked("POST", "/v1/check", form, b"--b", 8).of(app).status == 400, "it is no form"

    class Dribbles(Asked):
        async def receive(self) -> dict[str, Any]:
            await asyncio.sleep(0)
            return {"type": "http.request", "body": b"-", "more_body": True}

    assert Dribbles("POST", "/v1/check", form).of(app).status == 408
