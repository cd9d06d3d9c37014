"""What can be asked of a job is declared once, and appears on every surface."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from contract.errors import UsageError
from contract.format.option import options_of
from contract.remedy import TERMINAL
from producer.input.options import ReadOptions
from producer.request import OPTIONS, Request, request_of
from tests import REPO

#: Adds a field to the options of answering before anything is made of them, and looks for it everywhere.
ADDED = """
import json, sys
from dataclasses import dataclass
from typing import Annotated
from contract.format import job
from contract.format.option import AtLeast, Help

@dataclass(frozen=True, slots=True)
class Options(job.Options):
    example: Annotated[int, Help("shows that a new option appears everywhere"), AtLeast(2)] = 5

job.Options = Options
sys.path.insert(0, "scripts")
import generate
from typer.testing import CliRunner
from producer.cli import app
from producer.request import OPTIONS, request_of
from producer.server.submission import Answering, Submission

columns = {"COLUMNS": "200"}
print(json.dumps({
    "flag": CliRunner().invoke(app, ["submit", "--help"], env=columns).stdout,
    "document": generate.commands(),
    "keyword": generate.keywords(),
    "request": request_of({"example": 3}).options.example,
    "schema": [model.model_json_schema()["properties"].get("example") for model in (Submission, Answering)],
}))
"""


def test_a_new_field_is_a_flag_a_keyword_a_field_of_the_form_and_in_the_documents() -> None:
    pytest.importorskip("fastapi")
    done = subprocess.run([sys.executable, "-c", ADDED], cwd=REPO, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    help_ = "shows that a new option appears everywhere"
    assert "--example" in found["flag"]
    assert help_ in found["flag"]
    assert "`--example N`" in found["document"]
    assert f"#: {help_}\n    example: int" in found["keyword"]
    assert found["request"] == 3
    for schema in found["schema"]:
        assert (schema["description"], schema["default"], schema["minimum"]) == (help_, 5, 2)


def test_every_option_has_a_flag_but_those_that_are_a_setting_of_the_machine() -> None:
    from contract.settings import Settings

    documented = (REPO / "docs" / "commands.md").read_text()
    for option in OPTIONS.values():
        if option.local:
            assert option.name in Settings.model_fields
        else:
            assert TERMINAL.option(option.name, False if option.default is True else None) in documented


def test_every_field_of_what_is_read_and_answered_is_an_option() -> None:
    from dataclasses import fields

    from contract.format.job import Options

    for kind in (ReadOptions, Options):
        assert [option.name for option in options_of(kind)] == [field.name for field in fields(kind)]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"top_k": 0}, "top_k must be at least 1, not 0"),
        ({"top_k": "3"}, "top_k must be int, not '3'"),
        ({"no_answer_threshold": "1"}, "no_answer_threshold must be float or None, not '1'"),
        ({"metadata": {"a": 1}}, "metadata must be text: 'a' is 1"),
        ({"metadata": {"a": "x\ud800"}}, "half a surrogate pair"),
        ({"metadata": {"a\0": "x"}}, "NUL"),
        ({"key": "\udfff"}, "half a surrogate pair"),
        ({"topk": 3}, "submit has no option topk"),
        ({"expire": "soon"}, "'soon'"),
        ({"expire": "5s"}, "cannot be kept for 5 s"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_name(values: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        request_of(values)


def test_what_is_given_is_what_differs_from_the_defaults_as_people_write_it() -> None:
    values = {"top_k": 3, "header": False, "expire": "2h", "metadata": {"a": "b"}, "id": ""}
    given = {option.name: value for option, value in request_of(values).changed()}
    assert given == values | {"expire": "7200s"}
    assert list(Request().changed()) == []
