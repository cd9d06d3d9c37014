"""An error as JSON, for another process or HTTP: its code, its message, the parts of its remedy. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contract.errors import BY_CODE, INPUT_CODES, BulkqaError, InputError
from contract.remedy import Remedy


def to_json(error: BulkqaError) -> dict[str, Any]:
    """An error as JSON holds it; an InputError also has what it `found`."""
    remedy = Remedy(error.remedy or "").to_json()
    document: dict[str, Any] = {"code": error.code, "message": error.message, "remedy": remedy}
    if isinstance(error, InputError) and error.found:
        document["found"] = error.found
    return document


def from_json(document: Mapping[str, Any], otherwise: type[BulkqaError] = BulkqaError) -> BulkqaError:
    """The error that `to_json` gave. A code that this version does not know makes it an `otherwise`.

    Raises KeyError, TypeError and ValueError for anything else.
    """
    code, message, parts = document["code"], document["message"], document["remedy"]
    remedy = Remedy.from_json(parts) if parts else None
    kind = BY_CODE.get(code, InputError if code in INPUT_CODES else otherwise)
    if issubclass(kind, InputError):
        return InputError(code, message, remedy, document.get("found"))
    error = kind(message, remedy)
    error.code = code
    return error
