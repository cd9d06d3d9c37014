"""What the OpenAPI document has beside FastAPI's own: the bodies of uploads, which FastAPI doesn't parse, problems,
tokens. Pure."""

from __future__ import annotations

from typing import Any

from producer.server.submission import Submission

_REF = "#/components/schemas/{model}"
_PROBLEM = {
    "type": "object",
    "description": "RFC 9457, with an error code and what to do",
    "required": ["type", "title", "status", "detail", "code", "remedy", "remedy_parts", "set"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "remedy": {"type": ["string", "null"], "description": "what to do, in terms of HTTP"},
        "remedy_parts": {
            "type": "array",
            "description": "the remedy as data: texts, options and commands",
            "items": {},
        },
        "set": {
            "type": "object",
            "description": "the form fields that the remedy sets, ready to send",
            "additionalProperties": {"type": "string"},
        },
        "found": {
            "type": "object",
            "description": "if a column is missing: the columns of the file, and the delimiter that was found",
            "properties": {
                "columns": {"type": "array", "items": {"type": "string"}},
                "delimiter": {"type": "string"},
            },
        },
    },
}
_CONTENT = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}


def completed(document: dict[str, Any]) -> dict[str, Any]:
    """The document, completed."""
    components = document["components"]
    schemas = components["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = _PROBLEM
    # A body has these fields and the file, or its url: so this part of it must not forbid others.
    schemas["Submission"] = Submission.model_json_schema(ref_template=_REF) | {"additionalProperties": True}
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{}, {"token": []}]
    for path in document["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = {"description": "A problem", "content": _CONTENT}
    return document


def body(**of_file: Any) -> dict[str, Any]:
    """The body of a route: a form with a file, or with documents and questions; if `of_file` is given, JSON with that
    field in place of the file."""
    file = {"type": "string", "format": "binary"}
    questions = {"type": "string", "description": "a file, or a text with one question per line"}
    documents = {"type": "array", "minItems": 1, "items": file}
    # None is required: a choice between them is beyond generators of clients, which leave all of its fields out.
    form = {"type": "object", "properties": {"file": file, "documents": documents, "questions": questions}}
    schemas = {"multipart/form-data": _with(form)}
    if of_file:
        json = {"type": "object", "required": list(of_file), "properties": of_file}
        schemas["application/json"] = _with(json)
    return {"requestBody": {"required": True, "content": {kind: {"schema": each} for kind, each in schemas.items()}}}


def _with(fields: dict[str, Any]) -> dict[str, Any]:
    return {"allOf": [{"$ref": "#/components/schemas/Submission"}, fields]}


def content(*kinds: str) -> dict[int | str, dict[str, Any]]:
    """The answer of a route that is streamed, in one of these media types."""
    schemas = {kind: {} if kind == "application/json" else {"type": "string", "format": "binary"} for kind in kinds}
    return {200: {"content": {kind: {"schema": schema} for kind, schema in schemas.items()}}}
