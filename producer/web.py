"""How this machine reaches the web: through the proxies and with the certificates that its environment names.

This machine itself is reached without a proxy. If the environment names something unusable, the error names the
variable; there is never a library's traceback.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
from typing import Any, NamedTuple
from urllib.request import getproxies

import httpx

from contract.errors import UsageError

#: The kinds of proxies.
_KINDS = ("http", "https", "socks5", "socks5h")
_UNSET = "Correct or unset it."


class Proxy(NamedTuple):
    """A proxy, and what named it."""

    variable: str
    url: str

    def __str__(self) -> str:
        """Without what may be a password."""
        parts = httpx.URL(self.url)
        return f"the proxy at {parts.host}{f':{parts.port}' if parts.port else ''} ({self.variable})"


def client(url: str, **options: Any) -> httpx.Client:
    """A client for a URL. Raises UsageError for a proxy or a file of certificates that cannot be used."""
    transport = _Web()
    transport.route(httpx.URL(url))
    return httpx.Client(transport=transport, trust_env=False, **options)


class _Web(httpx.BaseTransport):
    """Sends each request directly, or by the proxy for its URL."""

    def __init__(self) -> None:
        self._tls = _certificates()
        self._transports: dict[Proxy | None, httpx.HTTPTransport] = {}

    def route(self, url: httpx.URL) -> tuple[Proxy | None, httpx.HTTPTransport]:
        """The proxy for a URL, None for none, and what sends by it. Raises UsageError."""
        proxy = proxy_for(url)
        if proxy not in self._transports:
            self._transports[proxy] = _transport(proxy, self._tls)
        return proxy, self._transports[proxy]

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        proxy, transport = self.route(request.url)
        try:
            return transport.handle_request(request)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
            if proxy is None:
                raise
            raise httpx.ProxyError(f"{proxy}: {error or type(error).__name__}") from error

    def close(self) -> None:
        for transport in self._transports.values():
            transport.close()


def proxy_for(url: httpx.URL) -> Proxy | None:
    """The proxy that the environment, or the system, names for a URL. Raises UsageError for one of an unknown kind."""
    if _is_here(url.host) or _is_direct(url, getproxies().get("no", "")):
        return None
    for scheme in (url.scheme, "all"):
        if named := getproxies().get(scheme):
            names = (f"{scheme}_proxy", f"{scheme}_proxy".upper())
            variable = next((name for name in names if os.environ.get(name) == named), "the system's settings")
            return Proxy(variable, _spelled(variable, named))
    return None


def _spelled(variable: str, named: str) -> str:
    """The URL of a proxy as httpx spells it: desktops write socks://, many leave the scheme out."""
    scheme, separator, rest = named.partition("://")
    url = f"http://{named}" if not separator else f"socks5://{rest}" if scheme.lower() == "socks" else named
    try:
        parts = httpx.URL(url.rstrip("/"))
        valid = parts.scheme in _KINDS and bool(parts.host)
    except (httpx.InvalidURL, ValueError):
        valid = False
    if not valid:
        raise UsageError(
            f"{variable} does not name a usable proxy", "A proxy is at http://, https:// or socks5://HOST:PORT."
        )
    return url


def _transport(proxy: Proxy | None, tls: ssl.SSLContext) -> httpx.HTTPTransport:
    try:
        return httpx.HTTPTransport(verify=tls, trust_env=False, proxy=proxy and proxy.url)
    except ImportError as error:
        raise UsageError(
            f"{proxy} speaks SOCKS, which needs the package socksio",
            "Install it: pip install 'httpx[socks]'. Or name hosts that need no proxy in no_proxy.",
        ) from error
    except (ValueError, httpx.InvalidURL) as error:
        raise UsageError(f"{proxy} cannot be used: {error}", _UNSET) from error


def _is_here(host: str) -> bool:
    """Whether a host is this machine."""
    address = _address(host)
    return address.is_loopback if address else f".{host}".endswith(".localhost")


def _is_direct(url: httpx.URL, exceptions: str) -> bool:
    """Whether a URL is among those without a proxy: hosts with all below them, addresses, networks, each with a port if
    it is for that port only; or * for all."""
    address = _address(url.host)
    for exception in exceptions.lower().replace(",", " ").split():
        if exception == "*":
            return True
        host, port = _host_and_port(exception)
        if port and port != str(url.port or {"http": 80, "https": 443}.get(url.scheme)):
            continue
        network = _network(host)
        if network and address and address in network:
            return True
        if network is None and f".{url.host}".endswith(f".{host.lstrip('*.')}") and host:
            return True
    return False


def _host_and_port(text: str) -> tuple[str, str]:
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        return host, rest.lstrip(":")
    return text.partition(":")[::2] if text.count(":") == 1 else (text, "")


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _certificates() -> ssl.SSLContext:
    """The authorities that are trusted. Raises UsageError for a variable that names none."""
    file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    if not (file or folder):
        return httpx.create_ssl_context(trust_env=False)
    variable, path, is_there = (
        ("SSL_CERT_FILE", file, os.path.isfile) if file else ("SSL_CERT_DIR", folder, os.path.isdir)
    )
    if not is_there(path or ""):
        raise UsageError(f"{variable} names {path}, which does not exist", _UNSET)
    try:
        return ssl.create_default_context(cafile=file or None, capath=None if file else folder)
    except OSError as error:
        raise UsageError(f"{variable} names {path}, which holds no certificates: {error}", _UNSET) from error
