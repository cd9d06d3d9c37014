"""What a server answers, as what the rest of the producer knows: errors and lines. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from contract.errors import BulkqaError, InputError, Unreachable, UsageError
from contract.format import failure


def address(url: str) -> str:
    """The address of a server, without a slash at its end. Raises UsageError."""
    example = "For example: --server https://qa.example.org"
    try:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
            raise ValueError
    except ValueError:
        raise UsageError("the address of a server begins with http:// or https://", example) from None
    if parts.username or parts.password:
        raise UsageError("the address of a server holds no password", "Set BULKQA_API_TOKEN instead.")
    if parts.query or parts.fragment:
        raise UsageError("the address of a server has no ? and no # in it", example)
    return url.rstrip("/")


def error_of(problem: Mapping[str, Any]) -> BulkqaError:
    """The error of a problem document (RFC 9457): the one that the command would raise beside the storage."""
    status = problem.get("status", 500)
    if status in (401, 403) and problem["code"] in ("no_token", "wrong_token"):
        return UsageError(problem["detail"], "Set BULKQA_API_TOKEN to a token of that server.")
    error = {"code": problem["code"], "message": problem["detail"], "remedy": problem["remedy_parts"]}
    return failure.from_json(error | {"found": problem.get("found")}, _kind(status))


def _kind(status: int) -> type[BulkqaError]:
    """What a problem is that has a code of HTTP's own, or of another version."""
    if status == 422:
        return InputError
    if status in (429, 502, 503, 504):
        return Unreachable
    return UsageError if status < 500 else BulkqaError


def whole_lines(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in blocks that end with a line."""
    rest = b""
    for block in blocks:
        head, newline, tail = block.rpartition(b"\n")
        if newline:
            yield rest + head + newline
            rest = tail
        else:
            rest += block
    if rest:
        yield rest
