"""The fields of a request that submits: the options of `producer.request`, as HTTP takes them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from contract.errors import UsageError
from contract.format.option import Option
from producer.request import ANSWER_OPTIONS, OPTIONS


class Fields(BaseModel):
    """The options in a request."""

    model_config = ConfigDict(extra="forbid")
    #: The names of the options among the fields: `/v1/answer` has a `question` that is none.
    declared: ClassVar[frozenset[str]] = frozenset()

    def options(self) -> dict[str, Any]:
        """Those that are set, by name."""
        return self.model_dump(include=set(self.declared), exclude_unset=True)


def _field(option: Option) -> tuple[Any, Any]:
    choices: Any = {"enum": [*option.choices, None]} if option.choices else None
    default: Any = option.default if option.default not in ("", ()) else None
    kind = option.type if default is not None else option.type | None
    if option.several:
        kind |= list[str]
    return kind, Field(default, description=option.help, ge=option.minimum, json_schema_extra=choices)


def _model(name: str, options: Iterable[Option]) -> type[Fields]:
    fields: type[Fields] = create_model(name, __base__=Fields, **{each.name: _field(each) for each in options})  # type: ignore[call-overload]
    fields.declared = frozenset(each.name for each in options)
    return fields


#: For a question that is answered at once.
Answering = _model("Answering", ANSWER_OPTIONS.values())
#: For a file. Options that bound what the server spends are the server's own.
Submission = _model("Submission", [option for option in OPTIONS.values() if not option.local])


def of_form(fields: Mapping[str, Any]) -> Fields:
    """The fields of a form. An empty field is not set, but an empty `id` or `answers` asks for no such column.
    `metadata` is a JSON object. Raises UsageError."""
    filled = {name: value for name, value in fields.items() if value != "" or name in ("id", "answers")}
    if "metadata" in filled:
        try:
            filled["metadata"] = json.loads(filled["metadata"])
        except (ValueError, TypeError, RecursionError) as error:
            raise UsageError(f"metadata is not a JSON object: {error}", 'For example: {"team": "search"}') from error
    return of_object(filled)


def of_object(fields: Mapping[str, Any]) -> Fields:
    """The fields of a JSON object. Raises UsageError."""
    try:
        return Submission.model_validate(fields)
    except ValidationError as error:
        raise UsageError(first_of(error.errors())) from error


def first_of(errors: Sequence[Any]) -> str:
    """The first error of a validation."""
    return f"{'.'.join(map(str, errors[0]['loc']))}: {errors[0]['msg']}"
