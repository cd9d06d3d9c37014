"""The codec of records: strict except for unknown fields; errors name the field; `salvage` keeps fields that fit."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from contract.format import codec


@dataclass(frozen=True, slots=True)
class Inner:
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outer:
    count: int = 0
    rate: float | None = None
    inner: Inner = field(default_factory=Inner)
    seen: frozenset[int] = frozenset()
    by_second: dict[int, tuple[int, float]] = field(default_factory=dict)
    proven: Annotated[bool, Field(alias="first_name")] = False


@dataclass(frozen=True, slots=True)
class Strict:
    count: int
    outer: Outer


OUTER = Outer(3, 0.5, Inner(("ü", "b")), frozenset({12, 3, 7}), {5: (1, 0.25)}, proven=True)


def test_a_record_is_written_with_its_stored_names_and_read_back():
    line = codec.line(OUTER)
    assert line == (
        '{"count":3,"rate":0.5,"inner":{"names":["\\u00fc","b"]},"seen":[3,7,12],"by_second":{"5":[1,0.25]},'
        '"first_name":true}'
    )
    assert codec.read(Outer, line) == OUTER
    assert codec.dump(Inner(("ü",))) == '{\n "names": [\n  "ü"\n ]\n}\n'.encode()
    assert codec.read(list[Inner], b'[{"names": ["a"]}, {}]') == [Inner(("a",)), Inner()]
    assert codec.parse(Inner, {"names": ["a"], "of_a_later_version": [1]}) == Inner(("a",))


def test_numbers_are_written_as_they_are():
    assert codec.line(Outer(rate=1)).startswith('{"count":0,"rate":1,')


@pytest.mark.parametrize(
    ("outer", "fault"),
    [
        ({"count": "3"}, "outer.count: Input should be a valid integer"),
        ({"count": True}, "outer.count: Input should be a valid integer"),
        ({"count": 3.0}, "outer.count: Input should be a valid integer"),
        ({"rate": "1"}, "outer.rate: Input should be a valid number"),
        ({"inner": {"names": ["a", None]}}, "outer.inner.names.1: Input should be a valid string"),
        ({"first_name": 1}, "outer.first_name: Input should be a valid boolean"),
        (None, "outer: Input should be an object"),
    ],
    ids=str,
)
def test_a_wrong_value_is_refused_with_its_place(outer: object, fault: str):
    with pytest.raises(ValueError, match=f"^{fault}"):
        codec.read(Strict, json.dumps({"count": 1, "outer": outer}))


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", "Invalid JSON"),
        (b"\xff", "Invalid JSON"),
        (b'{"outer":' * 100_000, "Invalid JSON: recursion limit exceeded"),
        (b"[]", "Input should be an object"),
        (b"{}", "count: Field required"),
    ],
    ids=["nothing", "not UTF-8", "nested without end", "a list", "a field is missing"],
)
def test_an_invalid_record_is_refused(data: bytes, fault: str):
    with pytest.raises(ValueError, match=f"^{fault}"):
        codec.read(Strict, data)


@pytest.mark.parametrize(
    ("data", "salvaged"),
    [
        (b'{"count": 3, "rate": "x", "inner": {"names": [1]}, "later": 1}', Outer(3)),
        (b'{"count": "3", "first_name": true}', Outer(proven=True)),
        (b'{"count": 3, "first_name": 1}', Outer(3)),
        ({"count": 3, "seen": [1, "2"]}, Outer(3)),
        (b"[1]", Outer()),
        (b"{", Outer()),
    ],
    ids=str,
)
def test_fields_that_fit_are_salvaged(data: bytes | dict, salvaged: Outer):
    assert codec.salvage(Outer, data) == salvaged


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from(["count", "rate", "inner", "seen", "by_second", "first_name", "later"])


@pytest.mark.slow
@given(st.dictionaries(names, values) | values)
def test_salvage_gives_a_record_for_any_json(value: object):
    assert isinstance(codec.salvage(Outer, json.dumps(value)), Outer)


@given(st.binary(max_size=30))
def test_salvage_gives_a_record_for_any_bytes(data: bytes):
    assert isinstance(codec.salvage(Outer, data), Outer)
