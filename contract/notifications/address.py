"""Where an event may go to: to no machine of our own network, unless that is allowed. Pure but for the lookup."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from urllib.parse import SplitResult, urlsplit

from contract.errors import UsageError
from contract.remedy import Remedy, Set

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

#: IPv6 addresses behind which a translator puts an IPv4 address, in their last four bytes (RFC 6052, RFC 8215).
_TRANSLATED = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))


class NotAllowedError(Exception):
    """An event may not go there."""


def check_url(url: str) -> None:
    """Raise UsageError for what an event cannot be posted to, as far as a URL tells."""
    example = Remedy("For example: ", Set(notify="https://example.org/hooks/bulkqa"))
    try:
        parts = urlsplit(url)
        is_one = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_one = False
    if not is_one or len(url) > 2000 or not url.isprintable():
        raise UsageError("a URL to notify begins with http:// or https://", example)
    if parts.username or parts.password:
        raise UsageError("a URL to notify holds no password", "Events are signed: see BULKQA_WEBHOOK_SECRET.")


async def resolved(url: str, *, private: bool) -> tuple[SplitResult, str]:
    """The parts of a URL, and the address to connect to, which was looked at: a name may be another in a moment.

    Raises NotAllowedError if any address of the name is one of our own network and `private` ones are not allowed, and
    OSError for a name that there is not.
    """
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    addresses = [str(address[4][0]).partition("%")[0] for address in found]
    for address in addresses:
        if not private and not is_public(ipaddress.ip_address(address)):
            raise NotAllowedError(
                f"{parts.hostname} is {address}, an address that is not public: BULKQA_NOTIFY_PRIVATE is not set"
            )
    return parts, addresses[0]


def is_public(address: Address) -> bool:
    """Whether an address is one of the internet's, in whatever form it hides another."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if inner is None and any(address in network for network in _TRANSLATED):
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
    return address.is_global and not address.is_multicast
