"""What is in the URL of a Redis: read once, for Celery's library (kombu) and for redis-py.

Neither is given the query. They know different options, what one does not know ends in a traceback, and kombu verifies
no certificate at all where `rediss://` comes without a query.
"""

from __future__ import annotations

import os
import re
import ssl
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from redis.connection import parse_url

from contract.errors import UsageError


class RedisUrl(NamedTuple):
    """One Redis, as each of the two libraries wants it told."""

    kombu: str
    client: str  #: the same as redis-py spells it
    tls: dict[str, Any]  #: options for both; empty without TLS


def read_url(redis_url: str) -> RedisUrl:
    """Raises UsageError if that is no address of a Redis. Its words hold nothing of a password: what cannot be read is
    not shown, since a secret may be anywhere in it."""
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
            "BULKQA_REDIS_URL is not an address of Redis",
            "redis://host:6379/0, rediss://... or redis+socket:///path. In a password, / # ? and @ are written "
            "%2F %23 %3F and %40. (It is not shown here: it may hold one.)",
        ) from None
    if local:
        return RedisUrl(redis_url, client, {})
    try:
        return RedisUrl(bare, client, _tls(parts.scheme, parts.query))
    except (ValueError, KeyError):
        raise UsageError(
            f"BULKQA_REDIS_URL: what follows {public_address(redis_url)} is not known",
            "With rediss:// there are, after a ? and joined by &: ssl_ca_certs=FILE, ssl_certfile=FILE, "
            "ssl_keyfile=FILE, ssl_cert_reqs=required or none, ssl_check_hostname=true or false.",
        ) from None


def public_address(redis_url: str) -> str:
    """Scheme, host, port and database, or the path of a socket, of a URL that `read_url` takes: nothing else."""
    parts = urlsplit(redis_url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    return f"{parts.scheme}://{host}{f':{parts.port}' if parts.port else ''}{parts.path}"


def _tls(scheme: str, query: str) -> dict[str, Any]:
    """Raises ValueError or KeyError for what is not known, UsageError for a file that is not there."""
    options = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=True)) if query else {}
    if scheme != "rediss":
        if options:
            raise ValueError(scheme)
        return {}
    tls: dict[str, Any] = {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": True}
    for name, value in options.items():
        if name in _FILES:
            if not (Path(value).is_file() and os.access(value, os.R_OK)):
                raise UsageError(f"BULKQA_REDIS_URL: {name}: {value} is not a file that can be read")
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
