"""An error crosses a process, or HTTP, and is the same on the other side."""

from __future__ import annotations

import json

import pytest

from contract import errors
from contract.errors import BY_CODE, BulkqaError, InputError, RedisUnreachable, Unreachable, UsageError
from contract.format import failure
from contract.remedy import Call, Remedy, Set

REMEDY = Remedy("Read it with: ", Set(encoding="UTF-16"), ", or ask for ", Call("list"), ".")


def sent(error: BulkqaError) -> BulkqaError:
    return failure.from_json(json.loads(json.dumps(failure.to_json(error))))


@pytest.mark.parametrize("kind", BY_CODE.values())
def test_each_kind_comes_back_as_itself(kind: type[BulkqaError]) -> None:
    back = sent(kind("it cannot be", REMEDY))
    assert (type(back), back.message, back.code) == (kind, "it cannot be", kind.code)
    assert isinstance(back.remedy, Remedy)
    assert back.remedy.parts == REMEDY.parts


@pytest.mark.parametrize("code", errors.INPUT_CODES)
def test_an_input_error_keeps_its_code_and_what_was_found(code: str) -> None:
    back = sent(InputError(code, "it cannot be read", None, {"columns": ["q", "c"], "delimiter": "\t"}))
    assert isinstance(back, InputError)
    assert (back.code, back.remedy, back.found) == (code, None, {"columns": ["q", "c"], "delimiter": "\t"})


def test_a_kind_without_a_code_of_its_own_comes_back_as_the_kind_above_it() -> None:
    back = sent(RedisUnreachable("Redis is away", "Start it."))
    assert (type(back), back.remedy, back.exit_code) == (Unreachable, "Start it.", 6)


def test_the_code_of_a_later_version_is_kept() -> None:
    document = {"code": "too_new", "message": "no", "remedy": []}
    back = failure.from_json(document, UsageError)
    assert (type(back), back.code) == (UsageError, "too_new")
    assert type(failure.from_json(document)) is BulkqaError
