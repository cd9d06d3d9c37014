"""What an error says over HTTP, and that the backend of a client makes the same error of it."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from contract.errors import BulkqaError, InputError, NotEnded, TimedOut, UnknownJob, Unreachable, UsageError
from contract.remedy import Call, Remedy, Set
from contract.settings import Settings
from producer.jobs.check import glance
from producer.request import request_of

pytest.importorskip("starlette")

from producer.backend.responses import error_of
from producer.server.problems import Refused, body_of

REMEDY = Remedy(
    "Set ", Set(delimiter="\t", header=False, top_k=3), ", ", Set("question"), "; or ask ", Call("list"), "."
)


def test_a_remedy_is_in_the_words_of_http_and_tells_a_form_what_to_set() -> None:
    problem = body_of(InputError("missing_column", "there is none", REMEDY, {"columns": ["a"]}), {})
    assert problem["remedy"] == 'Set "delimiter": "\\t", "header": false, "top_k": 3, "question"; or ask GET /v1/jobs.'
    assert problem["set"] == {"delimiter": "\t", "header": "false", "top_k": "3"}
    assert problem["remedy_parts"] == REMEDY.to_json()
    assert problem["found"] == {"columns": ["a"]}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (Call("list"), "GET /v1/jobs"),
        (Call("delete", "a-job", ("cancel",)), "DELETE /v1/jobs/a-job?cancel=true"),
        (Call("results"), "GET /v1/jobs/JOB/results"),
        (Call("repair", "a-job"), "producer repair a-job"),
    ],
)
def test_a_command_is_a_request_where_there_is_one(call: Call, words: str) -> None:
    assert body_of(BulkqaError("no", Remedy(call)), {})["remedy"] == words


@pytest.mark.parametrize(
    ("data", "options"),
    [
        (b"", {}),
        (b"a|b\n1|2\n", {}),
        (b"q;c\n1;2\n", {}),
        (b"1|2|3\n", {"header": False}),
        (b"question|context\n1|2\n", {"id": "ident"}),
        (b"question|question|context\n1|2|3\n", {}),
        (b"question|context\n1|2\n", {"delimiter": "ab"}),
        (b"question|context\n1|2\n", {"escape": '"'}),
        (b"question|context\n1|2\n", {"encoding": "klingon"}),
        (b"question|context\n1|2\n", {"encoding": "utf-32"}),
        (b"question|context\n1|2\n", {"format": "xml"}),
        (b"question|context\n1|2\n", {"format": "parquet"}),
        (b"question|context\n1|2\n", {"top_k": 50}),
        (b"question|context\n1|2\n", {"expire": "1s"}),
        ("question|context\n1|2\n".encode("utf-16"), {}),
        (b"%PDF-1.7 ", {}),
        (b"\x1f\x8b broken", {}),
        (b"PK\x03\x04 broken", {}),
        (b"PAR1 broken", {}),
        (b'{"data": 1}', {}),
    ],
)
def test_no_remedy_over_http_names_a_flag(data: bytes, options: dict[str, Any], settings: Settings) -> None:
    with pytest.raises(UsageError) as caught:
        glance(io.BytesIO(data), request_of(options).read, settings)
    problem = body_of(caught.value, {})
    assert "--" not in f"{problem['detail']} {problem['remedy']}"


def test_an_error_without_a_remedy_sets_nothing() -> None:
    problem = body_of(UsageError("no"), {})
    assert (problem["remedy"], problem["remedy_parts"], problem["set"]) == (None, [], {})
    assert "found" not in problem


def test_only_fields_of_a_submission_are_set() -> None:
    assert body_of(UsageError("no", Remedy(Set(chunk_rows=5, encoding="UTF-16"))), {})["set"] == {"encoding": "UTF-16"}


def test_no_place_of_the_server_is_named() -> None:
    error = InputError("unreadable", "/data/x is bad", Remedy("Remove /data/x: ", Call("repair", "/data/x")))
    assert "/data" not in json.dumps(body_of(error, {"/data": "the storage"}))


@pytest.mark.parametrize(
    "error",
    [
        UsageError("wrong", REMEDY),
        UnknownJob("none", Remedy(Call("list"))),
        NotEnded("busy", Remedy(Call("delete", "a-job", ("cancel",)))),
        InputError("missing_column", "there is none", REMEDY, {"columns": ["a"]}),
        TimedOut("late", "Ask again."),
        Unreachable("away"),
        BulkqaError("a bug"),
    ],
)
def test_a_client_of_the_server_raises_what_a_client_of_the_storage_would(error: BulkqaError) -> None:
    back = error_of(json.loads(json.dumps(body_of(error, {}))))
    assert (type(back), back.code, str(back)) == (type(error), error.code, str(error))


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, "no_token", UsageError),
        (413, "too_large", UsageError),
        (429, "too_many_jobs", Unreachable),
        (422, "a_later_code", InputError),
        (500, "a_later_code", BulkqaError),
    ],
)
def test_a_code_of_http_alone_is_an_error_by_its_status(status: int, code: str, kind: type[BulkqaError]) -> None:
    assert type(error_of(body_of(Refused(status, code, "no"), {}))) is kind
