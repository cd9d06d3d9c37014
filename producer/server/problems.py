"""What an error looks like over HTTP: RFC 9457, with the code and the remedy that the command prints. Pure but for the
answer itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi.responses import JSONResponse

from contract.errors import BulkqaError, InputError, TimedOut, UnknownJob, Unreachable, UsageError

#: Seconds after which it is worth asking again while Redis or the storage is away.
RETRY_AFTER = 5
_TITLES = {
    400: "The request cannot be read",
    401: "A token is asked for",
    403: "This is not allowed",
    404: "There is no such thing",
    405: "This cannot be done here",
    409: "The job is not in a state for this",
    413: "This is too large",
    415: "This kind of content is not read",
    422: "The request cannot be carried out",
    429: "Too many requests or jobs",
    500: "Something is wrong here",
    503: "What jobs stand on does not answer",
    504: "It took too long",
}


class Refused(BulkqaError):
    """A request that is refused for a reason that only HTTP has."""

    def __init__(self, status: int, code: str, message: str, remedy: str | None = None, after: int | None = None):
        super().__init__(message, remedy)
        self.status = status
        self.code = code
        self.after = after  #: seconds, for Retry-After


def status_of(error: BulkqaError) -> int:
    """The HTTP status of an error."""
    match error:
        case Refused():
            return error.status
        case UnknownJob():
            return 404
        case UsageError():
            return 422
        case TimedOut():
            return 504
        case Unreachable():
            return 503
        case _:
            return 500


def body_of(error: BulkqaError, hidden: Mapping[str, str]) -> dict[str, Any]:
    """The problem that an error is. `hidden`: places of the server, each with what is said instead."""
    status = status_of(error)
    return {
        "type": f"urn:bulkqa:problem:{error.code}",
        "title": _TITLES.get(status, "Error"),
        "status": status,
        "detail": _without(error.message, hidden),
        "code": error.code,
        "remedy": error.remedy and _without(error.remedy, hidden),
    } | ({"found": error.found} if isinstance(error, InputError) and error.found else {})


def problem(error: BulkqaError, hidden: Mapping[str, str]) -> JSONResponse:
    """The answer to a request that came to this."""
    status, headers = status_of(error), {}
    after = error.after if isinstance(error, Refused) else RETRY_AFTER if status == 503 else None
    if after is not None:
        headers["Retry-After"] = str(after)
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(body_of(error, hidden), status, headers, media_type="application/problem+json")


def _without(text: str, hidden: Mapping[str, str]) -> str:
    for place, word in hidden.items():
        text = text.replace(place, word)
    return text
