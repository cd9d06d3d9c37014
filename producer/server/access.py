"""Which requests are answered: tokens, the page's cookie, other sites, the rate limit, sizes.

An ASGI layer around the application: of a request that is refused, no body is read.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import re
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import nullcontext
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from prometheus_client import Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contract.errors import UsageError
from contract.remedy import Remedy, Set
from contract.settings import Settings
from producer.server.problems import PROBLEM, SEE_REQUESTS, Refused
from producer.server.shares import AtOnce

COOKIE = "bulkqa"
_SAFE = ("GET", "HEAD", "OPTIONS")
#: Paths that need no token: the page, empty until it has one, its login and files, the checks of a load balancer.
_OPEN = ("/", "/login")
#: Paths that need no token and count towards no limit.
_HEALTH, _FILES = ("/healthz", "/readyz"), "/page/"
#: Headers of every answer, for browsers.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
#: Bytes of a request's body, at most: of a question (or 32 rows, if they are smaller), of a login, of any other.
_ANSWER, _JUDGED, _LOGIN, _OTHER = 4 << 20, 4 << 20, 4 << 10, 64 << 10
_VERDICTS = re.compile("/v1/jobs/[^/]+/verdicts")
#: Seconds in which a head has to arrive; and bytes of a body that have to arrive in as many seconds of waiting.
SILENCE, _MOVING = 30.0, 1024
#: Clients whose requests are counted, at most; the one that was silent longest is forgotten first.
_CLIENTS = 10_000


def connections_of(settings: Settings) -> int:
    """How many connections are open at once, at most: an upload takes another file or two."""
    try:
        import resource
    except ImportError:  # Windows
        return settings.api_connections
    return min(settings.api_connections, max(1, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2))


def check_address(host: str, tokens: tuple[str, ...]) -> None:
    """Raise UsageError for an address that other machines can reach, unless a token is required."""
    if not tokens and not is_loopback(host):
        raise UsageError(
            f"{host} can be reached from other machines, and no token is set",
            Remedy("Set BULKQA_API_TOKEN to a long random text, or leave out ", Set("host"), "."),
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
    """The tokens of a setting, separated by commas: several while they are rotated. Raises UsageError."""
    tokens = tuple(token.strip() for token in text.split(",") if token.strip())
    if any(len(token) < 16 for token in tokens):
        raise UsageError("a token of BULKQA_API_TOKEN is shorter than 16 characters", "Make one: openssl rand -hex 32")
    return tokens


def cookie_of(token: str) -> str:
    """The value of the page's cookie for a token: the token cannot be derived from it."""
    return hmac.new(token.encode(), b"the cookie of the page", hashlib.sha256).hexdigest()


def is_among(secret: str, known: Iterable[str]) -> bool:
    """Whether a secret is a known one, in a time that does not depend on how much of it is right."""
    return _place(secret, known) is not None


def _place(secret: str, known: Iterable[str]) -> int | None:
    """The place of a secret among the known ones."""
    matches = [hmac.compare_digest(secret.encode(), each.encode()) for each in known]
    return matches.index(True) if True in matches else None


_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def proxies_of(text: str) -> tuple[_Network, ...]:
    """The proxies of a setting: addresses and networks, separated by commas. Raises UsageError."""
    try:
        return tuple(ipaddress.ip_network(part.strip(), strict=False) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise UsageError(f"BULKQA_API_PROXIES: {error}", "For example: 10.0.0.7, 10.1.0.0/16") from None


def address_of(scope: Scope, proxies: Iterable[_Network]) -> str:
    """The address that a request comes from: the peer's, or if that is a proxy, the last one in X-Forwarded-For that is
    not. Of IPv6 the first 64 bits, since a client has all addresses that begin with them."""
    peer = (scope.get("client") or ("?",))[0]
    forwarded = ",".join(Headers(scope=scope).getlist("x-forwarded-for")).split(",")
    address = None
    for text in (peer, *reversed(forwarded)):
        if (next_address := _address(text)) is None:
            break
        address = next_address
        if not any(address in network for network in proxies):
            break
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address or peer)


def client_of(scope: Scope) -> str:
    """Who sent a request that was let through: a token, by its place, or else an address."""
    client: str = scope["state"]["client"]
    return client


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text.strip())
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def hosts_of(scope: Scope, proxies: Iterable[_Network]) -> set[str]:
    """The host that a request is for, and the one that a proxy says it was for."""
    headers, peer = Headers(scope=scope), _address((scope.get("client") or ("",))[0])
    believed = peer is not None and any(peer in network for network in proxies)
    names = ("host", "x-forwarded-host") if believed else ("host",)
    return {headers[name] for name in names if name in headers}


@dataclass
class Rate:
    """The rate limit of a client (a token or an address): a bucket that is refilled steadily, and holds the requests of
    a minute."""

    minute: int
    clock: Callable[[], float] = time.monotonic
    _left: dict[str, tuple[float, float]] = field(default_factory=dict)

    def take(self, client: str) -> int | None:
        """Take one request: None if it is allowed, else the seconds to wait."""
        now = self.clock()
        left, at = self._left.pop(client, (float(self.minute), now))
        left = min(self.minute, left + (now - at) * self.minute / 60)
        if len(self._left) >= _CLIENTS:
            del self._left[next(iter(self._left))]
        self._left[client] = (left - 1 if left >= 1 else left, now)
        return None if left >= 1 else max(1, round((1 - left) * 60 / self.minute))


@dataclass(frozen=True)
class Bounds:
    """How large the body of a request may be, by its route alone: known before any of it is read."""

    upload: int  #: bytes of a form with a file
    row: int  #: bytes of a row

    def of(self, scope: Scope) -> int:
        """The bytes of this request's body, at most."""
        if scope["method"] != "POST":
            return _OTHER
        if _VERDICTS.fullmatch(scope["path"]):
            return _JUDGED
        match scope["path"]:
            case "/v1/jobs" | "/v1/check":  # only a form is streamed to disk
                is_form = Headers(scope=scope).get("content-type", "").lower().startswith("multipart/form-data")
                return self.upload if is_form else _OTHER
            case "/v1/answer":
                return min(_ANSWER, 32 * self.row + _OTHER)
            case "/login":
                return _LOGIN
            case _:
                return _OTHER


class _Body:
    """The body of a request. Raises Refused when it is too large or stalls, and remembers that."""

    def __init__(self, scope: Scope, receive: Receive, most: int) -> None:
        headers = Headers(scope=scope)
        length = headers.get("content-length", "0")
        self._length = None if "transfer-encoding" in headers or not length.isdecimal() else int(length)
        self._receive = receive
        self._most = most
        self._read = self._moved = 0  #: bytes, of all and since it last moved
        self._waited = 0.0
        self._complete = self._length == 0
        self.refused: Refused | None = None  #: why no more of it is read

    @property
    def abandoned(self) -> bool:
        """Whether so much may be left of it that closing the connection is cheaper than reading on."""
        return not self._complete and (self._length is None or self._length > _OTHER)

    def check_length(self) -> None:
        """Raise Refused if the request itself says that it is too large."""
        if self._length is not None and self._length > self._most:
            raise self._refuse()

    async def receive(self) -> Message:
        """The next block, at most up to the bound. Only the time counts in which nothing has arrived."""
        if self._complete:
            return await self._receive()
        since = time.monotonic()
        try:
            async with asyncio.timeout(SILENCE - self._waited):
                message = await self._receive()
        except TimeoutError:
            remedy = "Send it again. It may take as long as it needs, but must not stall."
            message_text = f"no more of the request has arrived for {SILENCE:g} s"
            self.refused = Refused(408, "request_timeout", message_text, remedy)
            raise self.refused from None
        size = len(message.get("body", b""))
        self._read += size
        if self._read > self._most:
            raise self._refuse()
        self._moved, self._waited = self._moved + size, self._waited + time.monotonic() - since
        if self._moved >= _MOVING:
            self._moved, self._waited = 0, 0.0
        self._complete = not message.get("more_body", False)
        return message

    def _refuse(self) -> Refused:
        self.refused = _too_large(self._most)
        return self.refused


@dataclass(frozen=True)
class Access:
    """The layer. `refuse` makes the answer to a request that is refused or fails."""

    app: ASGIApp
    tokens: tuple[str, ...]
    proxies: tuple[_Network, ...]
    bounds: Bounds
    rate: Rate
    at_once: AtOnce
    refuse: Callable[[Exception], ASGIApp]
    requests: Histogram  #: seconds of all requests, refused ones too, by method and status

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, ended, since = False, False, time.monotonic()
        body = _Body(scope, receive, self.bounds.of(scope))

        async def observed(message: Message) -> None:
            nonlocal started, ended
            if message["type"] == "http.response.start":
                if (message["status"] >= 400 and not _is_problem(message)) or body.refused:
                    body.refused = body.refused or _unexplained(message["status"])
                    raise body.refused  # the framework answers with a text, or with another error
                started = True
                self.requests.labels(_method(scope), message["status"]).observe(time.monotonic() - since)
                _guard(MutableHeaders(scope=message), scope["path"])
                if body.abandoned or message["status"] == 408:
                    MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)
            ended = started and not message.get("more_body", message["type"] == "http.response.start")

        try:
            client = self._check(scope)
            body.check_length()
            with self.at_once.held(client) if client else nullcontext():
                await self.app(scope, body.receive, observed)
        except Exception as error:  # the last handler: what fails before it answers is a problem, too
            if ended:  # the framework raises it again after its answer
                return
            if started:
                raise
            failure, body.refused = body.refused or error, None
            await self.refuse(failure)(scope, receive, observed)

    def _check(self, scope: Scope) -> str | None:
        """Raise Refused unless a request is allowed. Returns whose it is, if it counts."""
        headers, path = Headers(scope=scope), scope["path"]
        token = self._token(headers) if self.tokens else None
        client = f"token {token}" if isinstance(token, int) else address_of(scope, self.proxies)
        scope.setdefault("state", {})["client"] = client  # see `client_of`
        counted = path not in _HEALTH and not path.startswith(_FILES)
        if counted:
            if after := self.rate.take(client):
                raise Refused(429, "too_many_requests", "too many requests", f"Try again in {after} s.", after)
            if isinstance(token, Refused) and path not in _OPEN:
                raise token
        _check_host(headers, only_loopback=not self.tokens)
        if scope["method"] not in _SAFE:
            _check_origin(headers, hosts_of(scope, self.proxies))
        return client if counted else None

    def _token(self, headers: Headers) -> int | Refused:
        """Which of the tokens a request has, or why it is refused where one is required."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            place = _place(token.strip(), self.tokens)
            return wrong_token() if place is None else place
        cookie = _cookie(headers)
        if cookie is None:
            remedy = "Send the header Authorization: Bearer TOKEN"
            return Refused(401, "no_token", "this server requires a token", remedy)
        place = _place(cookie, map(cookie_of, self.tokens))
        wrong = Refused(401, "wrong_token", "the cookie is not one of this server", "Log in again: /login")
        return wrong if place is None else place


def _method(scope: Scope) -> str:
    """The method as a label, which has few values whatever is sent."""
    method: str = scope["method"]
    return method if method in (*_SAFE, "POST", "DELETE") else "other"


def _guard(headers: MutableHeaders, path: str) -> None:
    for name, value in _HEADERS.items():
        headers.setdefault(name, value)
    if path.startswith("/v1/"):
        headers.setdefault("Cache-Control", "no-store")


def _is_problem(start: Message) -> bool:
    gone = start["status"] == 499  # the client, so nobody reads it
    return gone or Headers(raw=start["headers"]).get("content-type") == PROBLEM


def wrong_token() -> Refused:
    """The refusal of a token that is not, or no longer, one of the server's."""
    return Refused(403, "wrong_token", "the token is not one of this server", "It may have been replaced.")


def _unexplained(status: int) -> Refused:
    """What the framework answers with a text of its own, such as to a malformed Range header."""
    return Refused(status, f"http_{status}", "the request is malformed or not supported", SEE_REQUESTS)


def _too_large(most: int) -> Refused:
    size = f"{most >> 20:,} MiB" if most >= 1 << 20 else f"{most >> 10:,} KiB" if most >= 1 << 10 else f"{most} bytes"
    remedy = "Send less. Files go to POST /v1/jobs, as a form; its limit is BULKQA_API_UPLOAD_BYTES."
    return Refused(413, "too_large", f"the body of this request is larger than {size}", remedy)


def _cookie(headers: Headers) -> str | None:
    try:
        cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return cookie.value if cookie else None


def _check_host(headers: Headers, *, only_loopback: bool) -> None:
    """Without a token only names of this machine are answered: so no site can point its name here (DNS rebinding)."""
    try:
        host = urlsplit(f"//{headers.get('host', '')}").hostname or ""
    except ValueError:
        raise Refused(400, "bad_host", "the Host header is malformed", "Send the host and port of the URL.") from None
    if only_loopback and not is_loopback(host):
        raise Refused(
            403, "wrong_host", f"the host name {host!r} is not this machine's", "Use localhost, or set a token."
        )


def _check_origin(headers: Headers, hosts: Collection[str]) -> None:
    """A page of another site changes nothing here, whatever cookie the browser sends (CSRF)."""
    origin = headers.get("origin")
    try:
        other = origin is not None and urlsplit(origin).netloc not in hosts
    except ValueError:
        other = True
    if other or headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise Refused(
            403, "other_site", "the request comes from a page of another site", "Use the page of this server."
        )
