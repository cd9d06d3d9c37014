"""Errors over HTTP: problems of RFC 9457, with the code of the error and its remedy in the words of HTTP."""

from __future__ import annotations

import errno
import json
import logging
import tempfile
from collections.abc import Mapping
from typing import Any

from fastapi.responses import JSONResponse

from contract.errors import BulkqaError, Busy, InputError, NotEnded, TimedOut, UnknownJob, Unreachable, UsageError
from contract.remedy import TERMINAL, Call, Remedy
from producer.server.submission import Submission

log = logging.getLogger("bulkqa.server")

#: The media type of RFC 9457.
PROBLEM = "application/problem+json"
#: Errors of the system: no room on a disk; no files, processes or memory left.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_SCARCE = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN)
#: Seconds after which to try again while Redis or the storage is away.
RETRY_AFTER = 5
_AFTER = {503: RETRY_AFTER, 429: 1}  # of errors that do not say it themselves
_TITLES = {
    400: "Malformed request",
    401: "Token required",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    408: "The request takes too long",
    409: "The job has not ended",
    413: "Too large",
    415: "Unsupported media type",
    422: "The request cannot be carried out",
    429: "Too many requests or jobs",
    500: "Internal error",
    503: "Redis, the storage, a worker or the server itself cannot answer now",
    504: "Timed out",
    507: "No room",
}


#: What to do about a request that the server does not know.
SEE_REQUESTS = "GET /openapi.json describes all requests."


class Refused(BulkqaError):
    """A request is refused for a reason that only HTTP has."""

    def __init__(self, status: int, code: str, message: str, remedy: str | None = None, after: int | None = None):
        super().__init__(message, remedy)
        self.status = status
        self.code = code
        self.after = after  #: seconds, for Retry-After


def known(error: Exception) -> BulkqaError:
    """Any failure of a request as an error with a code and a remedy. What nobody expected is logged."""
    match error:
        case BulkqaError():
            return error
        case RuntimeError(__cause__=Refused() as refused):  # raised while the framework gave an answer of its own
            return refused
        case OSError() if error.errno in _NO_ROOM or _is_temporary(error):
            return Refused(
                507, "no_room", f"the server cannot write temporary files: {error.strerror}",
                "On the server: make room where TMPDIR is, or set TMPDIR to a folder with room.",
            )  # fmt: skip
        case OSError() if error.errno in _SCARCE:
            remedy = "Try again. If it stays so, give the server more memory and open files (ulimit -n)."
            return Refused(503, "overloaded", f"the server is overloaded: {error.strerror}", remedy, RETRY_AFTER)
        case _:
            log.error("a request failed", exc_info=error)
            return BulkqaError(
                "the server failed to handle this request", "The server's log says why. Please report it."
            )


def _is_temporary(error: OSError) -> bool:
    """Whether a folder for temporary files, or a file in it, cannot be used."""
    return "temporary directory" in str(error.strerror) or str(error.filename or "").startswith(
        str(tempfile.tempdir or "/nowhere/")
    )


def status_of(error: BulkqaError) -> int:
    """The HTTP status of an error."""
    match error:
        case Refused():
            return error.status
        case UnknownJob():
            return 404
        case NotEnded():
            return 409
        case UsageError():
            return 422
        case Busy():
            return 429
        case TimedOut():
            return 504
        case Unreachable():
            return 503
        case _:
            return 500


def body_of(error: BulkqaError, hidden: Mapping[str, str]) -> dict[str, Any]:
    """The problem document of an error. `hidden`: places of the server, and what to say instead of each."""
    status = status_of(error)
    head = {
        "type": f"urn:bulkqa:problem:{error.code}",
        "title": _TITLES.get(status, "Error"),
        "status": status,
        "detail": error.message,
    }
    body: dict[str, Any] = without(head | described(error), hidden)
    return body


def described(error: BulkqaError) -> dict[str, Any]:
    """The fields of an error beside its message."""
    found = {"found": error.found} if isinstance(error, InputError) and error.found else {}
    return {"code": error.code} | remedied(Remedy(error.remedy or "")) | found


def remedied(remedy: Remedy) -> dict[str, Any]:
    """A remedy as a sentence, as parts, and as the form fields that it sets."""
    fields = {name: value for name, value in remedy.settings.items() if name in Submission.model_fields}
    return {
        "remedy": remedy.render(HTTP) or None,
        "remedy_parts": remedy.to_json(),
        "set": {name: value if isinstance(value, str) else json.dumps(value) for name, value in fields.items()},
    }


class Http:
    """The words of HTTP: fields of a form or a JSON object, and requests."""

    separator = ", "
    #: The request of each command; a command without one stays a command.
    REQUESTS = {  # noqa: RUF012
        "submit": "POST /v1/jobs",
        "check": "POST /v1/check",
        "list": "GET /v1/jobs",
        "status": "GET /v1/jobs/{job}",
        "results": "GET /v1/jobs/{job}/results",
        "diff": "GET /v1/jobs/{job}/diff",
        "sample": "GET /v1/jobs/{job}/sample",
        "trust": "GET /v1/jobs/{job}/trust",
        "notifications": "GET /v1/jobs/{job}/notifications",
        "cancel": "POST /v1/jobs/{job}/cancel",
        "delete": "DELETE /v1/jobs/{job}",
        "workers": "GET /v1/workers",
    }

    def option(self, name: str, value: object) -> str:
        """`"encoding": "UTF-16"`."""
        field = json.dumps(name)
        return field if value is None else f"{field}: {json.dumps(value, ensure_ascii=False)}"

    def call(self, call: Call) -> str:
        """`DELETE /v1/jobs/JOB?cancel=true`."""
        if call.verb not in self.REQUESTS:
            return TERMINAL.call(call)
        query = "&".join(f"{flag}=true" for flag in call.flags)
        return self.REQUESTS[call.verb].format(job=call.job or "JOB") + (f"?{query}" if query else "")


HTTP = Http()


class _Problem(JSONResponse):
    """Its texts may quote anything: half a surrogate pair is escaped."""

    media_type = PROBLEM

    def render(self, content: Any) -> bytes:
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")


def problem(failure: Exception, hidden: Mapping[str, str]) -> JSONResponse:
    """The answer to a request that failed."""
    error = known(failure)
    status, headers = status_of(error), {}
    after = error.after if isinstance(error, Refused) else _AFTER.get(status)
    if after is not None:
        headers["Retry-After"] = str(after)
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return _Problem(body_of(error, hidden), status, headers)


def without(value: Any, hidden: Mapping[str, str]) -> Any:
    """A JSON value whose texts name no place of the server."""
    if isinstance(value, dict):
        return {name: without(each, hidden) for name, each in value.items()}
    if isinstance(value, list):
        return [without(each, hidden) for each in value]
    if isinstance(value, str):
        for place, word in hidden.items():
            value = value.replace(place, word)
    return value
