"""Tables that are made for people are read as tables, and rows that are none are never answered."""

from __future__ import annotations

import json

import pytest

from tests.unit.input.test_files import read
from tests.unit.input.test_rows import codes

TABLES = {
    "Markdown": """\
| id | question | context |
|----|:---------|--------:|
| a  | Who?     | "Ann" \\| Bob |
| b  | When?    | In 1874 |
""",
    "Markdown without edges": """\
id | question | context
--- | :---: | ---
a | Who? | "Ann" \\| Bob
b | When? | In 1874
""",
    "Markdown of one dash": """\
|id|question|context|
|-|-|-|
|a|Who?|"Ann" \\| Bob|
|b|When?|In 1874|
""",
    "psql": """\
 id | question |    context
----+----------+--------------
 a  | Who?     | "Ann" \\| Bob
 b  | When?    | In 1874
(2 rows)

""",
}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("kind", TABLES)
def test_a_table_is_read_without_its_lines(kind: str, end: str) -> None:
    rows = read(TABLES[kind].replace("\n", end))
    assert [(row.id, row.question, row.context) for row in rows] == [
        ("a", "Who?", '"Ann" | Bob'), ("b", "When?", "In 1874"),
    ]  # fmt: skip
    assert [row.line for row in rows] == [3, 4]


def test_a_table_of_mysql() -> None:
    line = "+----+----------+---------+\n"
    text = f"{line}| id | question | context |\n{line}|  1 | Who?     | Ann     |\n{line}1 row in set (0.01 sec)\n"
    assert [(row.id, row.question, row.context, row.line) for row in read(text)] == [("1", "Who?", "Ann", 4)]


def test_a_row_of_a_table_with_a_bar_too_many_is_an_error() -> None:
    assert codes(read(TABLES["psql"].replace("In 1874", "In | 1874"))) == [None, "extra_field"]


def test_csv_with_dashes_is_no_table() -> None:
    [first, second] = read('question|context\n-|-\n"a|b"| c \n')
    assert (first.question, second.question, second.context) == ("-", "a|b", " c ")


def test_a_header_that_comes_again_is_an_error_of_its_row() -> None:
    files = "id|question|context\n1|Who?|Ann\n", "id|question|context\n2|question|what the context is\n"
    rows = read("".join(files))
    assert codes(rows) == [None, "not_a_row", None]
    assert "header" in str(rows[1].error)
    lines = '{"question": "q", "context": "c"}\n{"question": "question", "context": "context"}\n'
    assert codes(read(lines)) == [None, "not_a_row"]


@pytest.mark.parametrize("ruler", ["---|---", ":--|--:", "=====|=====", " --- | --- "])
def test_a_ruler_is_an_error_of_its_row(ruler: str) -> None:
    assert codes(read(f"question|context\nq|c\n{ruler}\n---|text\n--|-1\n")) == [None, "not_a_row", None, None]


def test_a_paragraph_without_questions_is_an_error_of_its_row() -> None:
    empty = {"context": "d", "qas": []}
    article = {"paragraphs": [{"context": "c", "qas": [{"id": "1", "question": "q"}]}, empty]}
    rows = read(json.dumps({"data": [article]}))
    assert codes(rows) == [None, "missing_field"]
