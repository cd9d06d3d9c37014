"""JSON whose rows are a level down is read where one reading is possible; else the remedy works as it is pasted."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import Any

import pytest

from contract.errors import InputError
from tests.unit.input.test_files import advised, codes, read, texts

ROWS = [{"question": f"Who is {n}?", "context": f"Person {n} is Ann."} for n in range(3)]
PAIRS = [(row["question"], row["context"]) for row in ROWS]


def lines(items: list[Any]) -> str:
    return "".join(json.dumps(item) + "\n" for item in items)


def pairs(data: str, **options: Any) -> list[tuple[str | None, str | None]]:
    rows = read(data, **options)
    assert set(codes(rows)) == {None}
    return [(row.question, row.context) for row in rows]


WRAPPED = {
    "a batch API": [{"custom_id": f"r{n}", "method": "POST", "body": row} for n, row in enumerate(ROWS)],
    "an annotation tool": [{"id": n, "data": row, "annotations": [{"id": 1}]} for n, row in enumerate(ROWS)],
    "a search engine": [{"_index": "qa", "_id": str(n), "_source": row} for n, row in enumerate(ROWS)],
    "an inference server": [{"inputs": row, "parameters": {"top_k": 2}} for row in ROWS],
    "a record store": [{"Item": {"key": n, "value": row}} for n, row in enumerate(ROWS)],
    "half beside": [{"context": row["context"], "meta": {"question": row["question"]}} for row in ROWS],
}


@pytest.mark.parametrize("kind", WRAPPED)
@pytest.mark.parametrize("form", ["lines", "one line", "array", "data"])
def test_an_object_within_an_object_is_a_row(kind: str, form: str) -> None:
    items = WRAPPED[kind]
    if form == "one line":
        assert pairs(lines(items[:1])) == PAIRS[:1]
    else:
        text = lines(items) if form == "lines" else json.dumps(items if form == "array" else {"data": items}, indent=1)
        assert pairs(text) == PAIRS


def test_what_is_beside_the_row_passes_through_and_its_id_is_the_rows() -> None:
    first = read(lines(WRAPPED["a batch API"]))[0]
    assert (first.id, first.passthrough) == ("r0", {"custom_id": "r0", "method": "POST"})
    own = read(lines([{"id": 1, "body": ROWS[0] | {"id": "own"}}]))[0]
    assert own.id == "own"


COLUMNS = {name: [row[name] for row in ROWS] for name in ("question", "context")}
MANY = {
    "columns": COLUMNS,
    "inputs as rows": {"inputs": ROWS},
    "inputs as columns": {"inputs": COLUMNS},
    "split": {"dataframe_split": {"columns": [*COLUMNS], "data": [[*row.values()] for row in ROWS]}},
    "records": {"dataframe_records": ROWS},
    "tensors": {"inputs": [{"name": n, "shape": [3], "data": cells} for n, cells in COLUMNS.items()]},
    "hits": {"took": 1, "hits": {"total": {"value": 3}, "hits": WRAPPED["a search engine"]}},
    "docs": {"responseHeader": {"status": 0}, "response": {"numFound": 3, "docs": ROWS}},
}  # fmt: skip


@pytest.mark.parametrize("kind", MANY)
def test_what_a_document_may_be_a_line_may_be(kind: str) -> None:
    assert pairs(json.dumps(MANY[kind])) == PAIRS
    assert pairs(json.dumps(MANY[kind], indent=2)) == PAIRS
    assert pairs(lines([MANY[kind]] * 2), id="") == PAIRS * 2


QUESTIONS = [row["question"] for row in ROWS]
LISTS = {
    "texts": [{"questions": QUESTIONS, "context": "Ann."}],
    "objects": [{"qas": [{"question": question} for question in QUESTIONS], "context": "Ann."}],
    "CoQA": {"data": [{"context": "Ann.", "questions": [{"input_text": q, "turn_id": 1} for q in QUESTIONS]}]},
    "NewsQA": {"data": [{"context": "Ann.", "questions": [{"q": q, "consensus": {"s": 1}} for q in QUESTIONS]}]},
}  # fmt: skip


@pytest.mark.parametrize("kind", LISTS)
def test_each_question_of_a_list_is_a_row(kind: str) -> None:
    assert pairs(json.dumps(LISTS[kind])) == [(question, "Ann.") for question in QUESTIONS]
    story = json.dumps(LISTS[kind]).replace('"context"', '"story"')
    _, options = advised(story)
    assert pairs(story, **options) == [(question, "Ann.") for question in QUESTIONS]


def test_the_answers_of_coqa_go_with_their_questions() -> None:
    answers = [{"input_text": f"a{n}", "span_text": "Ann", "turn_id": n} for n in range(3)]
    item = {"id": "s", "context": "Ann.", "questions": [{"input_text": q} for q in QUESTIONS], "answers": answers}
    rows = read(json.dumps({"data": [item]}))
    assert [(row.id, row.passthrough["answers"]) for row in rows] == [("s-0", ["a0"]), ("s-1", ["a1"]), ("s-2", ["a2"])]


def test_names_a_level_down_are_the_remedy() -> None:
    items = [{"id": n, "body": {"query": row["question"], "passage": row["context"]}} for n, row in enumerate(ROWS)]
    for text in (lines(items), json.dumps(items), json.dumps({"data": items})):
        _, options = advised(text)
        assert options == {"question": "query", "context": "passage"}
        assert pairs(text, **options) == PAIRS


FILTERED = {
    "paragraphs in documents": [
        {"question_id": n, "question": row["question"], "documents": [{"title": "t", "paragraphs": [row["context"]]}]}
        for n, row in enumerate(ROWS)
    ],
    "text in an object": [
        {"id": f"a{n}", "question": {"text": row["question"]}, "document": {"html": row["context"]}}
        for n, row in enumerate(ROWS)
    ],
    "JSON in a text": [{"id": n, "body": json.dumps(row)} for n, row in enumerate(ROWS)],
    "a list of another name": [{"things": [{"query": row["question"], "passage": row["context"]} for row in ROWS]}],
    "names that jq has to quote": [
        {"the question": {"a b": row["question"]}, "ctx": {"the text": row["context"]}} for row in ROWS
    ],
}  # fmt: skip


@pytest.mark.skipif(shutil.which("jq") is None, reason="needs jq")
@pytest.mark.parametrize("kind", FILTERED)
@pytest.mark.parametrize("form", ["lines", "array", "data"])
def test_else_the_remedy_is_a_filter_of_jq_that_makes_the_rows(kind: str, form: str) -> None:
    items = FILTERED[kind] * 2
    text = lines(items) if form == "lines" else json.dumps(items if form == "array" else {"data": items})
    with pytest.raises(InputError) as caught:
        read(text)
    match = re.search(r"jq -c '([^']*)' FILE > NEW", str(caught.value.remedy))
    assert match
    done = subprocess.run(["jq", "-c", match[1]], input=text, capture_output=True, text=True, check=True)
    assert [(row.question, row.context) for row in read(done.stdout)] == PAIRS * 2


def test_a_name_is_never_advised_for_what_is_no_text() -> None:
    both = [{"custom_id": "r", "body": {"texts": [{"role": "user", "words": "Who?"}]}}] * 2
    with pytest.raises(InputError, match="Make rows that have the question and the context as keys"):
        read(lines(both))


@pytest.mark.parametrize(
    "body",
    [
        {"body": {"model": "m", "messages": [{"role": "system", "content": "Be short."}] * 2}},
        {"body": {"messages": [{"role": "user", "content": [{"type": "text", "text": "Text: a. Question: b?"}]}]}},
        {"request": {"contents": [{"role": "user", "parts": [{"text": "Text: a. Question: b?"}]}]}},
        {"body": {"model": "m", "prompt": "Text: a. Question: b?"}},
        {"params": {"max_tokens": 9, "messages": [{"role": "user", "content": "Text: a. Question: b?"}]}},
    ],
)
def test_prompts_are_not_rows_and_no_column_is_advised(body: dict[str, Any]) -> None:
    for beside in ({"custom_id": "r", "method": "POST", "url": "/v1/chat/completions"}, {}):
        with pytest.raises(InputError, match="within prompts: submit the rows that these were made of"):
            read(lines([beside | body] * 2))


@pytest.mark.parametrize(
    "item",
    [
        {"train": ROWS, "test": ROWS},  # the filter for one would leave out the other
        {"context": "c", "qas": {"1": {"question": "q"}, "2": {"question": "r"}}},
        {"question": "q", "context": [["Ann", ["Ann did it.", "So did Bob."]]]},
    ],
)
def test_a_filter_that_would_leave_out_rows_is_not_advised(item: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        read(lines([item] * 2))
    assert "jq -c" not in str(caught.value)


def test_a_column_that_holds_no_text_in_any_row_is_refused_as_a_whole() -> None:
    items = [{"question": row["question"], "context": {"text": row["context"]}} for row in ROWS]
    message, options = advised(lines(items))
    assert "'context' is an object, not a text" in message
    assert pairs(lines(items), **options) == PAIRS
    assert codes(read(lines([*items[:1], *ROWS]))) == ["parse_error", None, None, None]


def test_two_places_are_no_place() -> None:
    with pytest.raises(InputError, match="no column 'question'"):
        read(lines([{"n": 1, "a": ROWS[0], "b": ROWS[1]}] * 2))


def test_a_line_without_the_object_is_an_error_of_its_row() -> None:
    rows = read(lines([*WRAPPED["a batch API"][:2], {"custom_id": "x", "error": "none"}]))
    assert codes(rows) == [None, None, "missing_field"]


@pytest.mark.parametrize("between", ["\n", "", "\n\n"])
@pytest.mark.parametrize("wrapped", [False, True])
def test_objects_over_several_lines_one_after_another(between: str, wrapped: bool) -> None:
    items = [{"inputs": row} for row in ROWS] if wrapped else ROWS
    assert pairs(between.join(json.dumps(item, indent=2) for item in items)) == PAIRS


def test_record_separators_stand_before_records() -> None:
    assert pairs("".join(f"\x1e{json.dumps(row)}\n" for row in ROWS)) == PAIRS
    assert pairs("".join(f"\x1e{json.dumps(row, indent=1)}\n" for row in ROWS)) == PAIRS
    assert [row.line for row in read("".join(f"\x1e{json.dumps(row)}\n" for row in ROWS))] == [1, 2, 3]


def test_the_last_of_them_cut_off_is_said() -> None:
    with pytest.raises(InputError, match="damaged or cut off"):
        read("\n".join(json.dumps(row, indent=2) for row in ROWS)[:-9])


def test_rows_as_they_were_stay_as_they_are() -> None:
    row = ROWS[0] | {"data": {"question": "another", "context": "text"}, "answers": ["x"], "questions": ["y"]}
    [first, _] = read(lines([row, row]))
    assert first.passthrough == {key: row[key] for key in ("data", "answers", "questions")}
    assert texts([first]) == [(None, *PAIRS[0])]
