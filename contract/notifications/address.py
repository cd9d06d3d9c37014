"""Which URLs an event may be posted to: no private addresses, unless that is allowed. Pure except for the lookup."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from urllib.parse import SplitResult, urlsplit

from contract.errors import UsageError
from contract.remedy import Remedy, Set

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

#: IPv6 networks whose addresses embed an IPv4 address in their last four bytes (RFC 6052, RFC 8215).
_TRANSLATED = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))
#: All of IPv6 that is assigned for public addresses (RFC 4291): site-local, IPv4-compatible and others lie outside.
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
#: Within it, and in IPv4: for documentation (RFC 9637), and the former relay of 6to4 (RFC 7526). Not every version of
#: Python knows them.
_NOBODYS = (ipaddress.ip_network("3fff::/20"), ipaddress.ip_network("192.88.99.0/24"))


class NotAllowedError(Exception):
    """Events must not be posted to this address."""


def check_url(url: str) -> None:
    """Raise UsageError for a URL that no event can be posted to."""
    example = Remedy("For example: ", Set(notify="https://example.org/hooks/bulkqa"))
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid or len(url) > 2000 or not url.isprintable():
        raise UsageError("the URL of a webhook must begin with http:// or https://", example)
    if parts.username or parts.password:
        raise UsageError(
            "the URL of a webhook must not hold a password", "Events are signed: see BULKQA_WEBHOOK_SECRET."
        )


async def resolved(url: str, *, private: bool) -> tuple[SplitResult, list[str]]:
    """The parts of a URL, and the addresses to connect to, the best first: the name is not looked up again, it might
    change.

    Raises NotAllowedError if any address of the name is not public, unless `private` ones are allowed, and OSError if
    the name does not exist.
    """
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    loop = asyncio.get_running_loop()
    infos = await loop.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(info[4][0]).partition("%")[0] for info in infos))
    for address in addresses:
        if not private and not is_public(ipaddress.ip_address(address)):
            raise NotAllowedError(
                f"{parts.hostname} is {address}, an address that is not public: BULKQA_NOTIFY_PRIVATE is not set"
            )
    return parts, addresses


def is_public(address: Address) -> bool:
    """Whether an address is public, and so is any IPv4 address that it embeds."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if inner is None and any(address in network for network in _TRANSLATED):
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
        if address not in _GLOBAL_UNICAST:
            return False
    if any(address in network for network in _NOBODYS if network.version == address.version):
        return False
    return address.is_global and not address.is_multicast
