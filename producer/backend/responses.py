"""What a server answers, as what the rest of the producer knows: errors, lines, changes. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from contract import errors
from contract.errors import BulkqaError, InputError, Unreachable, UsageError
from producer.jobs.diff import Summary


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
    """The error that a problem (RFC 9457) stands for: what the command would raise if it were where the server is."""
    code, message, remedy = problem["code"], problem["detail"], problem.get("remedy")
    if kind := errors.BY_CODE.get(code):
        return kind(message, remedy)
    match problem.get("status"):
        case 401 | 403 if code in ("no_token", "wrong_token"):
            return UsageError(message, "Set BULKQA_API_TOKEN to a token of that server.")
        case 422:
            return InputError(code, message, remedy, problem.get("found"))
        case 429 | 502 | 503 | 504:
            return Unreachable(message, remedy)
        case int(status) if status < 500:
            return UsageError(message, remedy)
        case _:
            return BulkqaError(message, remedy)


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


def changes(lines: Iterable[bytes], summary: Summary) -> Iterator[dict[str, Any]]:
    """The changes of a diff document, one a line but for its first, and the counts at its end into `summary`.

    Raises ValueError for a document that is none.
    """
    decoder = json.JSONDecoder()
    for line in lines:
        text = line.decode()
        if text.startswith('{"first"'):
            if text.endswith("["):
                continue
            counts = json.loads(text)["summary"]
        else:
            change, end = decoder.raw_decode(text)
            yield change
            if text[end:] == ",":
                continue
            counts = json.loads("{" + text[end:].removeprefix("], "))["summary"]
        for name, count in counts.items():
            setattr(summary, name, count)
