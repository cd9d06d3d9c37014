"""What a request to submit may say beside its file: the options of `producer submit`, as the Python API names them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from contract.errors import UsageError
from contract.format.job import Options
from producer.input.options import ReadOptions

#: The server's to say.
_OURS = ("max_row_bytes",)


class Naming(BaseModel):
    """How a job is found again, and who answers it."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = Field(None, description="name of the model; without one that of the server")
    key: str | None = Field(None, description="submitting twice with one key finds the first job")
    metadata: dict[str, str] = Field(default_factory=dict, description="kept with the job, for a list to find")
    notify: str | None = Field(None, description="URL to which the job's end is told")
    expire: str | None = Field(None, description="how long after its end it is removed: 30d, 12h")

    def asked(self) -> dict[str, Any]:
        """The same for the reader of uploads."""
        said = self.model_dump(exclude=set(Naming.model_fields))
        return {"options": said} | self.model_dump(include=set(Naming.model_fields))


def _spelled(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {one.name: (hints[one.name], one.default) for one in fields(kind) if one.name not in _OURS}


Answering = create_model("Answering", __base__=Naming, **_spelled(Options))
Submission = create_model("Submission", __base__=Answering, **_spelled(ReadOptions))


def of_form(given: dict[str, Any]) -> Naming:
    """What the fields of a form say: an empty one says nothing, and `metadata` is a JSON object. Raises UsageError."""
    said = {name: value for name, value in given.items() if value != "" or name in ("id", "answers")}
    if "metadata" in said:
        try:
            said["metadata"] = json.loads(said["metadata"])
        except (ValueError, TypeError, RecursionError) as error:
            raise UsageError(f"metadata is no JSON object: {error}", 'For example: {"team": "search"}') from error
    return of_object(said)


def of_object(said: dict[str, Any]) -> Naming:
    """What a JSON object says. Raises UsageError."""
    try:
        found: Naming = Submission.model_validate(said)
    except ValidationError as error:
        raise UsageError(first_of(error.errors())) from error
    return found


def first_of(errors: Sequence[Any]) -> str:
    """The first thing that is wrong with what was sent."""
    return f"{'.'.join(map(str, errors[0]['loc']))}: {errors[0]['msg']}"
