"""The answers of a server as records of this project: errors, job statuses, lines. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from contract.errors import BulkqaError, InputError, Unreachable, UsageError
from contract.format import codec, failure
from contract.ledger.progress import Progress
from contract.remedy import Remedy, Set
from producer.backend.protocol import Listed


def address(url: str) -> str:
    """The URL of a server, without a slash at its end. Raises UsageError."""
    example = Remedy("For example: ", Set(server="https://qa.example.org"))
    try:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
            raise ValueError
    except ValueError:
        raise UsageError("the address of a server must begin with http:// or https://", example) from None
    if parts.username or parts.password:
        raise UsageError("the address of a server must not hold a password", "Set BULKQA_API_TOKEN instead.")
    if parts.query or parts.fragment:
        raise UsageError("the address of a server must not have ? or # in it", example)
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


def progress_of(document: dict[str, Any], url: str) -> Progress:
    """A job's status. `url` of the server: the addresses of its outputs begin with it."""
    for name in ("output_uri", "error_uri"):
        document[name] = document[name] and f"{url}{document[name]}"
    progress = codec.parse(Progress, document)
    if progress.reason is None:
        return progress
    remedy = Remedy.from_json(document["reason"]["remedy_parts"])
    return replace(progress, reason=replace(progress.reason, remedy=remedy or None))


def listed_of(document: dict[str, Any], url: str) -> Listed:
    """A list of jobs, likewise."""
    damaged = {each["id"]: error_of({"detail": each["message"]} | each) for each in document["damaged"]}
    return Listed([progress_of(job, url) for job in document["jobs"]], damaged)


def whole_lines(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in blocks that end at the end of a line."""
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
