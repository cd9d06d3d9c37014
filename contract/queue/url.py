"""The URL of a Redis, parsed once for both libraries: kombu (Celery's) and redis-py.

Neither gets the query. They know different options, an unknown one ends in a traceback, and kombu verifies no
certificate if `rediss://` has no query.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from redis.connection import parse_url

from contract.errors import UsageError

#: When a silent connection is probed, in seconds, as far as the system has these options.
KEEPALIVE = {
    getattr(socket, name): value
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))
    if hasattr(socket, name)
}


class RedisUrl(NamedTuple):
    """One Redis, as each of the two libraries takes it."""

    kombu: str
    client: str  #: the same for redis-py
    tls: dict[str, Any]  #: options for both; empty without TLS


def read_url(redis_url: str) -> RedisUrl:
    """Parse a URL. Raises UsageError if it is not one of Redis. The message never shows an invalid URL: a password may
    be anywhere in it."""
    try:
        parts = urlsplit(redis_url)
        local = f"{parts.scheme}://" in _SOCKETS
        bare = urlunsplit(parts._replace(query=""))
        client = f"unix://{parts.path}?{parts.query.replace('virtual_host', 'db')}" if local else bare
        parse_url(client)  # type: ignore[no-untyped-call]
        fits = ":" not in parts.path.rpartition("@")[0] if local else re.fullmatch(r"/?\d*", parts.path)
        if not fits or not (local or (parts.hostname and not parts.fragment)):
            raise ValueError
    except ValueError:
        raise UsageError(
            "BULKQA_REDIS_URL is not a URL of Redis",
            "Use redis://host:6379/0, rediss://... or redis+socket:///path. In a password, write / # ? and @ as "
            "%2F %23 %3F and %40. (The URL is not shown here because it may hold one.)",
        ) from None
    if local:
        return RedisUrl(redis_url, client, {})
    try:
        return RedisUrl(bare, client, _tls(parts.scheme, parts.query))
    except (ValueError, KeyError):
        raise UsageError(
            f"BULKQA_REDIS_URL: unknown options after {public_address(redis_url)}",
            "rediss:// has these options, after a ? and joined by &: ssl_ca_certs=FILE, ssl_certfile=FILE, "
            "ssl_keyfile=FILE, ssl_cert_reqs=required or none, ssl_check_hostname=true or false.",
        ) from None


def public_address(redis_url: str) -> str:
    """Scheme, host, port and database of a URL that `read_url` takes, or the path of a socket: nothing secret."""
    parts = urlsplit(redis_url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    return f"{parts.scheme}://{host}{f':{parts.port}' if parts.port else ''}{parts.path}"


def _tls(scheme: str, query: str) -> dict[str, Any]:
    """Raises ValueError or KeyError for unknown options, UsageError for a file that cannot be read."""
    options = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=True)) if query else {}
    if scheme != "rediss":
        if options:
            raise ValueError(scheme)
        return {}
    tls: dict[str, Any] = {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": True}
    for name, value in options.items():
        if name in _FILES:
            if not (Path(value).is_file() and os.access(value, os.R_OK)):
                raise UsageError(f"BULKQA_REDIS_URL: {name}: {value} is not a readable file")
            tls[name] = value
        else:
            tls[name] = _CHOICES[name][value.lower().removeprefix("cert_")]
    return tls


_SOCKETS = ("redis+socket://", "redis+unix://", "unix://")
_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_CHOICES: dict[str, dict[str, Any]] = {
    # To a client "optional" is the same as "required".
    "ssl_cert_reqs": {"required": ssl.CERT_REQUIRED, "optional": ssl.CERT_REQUIRED, "none": ssl.CERT_NONE},
    "ssl_check_hostname": {"true": True, "false": False},
}
