"""Every option of a job is declared once, and appears on every surface."""

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

#: Adds an option before any surface is made, and looks for it on all of them.
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


def test_a_new_option_is_a_flag_a_keyword_a_form_field_and_documented() -> None:
    pytest.importorskip("fastapi")
    done = subprocess.run([sys.executable, "-c", ADDED], cwd=REPO, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    surfaces = json.loads(done.stdout)
    help_ = "shows that a new option appears everywhere"
    assert "--example" in surfaces["flag"]
    assert help_ in surfaces["flag"]
    assert "`--example N`" in surfaces["document"]
    assert f"#: {help_}\n    example: int" in surfaces["keyword"]
    assert surfaces["request"] == 3
    for schema in surfaces["schema"]:
        assert (schema["description"], schema["default"], schema["minimum"]) == (help_, 5, 2)


def test_every_option_has_a_flag_or_is_a_setting_of_the_machine() -> None:
    from contract.settings import Settings

    documented = (REPO / "docs" / "commands.md").read_text()
    for option in OPTIONS.values():
        if option.local:
            assert option.name in Settings.model_fields
        else:
            assert TERMINAL.option(option.name, False if option.default is True else None) in documented


def test_every_field_for_reading_and_answering_is_an_option() -> None:
    from dataclasses import fields

    from contract.format.job import Options

    own = ["limits", "one_column"]  # of a server, on what may come of an upload; of a table: no request sets them
    for kind in (ReadOptions, Options):
        names = [field.name for field in fields(kind) if field.name not in own]
        assert [option.name for option in options_of(kind)] == names


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"top_k": 0}, "top_k must be at least 1, not 0"),
        ({"top_k": "3"}, "top_k must be int, not '3'"),
        ({"no_answer_threshold": "1"}, "no_answer_threshold must be float or None, not '1'"),
        ({"metadata": {"a": 1}}, "metadata must be text: 'a' is 1"),
        ({"metadata": {"a": "x\ud800"}}, r"'x\\ud800' is not text in UTF-8"),
        ({"metadata": {"a": "x\udcff"}}, r"'x\\xff' is not text in UTF-8"),
        ({"metadata": {"a\0": "x"}}, "NUL"),
        ({"key": "\udfff"}, "not text in UTF-8"),
        ({"topk": 3}, "submit has no option topk"),
        ({"expire": "soon"}, "'soon'"),
        ({"expire": "5s"}, "cannot be kept for 5 s"),
    ],
)
def test_an_invalid_option_is_refused_by_name(values: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        request_of(values)


def test_changed_options_are_as_people_write_them() -> None:
    values = {"top_k": 3, "header": False, "expire": "2h", "metadata": {"a": "b"}, "id": ""}
    changed = {option.name: value for option, value in request_of(values).changed()}
    assert changed == values | {"expire": "7200s"}
    assert list(Request().changed()) == []


def test_jobs_to_reuse_are_a_text_with_commas_or_a_list():
    assert request_of({"reuse": "a, latest:team=search"}).reuse == ("a", "latest:team=search")
    assert request_of({"reuse": ["a", "b"]}).reuse == ("a", "b")
    assert request_of({"reuse": None}).reuse == ()
    changed = {option.name: value for option, value in request_of({"reuse": ["a", "b"], "reuse_any": True}).changed()}
    assert (changed["reuse"], changed["reuse_any"]) == ("a,b", True)


@pytest.mark.parametrize("name", ["latest:", "latest:team", "latest:=x", "first:team=x", "a\0", "\ud800"])
def test_what_names_no_job_to_reuse_is_refused(name: str):
    with pytest.raises(UsageError):
        request_of({"reuse": name})


def test_reusing_more_of_no_job_is_refused():
    with pytest.raises(UsageError, match="and none is named"):
        request_of({"reuse_any": True})
