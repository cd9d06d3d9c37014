"""Proxies and certificates as people's environments name them: they are used, or an error names the variable."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from bulkqa import AsyncClient, Client
from contract.errors import Unreachable, UsageError
from producer import web
from producer.input.open import open_input
from tests.s3 import free_port

NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "ssl_cert_file", "ssl_cert_dir")
ELSEWHERE = "http://qa.example.test"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        for variable in (name, name.upper()):
            monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def http_server() -> Iterator[tuple[str, list[str]]]:
    """A web server that answers [] to everything, as a proxy too: its host and port, and what it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"[]")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    "variables",
    [
        {"ALL_PROXY": "socks://127.0.0.1:1/"},  # as GNOME sets it
        {"ALL_PROXY": "socks5://127.0.0.1:1"},
        {"http_proxy": "http://127.0.0.1:1", "no_proxy": "localhost,[::1]"},
        {"http_proxy": "127.0.0.1:1", "all_proxy": "nonsense://["},
    ],
)
def test_a_server_on_this_machine_is_asked_without_a_proxy(
    variables: dict[str, str], http_server: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with Client(server=f"http://{http_server[0]}") as client:
        assert client.workers() == []


def test_a_server_elsewhere_is_asked_through_the_proxy(
    http_server: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, asked = http_server
    monkeypatch.setenv("http_proxy", address)  # many leave the scheme out
    with Client(server=ELSEWHERE) as client:
        assert client.workers() == []
    assert asked == [f"{ELSEWHERE}/v1/workers"]


def test_a_proxy_that_is_away_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setenv("HTTP_PROXY", f"http://user:secret@127.0.0.1:{port}")
    with Client(server=ELSEWHERE) as client, pytest.raises(Unreachable) as caught:
        client.workers()
    assert f"the proxy at 127.0.0.1:{port} (HTTP_PROXY)" in caught.value.message
    assert "secret" not in str(caught.value)


def _of_the_server() -> None:
    Client(server=ELSEWHERE)


def _of_asyncio() -> None:
    AsyncClient(server=ELSEWHERE)


def _of_an_input() -> None:
    open_input(f"{ELSEWHERE}/q.csv")


@pytest.mark.parametrize("ask", [_of_the_server, _of_asyncio, _of_an_input])
@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ALL_PROXY", "socks4://127.0.0.1:7890"),
        ("all_proxy", "http://[::1"),
        ("HTTP_PROXY", "http://"),
        ("http_proxy", "ftp://127.0.0.1:21"),
        ("HTTP_PROXY", "http://127.0.0.1:port"),
        ("SSL_CERT_FILE", "/nowhere/cert.pem"),
        ("SSL_CERT_DIR", "/nowhere"),
        ("SSL_CERT_FILE", os.devnull),
        ("SSL_CERT_FILE", __file__),
    ],
)
def test_a_variable_that_nobody_can_use_is_named(
    ask: Callable[[], None], variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(UsageError, match=variable):
        ask()


@pytest.mark.parametrize("value", ["socks://127.0.0.1:7890/", "socks5://127.0.0.1:1080", "socks5h://127.0.0.1"])
@pytest.mark.parametrize("ask", [_of_the_server, _of_asyncio, _of_an_input])
def test_socks_is_used_or_its_package_is_named(
    ask: Callable[[], None], value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", value)
    monkeypatch.setitem(__import__("sys").modules, "socksio", None)
    with pytest.raises(UsageError, match=r"\(ALL_PROXY\) speaks SOCKS, which needs the package socksio"):
        ask()


@pytest.mark.parametrize(
    ("url", "exceptions", "direct"),
    [
        ("http://qa.example.test", "example.test", True),
        ("http://qa.example.test", ".example.test", True),
        ("http://qa.example.test", "*.example.test", True),
        ("http://qa.example.test", "a.test, qa.example.test", True),
        ("http://qa.example.test", "ample.test", False),
        ("http://qa.example.test", "*", True),
        ("http://qa.example.test:81", "example.test:80", False),
        ("http://qa.example.test", "example.test:80", True),
        ("https://qa.example.test", "example.test:443", True),
        ("http://10.1.2.3", "10.0.0.0/8", True),
        ("http://11.1.2.3", "10.0.0.0/8", False),
        ("http://[fd00::1]", "[fd00::1]", True),
        ("http://[fd00::1]:8321", "[fd00::1]:8321", True),
        ("http://[fd00::1]", "fd00::/8", True),
        ("http://[fd00::1]", "localhost,[::1]", False),
        ("http://qa.example.test", ",, ", False),
        ("http://[::1]:8321", "", True),
        ("http://127.9.9.9", "", True),
        ("http://a.localhost", "", True),
    ],
)
def test_no_proxy_is_read_as_by_others(
    url: str, exceptions: str, direct: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", exceptions)
    assert (web.proxy_for(httpx.URL(url)) is None) is direct


def test_certificates_of_the_environment_are_those_that_are_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.faults.tls import Authority

    monkeypatch.setenv("SSL_CERT_FILE", str(Authority.make(tmp_path, "ours").ca))
    (authority,) = web._certificates().get_ca_certs()
    assert authority["subject"] == ((("commonName", "ours"),),)
