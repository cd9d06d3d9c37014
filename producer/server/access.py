"""Who may ask, and how much: tokens, the cookie of the page, requests from other sites, requests a minute, sizes.

An ASGI layer around the application, so that nothing is read of a request that is refused.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import urlsplit

from prometheus_client import Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contract.errors import UsageError
from producer.server.problems import Refused

COOKIE = "bulkqa"
_SAFE = ("GET", "HEAD", "OPTIONS")
#: What may be had without a token: the login form and what it is made of, and what a load balancer asks.
_OPEN = ("/login", "/healthz", "/readyz", "/page/")
#: What a browser is told about everything that comes from here.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
#: Bytes of a request that brings no file.
SMALL = 1 << 20
#: Clients whose requests are counted; past it those that were silent longest are forgotten.
_CLIENTS = 10_000


def check_address(host: str, tokens: tuple[str, ...]) -> None:
    """Raise UsageError for an address that others can reach, unless a token is asked for."""
    if not tokens and not is_loopback(host):
        raise UsageError(
            f"{host} can be reached from other machines, and no token is set",
            "Set BULKQA_API_TOKEN to a long random word, or leave out --host.",
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    if host.rstrip(".").lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def tokens_of(text: str) -> tuple[str, ...]:
    """The tokens of a setting: several, separated by commas, while one replaces another. Raises UsageError."""
    tokens = tuple(token.strip() for token in text.split(",") if token.strip())
    if any(len(token) < 16 for token in tokens):
        raise UsageError("a token of BULKQA_API_TOKEN is shorter than 16 characters", "Make one: openssl rand -hex 32")
    return tokens


def cookie_of(token: str) -> str:
    """What the page's cookie holds in place of a token: it does not tell the token."""
    return hmac.new(token.encode(), b"the cookie of the page", hashlib.sha256).hexdigest()


def same(given: str, known: Iterable[str]) -> bool:
    """Whether a word is one of those known, in a time that does not tell how much of it was right."""
    found = False
    for one in known:
        found |= hmac.compare_digest(given.encode(), one.encode())
    return found


@dataclass
class Rate:
    """Requests of a client a minute: as a bucket that is filled steadily, and holds those of a minute."""

    minute: int
    clock: Callable[[], float] = time.monotonic
    _left: dict[str, tuple[float, float]] = field(default_factory=dict)

    def take(self, client: str) -> int | None:
        """None if one more is well; else the seconds after which it will be."""
        now = self.clock()
        left, at = self._left.pop(client, (float(self.minute), now))
        left = min(self.minute, left + (now - at) * self.minute / 60)
        if len(self._left) >= _CLIENTS:
            del self._left[next(iter(self._left))]
        self._left[client] = (left - 1 if left >= 1 else left, now)
        return None if left >= 1 else max(1, round((1 - left) * 60 / self.minute))


@dataclass(frozen=True)
class Access:
    """The layer. `refuse` makes the answer to a request that is refused."""

    app: ASGIApp
    tokens: tuple[str, ...]
    upload_bytes: int
    rate: Rate
    refuse: Callable[[Refused], ASGIApp]
    requests: Histogram  #: of all that comes in, refused or not: seconds, by method and status

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, since = False, time.monotonic()

        async def noted(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                self.requests.labels(_method(scope), message["status"]).observe(time.monotonic() - since)
                _guard(MutableHeaders(scope=message), scope["path"])
            await send(message)

        try:
            self._check(scope)
            await self.app(scope, self._counted(scope, receive), noted)
        except Refused as refused:
            if started:
                raise
            await self.refuse(refused)(scope, receive, noted)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        if not self.tokens:
            _check_host(headers)
        if scope["method"] not in _SAFE:
            _check_origin(headers)
        path = scope["path"]
        if not path.startswith("/page/") and (after := self.rate.take((scope.get("client") or ("?",))[0])):
            raise Refused(429, "too_many_requests", "too many requests", f"Ask again in {after} s.", after)
        if self.tokens and path != "/" and not path.startswith(_OPEN):
            self._check_token(headers)

    def _check_token(self, headers: Headers) -> None:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            if not same(given.strip(), self.tokens):
                raise Refused(403, "wrong_token", "the token is not one of this server", "Is it still in use?")
            return
        cookie = _cookie(headers)
        if cookie is None:
            raise Refused(
                401, "no_token", "this server asks for a token", "Send the header Authorization: Bearer TOKEN"
            )
        if not same(cookie, map(cookie_of, self.tokens)):
            raise Refused(401, "wrong_token", "the cookie is not of a token of this server", "Log in again: /login")

    def _counted(self, scope: Scope, receive: Receive) -> Receive:
        """The request's body, refused where it is larger than it may be: by what it says of itself, or as it comes."""
        headers = Headers(scope=scope)
        is_upload = headers.get("content-type", "").startswith("multipart/")
        most = self.upload_bytes if is_upload else SMALL
        said = headers.get("content-length", "")
        if said.isdigit() and int(said) > most:
            raise _too_large(most)
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > most:
                raise _too_large(most)
            return message

        return counted


def _method(scope: Scope) -> str:
    """The method of a request, of those that there are: a label has few values, whatever is sent."""
    method: str = scope["method"]
    return method if method in (*_SAFE, "POST", "DELETE") else "other"


def _guard(headers: MutableHeaders, path: str) -> None:
    for name, value in _HEADERS.items():
        headers.setdefault(name, value)
    if path.startswith("/v1/"):
        headers.setdefault("Cache-Control", "no-store")


def _too_large(most: int) -> Refused:
    size = f"{most >> 20:,} MiB" if most >= 1 << 20 else f"{most:,} bytes"
    return Refused(413, "too_large", f"a request like this may bring {size}", "Send less, or: BULKQA_API_UPLOAD_BYTES")


def _cookie(headers: Headers) -> str | None:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return found.value if found else None


def _check_host(headers: Headers) -> None:
    """Without a token only names of this machine are answered: a site whose name was made to point here is not one."""
    host = urlsplit(f"//{headers.get('host', '')}").hostname or ""
    if not is_loopback(host):
        raise Refused(
            403, "wrong_host", f"this server is asked as {host or 'nobody'}", "Ask it as localhost, or set a token."
        )


def _check_origin(headers: Headers) -> None:
    """A page of another site changes nothing here, whoever's cookie it sends."""
    origin = headers.get("origin")
    other = origin is not None and urlsplit(origin).netloc != headers.get("host")
    if other or headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise Refused(
            403, "other_site", "this was asked by a page of another site", "Ask from the page of this server."
        )


def limits(settings: Any) -> tuple[tuple[str, ...], Rate]:
    """Tokens, and requests a minute. Raises UsageError."""
    return tokens_of(settings.api_token.get_secret_value()), Rate(settings.api_requests)
