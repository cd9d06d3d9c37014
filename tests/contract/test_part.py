"""A part shows damage: any lost or altered byte is found."""

from __future__ import annotations

import json
import math
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.format import part
from contract.format.job import Options, Row, RowError, answered, failed
from contract.format.part import DamagedPart
from tests.making import answer

ABOUT = {"started_at": 100.25, "finished_at": 101.5, "worker": "hôst-1", "model": "d1", "peak_rss": 1 << 28}


def outcomes(kinds: str) -> list[dict]:
    """Predictions by letter. a: answered, n: no answer, e: error, c: cancelled."""
    made = []
    for number, kind in enumerate(kinds):
        row = Row(number, "nothing?" if kind == "n" else "q\u2028\n?", "Zürich 😀\r\nis", id=str(number))
        error = {"e": RowError("empty_context", "m"), "c": RowError("job_cancelled", "m")}.get(kind)
        made.append(failed(row, error, Options()) if error else answered(row, answer(row), Options()))
    return made


@cache
def example() -> bytes:
    return part.encode(outcomes("anec"), **ABOUT)[0]


@given(st.text("anec", min_size=1, max_size=30))
def test_what_was_encoded_is_read_back_and_counted(kinds: str):
    data, footer = part.encode(outcomes(kinds), **ABOUT)

    lines, found = part.body(data, len(kinds))

    assert found == footer == part.footer(data[-part.FOOTER_BYTES :])
    assert [json.loads(line) for line in lines.decode().split("\n")[:-1]] == outcomes(kinds)
    assert (found.answered, found.no_answer, found.failed, found.cancelled) == tuple(map(kinds.count, "anec"))
    assert found.rows == found.answered + found.no_answer + found.failed + found.cancelled
    assert sum(found.codes.values()) == found.failed + found.cancelled


def test_the_same_outcomes_are_the_same_bytes():
    assert part.encode(outcomes("anec"), **ABOUT)[0] == example()


@given(st.integers(0, len(example()) - 1))
def test_a_truncated_part_is_damaged(size: int):
    with pytest.raises(DamagedPart):
        part.body(example()[:size], 4)


@given(st.integers(0, len(example()) - 1), st.integers(1, 255))
def test_any_altered_byte_is_found(position: int, change: int):
    data = bytearray(example())
    data[position] ^= change
    with pytest.raises(DamagedPart):
        part.body(bytes(data), 4)


def test_every_position_is_covered():
    for position in range(len(example())):
        for change in (1, 32):
            data = bytearray(example())
            data[position] ^= change
            with pytest.raises(DamagedPart):
                part.body(bytes(data), 4)


def test_a_count_that_was_altered_is_found_by_the_footer_alone():
    altered = example().replace(b'"answered":1', b'"answered":9')
    assert altered != example()
    with pytest.raises(DamagedPart):
        part.footer(altered[-part.FOOTER_BYTES :])


@given(st.binary(max_size=200))
def test_any_bytes_are_a_part_or_damaged(data: bytes):
    with pytest.raises(DamagedPart):
        part.body(data, 1)


@pytest.mark.parametrize(
    "data", [b"", b"\n", b"[]\n", b'{"footer":[]}\n', b'{"footer":{}}\n', b'{"footer":null}', b"1"]
)
def test_an_invalid_footer_is_damaged(data: bytes):
    with pytest.raises(DamagedPart, match=r"no footer|altered"):
        part.footer(data)


def test_a_part_of_another_number_of_rows_is_damaged():
    with pytest.raises(DamagedPart, match="it has 4 rows, its chunk 5"):
        part.body(example(), 5)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_lacks_are_never_written(value: float):
    wrong = outcomes("a")
    wrong[0]["score"] = value
    with pytest.raises(ValueError, match="Out of range"):
        part.encode(wrong)


def test_the_footer_fits_into_the_tail_that_is_read():
    codes = "".join("e" for _ in range(50))
    data, _ = part.encode(outcomes(codes), **(ABOUT | {"worker": "w" * 255, "model": "d" * 128}))
    assert len(data.splitlines()[-1]) < part.FOOTER_BYTES // 2
