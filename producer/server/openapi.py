"""The OpenAPI document: what FastAPI knows of the routes, and what it cannot: bodies that are read by hand, problems,
tokens. Pure."""

from __future__ import annotations

from typing import Any

from producer.server.submission import Submission

_REF = "#/components/schemas/{model}"
_PROBLEM = {
    "type": "object",
    "description": "RFC 9457, with a code for programs, and what to do",
    "required": ["type", "title", "status", "detail", "code", "remedy", "remedy_parts", "set"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "remedy": {"type": ["string", "null"], "description": "a sentence in the words of HTTP"},
        "remedy_parts": {"type": "array", "description": "the same in parts: texts, options and commands", "items": {}},
        "set": {
            "type": "object",
            "description": "the fields of a submission that the remedy sets, as a form takes them",
            "additionalProperties": {"type": "string"},
        },
        "found": {
            "type": "object",
            "description": "where a column is missing: those that there are, and with which delimiter",
            "properties": {
                "columns": {"type": "array", "items": {"type": "string"}},
                "delimiter": {"type": "string"},
            },
        },
    },
}
_ANSWERED = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}


def completed(document: dict[str, Any]) -> dict[str, Any]:
    """The document with all that there is."""
    components = document["components"]
    schemas = components["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = _PROBLEM
    # Beside the fields there is the file, or its url: this alone must not forbid them.
    schemas["Submission"] = Submission.model_json_schema(ref_template=_REF) | {"additionalProperties": True}
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{}, {"token": []}]
    for path in document["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = {"description": "A problem", "content": _ANSWERED}
    return document


def body(**of_file: Any) -> dict[str, Any]:
    """What a route says of a body with a file, and of the same as JSON, with the field that names the file."""
    kinds = {"multipart/form-data": {"file": {"type": "string", "format": "binary"}}}
    if of_file:
        kinds["application/json"] = of_file
    return {
        "requestBody": {"required": True, "content": {kind: {"schema": _with(more)} for kind, more in kinds.items()}}
    }


def _with(more: dict[str, Any]) -> dict[str, Any]:
    field = {"type": "object", "required": list(more), "properties": more}
    return {"allOf": [{"$ref": "#/components/schemas/Submission"}, field]}


def content(*kinds: str) -> dict[int | str, dict[str, Any]]:
    """What a route says of an answer that is no JSON document of ours."""
    schema = {kind: {} if kind == "application/json" else {"type": "string", "format": "binary"} for kind in kinds}
    return {200: {"content": {kind: {"schema": one} for kind, one in schema.items()}}}
