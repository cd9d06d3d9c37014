"""CSV whose quotes are escaped by a backslash."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import InputError
from producer.input.formats.csv.escapes import doubled
from producer.input.open import open_input
from producer.input.options import ReadOptions

text = st.text(st.sampled_from('ab"\\|\n é'), min_size=1, max_size=8)


def read(data: str, **options: object) -> list[dict[str, object]]:
    with open_input(io.BytesIO(data.encode()), ReadOptions(**options)) as source:  # type: ignore[arg-type]
        return [row for table in source.tables(100, 1 << 20) for row in table.to_pylist()]


@given(st.lists(st.tuples(text, text), min_size=1, max_size=20))
def test_what_spark_writes_is_read_back(rows: list[tuple[str, str]]) -> None:
    def cell(value: str) -> str:
        if not set(value) & set('"|\n'):
            return value
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'

    data = "question|context\n" + "".join(f"{cell('x' + a)}|{cell('x' + b)}\n" for a, b in rows)
    rows_read = read(data, escape="\\")
    assert [(row["question"], row["context"]) for row in rows_read] == [("x" + a, "x" + b) for a, b in rows]


@given(st.text(st.sampled_from('a"\\\n|'), max_size=40), st.integers(1, 7))
def test_the_cuts_between_blocks_do_not_matter(data: str, size: int) -> None:
    raw = data.encode()
    blocks = (raw[at : at + size] for at in range(0, len(raw), size))
    assert b"".join(doubled(blocks, "\\", 1000)) == b"".join(doubled(iter([raw]), "\\", 1000))


def test_an_open_quote_costs_its_line_and_little_time() -> None:
    raw = b'"' + b"a\\" * 50_000 + b"\n" + b'x|"\\""\n' * 20_000
    rows_read = b"".join(doubled((raw[at : at + 1000] for at in range(0, len(raw), 1000)), "\\", 10_000))
    assert rows_read.endswith(b'x|""""\n' * 19_000)


def test_the_error_of_an_escaped_quote_names_the_option() -> None:
    (row,) = read('question|context\nwho?|"he said \\"me\\" again"\n')
    assert row["code"] == "parse_error"
    assert "set the escape option" in str(row["message"])


@pytest.mark.parametrize("escape", ["", "ab", '"', "\n", "é", "|"])
def test_an_invalid_escape_character_is_refused(escape: str) -> None:
    with pytest.raises(InputError, match="escape"):
        read("question|context\na|b\n", escape=escape)
