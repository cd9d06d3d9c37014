"""Files that people have: read as they were meant, or refused with a remedy that works."""

from __future__ import annotations

import io
import json
import shlex
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from contract.errors import InputError, UsageError
from contract.evaluation import references, unreadable
from contract.format import chunk
from contract.format.job import Row
from contract.remedy import Remedy
from producer.input.open import Input, open_input
from producer.input.options import ReadOptions
from tests import REPO

CASES = REPO.parent / "shared" / "cases"
needs_cases = pytest.mark.skipif(not CASES.exists(), reason="needs the shared cases")
MILL = "The mill was rebuilt in 1791 after a flood."
ROWS = [("a", "When?", MILL), ("b", "Why?", "A flood | of “water” carried it away.")]


def opened(data: bytes | str | Path, **options: Any) -> tuple[list[Row], Input]:
    file = io.BytesIO(data.encode() if isinstance(data, str) else data) if isinstance(data, bytes | str) else data
    with open_input(file, ReadOptions(**options)) as source:
        return [row for table in source.tables(100, 1 << 20) for row in chunk.rows(table)], source


def read(data: bytes | str | Path, **options: Any) -> list[Row]:
    return opened(data, **options)[0]


def codes(rows: list[Row]) -> list[str | None]:
    return [row.error.code if row.error else None for row in rows]


def texts(rows: list[Row]) -> list[tuple[str | None, str | None, str | None]]:
    return [(row.id, row.question, row.context) for row in rows]


def advised(data: bytes | str | Path, **options: Any) -> tuple[str, dict[str, Any]]:
    """The message of a refusal, and the options that its remedy sets: the same as data and as flags."""
    with pytest.raises(InputError) as caught:
        read(data, **options)
    remedy = caught.value.remedy
    assert isinstance(remedy, Remedy)
    command = remedy.partition(": ")[2].partition("   Or ")[0].partition(" and name ")[0]
    flags = shlex.split(command)
    flags_set: dict[str, Any] = {}
    while flags:
        flag = flags.pop(0).removeprefix("--").replace("-", "_")
        flags_set |= {"header": False} if flag == "no_header" else {flag: flags.pop(0).replace("\\t", "\t")}
    if "skip_lines" in flags_set:
        flags_set["skip_lines"] = int(flags_set["skip_lines"])
    assert remedy.settings == flags_set
    return caught.value.message, options | flags_set


# Names and delimiters


@pytest.mark.parametrize(
    "head",
    [
        "ID|QUESTION|CONTEXT",
        "Id| Question |Context\u00a0",
        "id|question|con text",
        "id|Question|context",
        "id|question\u200b|\ufeffcontext",
        "id|\u2060question|con\u00adtext",
    ],
)
def test_names_may_differ_in_capitals_blanks_and_what_cannot_be_seen(head: str) -> None:
    rows, source = opened(f"{head}\na|When?|{MILL}\n")
    assert texts(rows) == [("a", "When?", MILL)]
    assert [source.id_column, source.question_column, source.context_column] == [
        name.strip() for name in head.split("|")
    ]
    line = json.dumps({"Question": "When?", "CONTEXT": MILL, "ID": "a"})
    assert texts(read(line + "\n")) == [("a", "When?", MILL)]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_names_may_differ_in_how_accents_are_written(form: str) -> None:
    """macOS writes them apart."""
    other = "NFD" if form == "NFC" else "NFC"
    question, context = (unicodedata.normalize(form, name) for name in ("Prüffrage", "Passé"))
    head = "|".join(unicodedata.normalize(other, name) for name in (question, context))
    rows, _ = opened(f"{head}\nWhen?|{MILL}\n", question=question, context=context)
    assert [(row.question, row.context) for row in rows] == [("When?", MILL)]


def test_a_name_that_fits_two_columns_is_not_guessed() -> None:
    message, _ = advised("Question|QUESTION|context\na|b|c\n")
    assert "'Question', 'QUESTION'" in message
    assert read("Question|question|context\na|b|c\n")[0].question == "b"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize(
    "head", ["text question", "Question Passage", "story_text_id story_text query", "context question"]
)
def test_the_remedy_for_other_delimiters_and_names_works(delimiter: str, head: str) -> None:
    names = head.split()
    row = ["When?" if "que" in name.lower() else "x1" if name.endswith("id") else MILL for name in names]
    message, options = advised(delimiter.join(names) + "\n" + delimiter.join(row) + "\n")
    assert all(repr(name) in message for name in names)
    assert [(r.question, r.context, r.error) for r in read(
        delimiter.join(names) + "\n" + delimiter.join(row) + "\n", **options)] == [("When?", MILL, None)]  # fmt: skip


@pytest.mark.parametrize(
    ("head", "remedy", "settings"),
    [
        ("foo|bar", "Name the columns with --question and --context", {}),
        ("query|bar", "Name them: --question query and name the column with --context", {"question": "query"}),
        ("foo,bar", "Read it with: --delimiter ',' and name the columns with --question and --context",
         {"delimiter": ","}),
        ("a|when?|c", "Read it with: --no-header and name the columns with --question and --context",
         {"header": False}),
    ],
)  # fmt: skip
def test_columns_that_cannot_be_guessed_are_left_to_the_user(
    head: str, remedy: str, settings: dict[str, object]
) -> None:
    with pytest.raises(InputError) as caught:
        read(head + "\n1|2|3\n")
    assert caught.value.remedy == remedy
    assert isinstance(caught.value.remedy, Remedy)
    assert caught.value.remedy.settings == settings


def test_columns_of_any_format_are_guessed() -> None:
    line = json.dumps({"query": "When?", "passage": MILL}) + "\n"
    _, options = advised(line)
    assert (options, texts(read(line, **options))) == (
        {"question": "query", "context": "passage"}, [(None, "When?", MILL)],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ("example_id,question_text,document_text", ("question_text", "document_text")),
        ("document_text,question_text,document_title", ("question_text", "document_text")),
        ("question_type|question_text|document_url|document_plaintext", ("question_text", "document_plaintext")),
        ("Context Question,Passage", ("Context Question", "Passage")),
    ],
)
def test_a_remedy_names_two_columns(head: str, expected: tuple[str, str]) -> None:
    _, options = advised(f"{head}\n1,2,3,4\n")
    assert (options["question"], options["context"]) == expected


@pytest.mark.parametrize("head", ["question_text|id", "id|query|question_text", "question|answer_text"])
def test_no_remedy_answers_a_question_from_itself(head: str) -> None:
    with pytest.raises(InputError) as caught:
        read(f"{head}\n1|2|3\n")
    assert isinstance(caught.value.remedy, Remedy)
    assert "context" not in caught.value.remedy.settings
    assert "--context" in caught.value.remedy


@pytest.mark.parametrize(
    ("data", "options", "settings"),
    [
        ("q|text\n1|2\n", {"question": "q", "context": "q"}, {"question": "q", "context": "text"}),
        ("Q|text\n1|2\n", {"question": "q", "context": " Q"}, {"question": "Q", "context": "text"}),
        ("context|query\n1|2\n", {"question": "context"}, {"question": "context"}),
        ("1|2\n", {"question": "2", "context": "2", "header": False}, {"question": "2"}),
        ('{"q": "1", "text": "2"}\n', {"question": "q", "context": "q"}, {"question": "q", "context": "text"}),
        ('[{"q": "1", "text": "2"}]', {"question": "q", "context": "q"}, {"question": "q", "context": "text"}),
    ],
)
def test_one_column_is_never_both_question_and_context(
    data: str, options: dict[str, Any], settings: dict[str, Any]
) -> None:
    with pytest.raises(InputError, match="cannot be both the question and the context") as caught:
        read(data, **options)
    assert isinstance(caught.value.remedy, Remedy)
    assert caught.value.remedy.settings == settings


@pytest.mark.parametrize("delimiter", ["|", ","])
def test_a_file_without_a_header_is_recognized(delimiter: str) -> None:
    data = f"where do I live?{delimiter}I live in Borgholm.\nwhat is it?{delimiter}It is an island.\n"
    message, options = advised(data)
    assert "Perhaps there is no header" in message
    assert [(row.question, row.context, row.line) for row in read(data, **options)] == [
        ("where do I live?", "I live in Borgholm.", 1), ("what is it?", "It is an island.", 2),
    ]  # fmt: skip


def test_without_a_header_columns_have_numbers() -> None:
    rows, source = opened(f'7|"When\nnow?"|{MILL}\n8|q|c\n', header=False, question="2", context="3", id="1")
    assert texts(rows) == [("7", "When\nnow?", MILL), ("8", "q", "c")]
    assert source.columns == ("1", "2", "3")
    assert [row.line for row in rows] == [1, 3]
    message, _ = advised("1|q|c\n", header=False)
    assert "'1', '2', '3'" in message


@pytest.mark.parametrize("delimiter", ["|", ";", ","])
def test_a_line_that_names_the_delimiter_decides(delimiter: str) -> None:
    lines = [f"sep={delimiter}", delimiter.join(["id", "question", "context"]), delimiter.join(["a", "When?", MILL])]
    rows, source = opened("\ufeff" + "\r\n".join(lines) + "\r\n")
    assert (texts(rows), rows[0].line, source.delimiter) == ([("a", "When?", MILL)], 3, delimiter)


@pytest.mark.parametrize("head", ["id|question|context", "id|question|context|"])
def test_a_delimiter_at_every_line_end_is_ignored(head: str) -> None:
    rows, source = opened(f"{head}\na|When?|{MILL}|\nb|q|c|x\nc|q|c\nd|q|c|\n")
    assert codes(rows) == [None, "extra_field", "missing_field", None]
    assert source.columns == ("id", "question", "context")
    assert rows[0].passthrough == {}
    assert codes(read("id|question|context\na|q|c\nb|q|c|\n")) == [None, "extra_field"]


def test_blank_ids_do_not_count() -> None:
    rows = read("id|question|context\n|q|c\n  |q|c\n  |q|c\n\u00a0|q|c\n1|q|c\n1|q|c\n")
    assert [row.id for row in rows] == [None, None, None, None, "1", "1"]
    assert codes(rows) == [None] * 5 + ["duplicate_id"]


# Quotes that are text

STRAY = """question\tcontext
Who?\t"Twelve is a film
Where?\tIn Lund, says the "Nyt"
Who sang?\t"Ved
What?\tIt sells pears"
"""


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("many", [1, 3000])
def test_quotes_are_text_if_that_is_said(many: int, end: str) -> None:
    head, *lines = STRAY.splitlines()
    rows, source = opened(end.join([head, *lines * many, ""]), delimiter="\t", quote="none")
    assert [f"{row.question}\t{row.context}" for row in rows] == lines * many
    assert [row.line for row in rows] == list(range(2, 2 + len(rows)))
    assert source.notes == ()


def test_a_name_with_quotes_that_are_text_is_a_name() -> None:
    rows, source = opened('"question"\tcontext\nWho?\tme\n', delimiter="\t", quote="none", question='"question"')
    assert (source.question_column, rows[0].question) == ('"question"', "Who?")
    with pytest.raises(InputError, match="unbalanced quote") as caught:
        read('"question\tcontext\nWho?\tme\n', delimiter="\t")
    assert isinstance(caught.value.remedy, Remedy)
    assert caught.value.remedy.settings == {"quote": "none"}


def test_the_remedy_for_tabs_tells_of_quotes_that_are_text() -> None:
    with pytest.raises(InputError) as caught:
        read(STRAY)
    assert caught.value.remedy == "Read it with: --delimiter '\\t'   Or with quotes as text: set --quote to none"
    assert advised(STRAY)[1] == {"delimiter": "\t"}
    assert "quote" not in str(advised(STRAY.replace('"', ""))[0])


def test_a_quote_that_takes_in_a_row_is_warned_of() -> None:
    rows, source = opened(STRAY, delimiter="\t")
    assert codes(rows) == ["parse_error", None, None]
    assert rows[0].error
    assert "set the quote option to none" in rows[0].error.message
    assert [note.partition(";")[0] for note in source.notes] == [
        "stream: line 4: a quote runs over the end of its line, and takes in what may be a row of its own",
        "stream: there are rows with unbalanced quotes",
    ]


@pytest.mark.parametrize("delimiter", ["\t", "|"])
@pytest.mark.parametrize("odd", ["", "x\n"])  # a block, and row by row
def test_a_quoted_row_is_warned_of_and_quoted_text_is_not(delimiter: str, odd: str) -> None:
    swallowed = f'question{delimiter}context\nWho?{delimiter}"Ved\nWhat?{delimiter}It sells pears"\n{odd}'
    assert ["line 2" in note for note in opened(swallowed, delimiter=delimiter)[1].notes] == [True]
    text = f'question{delimiter}context\nWho?{delimiter}"Ved\nand {delimiter} more {delimiter}\n"\n{odd}'
    assert opened(text, delimiter=delimiter)[1].notes == ()
    assert opened('question,context\nWho?,"Ved,\nand so, of course"\n', delimiter=",")[1].notes == ()


def test_a_file_of_unbalanced_quotes_is_warned_of() -> None:
    data = "question,context\n" + 'Who?,"Ved" is sung\n' * 3 + "Who?,me\n"
    assert ["set the quote option to none" in note for note in opened(data, delimiter=",")[1].notes] == [True]
    assert codes(read(data, delimiter=",", quote="none")) == [None] * 4


@pytest.mark.parametrize(("options", "what"), [({"quote": "x"}, "unknown quote"), ({"skip_lines": -1}, "skip_lines"),
                                               ({"quote": "none", "escape": "\\"}, "no use")])  # fmt: skip
def test_options_that_cannot_be_are_refused(options: dict[str, Any], what: str) -> None:
    with pytest.raises(UsageError, match=what):
        read("question|context\nq|c\n", **options)


# A title above the header

TITLE = ["Report: open questions", "Made 2026-11-02, by ops", "", "id,question,context", f"a,When?,{MILL}", "b,,c"]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("title", [TITLE[:3], ["Report: open questions,,", ",,"], ["# one", "# two"], ["\ufeffText"]])
def test_a_header_below_a_title_is_found(title: list[str], end: str) -> None:
    rows, source = opened(end.join([*title, *TITLE[3:]]), delimiter=",")
    assert texts(rows) == [("a", "When?", MILL), ("b", "", "c")]
    assert [row.line for row in rows] == [len(title) + 2, len(title) + 3]
    assert ["above the header" in note for note in source.notes] == [True]


@pytest.mark.parametrize(
    ("data", "skip"),
    [
        ("\n".join(TITLE), 3),
        ("\n" + "\n".join(TITLE), 4),
        ("# from the wiki\nid|query|story_text\na|When?|m\n", 1),
        ("Made by|ops\nquestion|context\nWhen?|m\n", 1),
        ("A list of questions and texts\nid;Question;Passage\na;When?;m\n", 1),
    ],
)
def test_the_remedy_for_a_title_reads_what_is_below_it(data: str, skip: int) -> None:
    message, options = advised(data)
    assert options["skip_lines"] == skip
    assert f"on line {skip + 1}" in message
    rows, source = opened(data, **options)
    assert (rows[0].question, rows[0].line, source.notes) == ("When?", skip + 2, ())


def test_what_may_be_rows_is_no_title() -> None:
    """Rows of a file without a header, before one with it: they would be lost."""
    message, _ = advised("a,When was it?,In 1791.\nid,question,context\nb,Why?,A flood\n", delimiter=",")
    assert "Perhaps there is no header" in message
    with pytest.raises(InputError, match="fewer than 6 lines"):
        read("question|context\nq|c\n", skip_lines=5)


def test_lines_are_skipped_above_rows_without_a_header() -> None:
    rows = read("Title|of|it\nWhen?|1791\n", skip_lines=1, header=False)
    assert [(row.question, row.line) for row in rows] == [("When?", 2)]


# Encodings


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_utf_16_is_recognized_by_its_nuls_and_the_remedy_reads_it(encoding: str, end: str) -> None:
    data = end.join(["id|question|context", *map("|".join, ROWS[:1]), f"é|q|{'ü' * 50}"]).encode(encoding)
    message, options = advised(data)
    assert "UTF-16" in message
    assert texts(read(data, **options)) == [*ROWS[:1], ("é", "q", "ü" * 50)]


def test_the_remedy_names_windows_1252_which_is_read() -> None:
    text = "id|question|catégorie|context\na|What is the café\u2019s dish?|x|“Spytt”, at 12 €\n"
    _, options = advised(text.encode("cp1252"))
    assert options == {"encoding": "WINDOWS-1252"}
    assert read(text.encode("cp1252"), **options)[0].context == "“Spytt”, at 12 €"
    row = read(text.replace("é", "e").encode("cp1252"))[0]
    assert row.error
    assert "set the encoding option" in row.error.message


def test_bytes_outside_an_encoding_are_errors_of_their_rows() -> None:
    rows = read(b"question|context\nq|a\x81b\nq|\x80\n", encoding="windows-1252")
    assert (codes(rows), rows[1].context) == (["bad_encoding", None], "€")
    with pytest.raises(InputError, match="not valid utf-16"):
        read("question|context\nq|c\n".encode("utf-16") + b"x", encoding="utf-16")
    for name in ("nonsense", "base64", "rot13"):
        with pytest.raises(InputError, match="unknown encoding") as caught:
            read(b"question|context\nq|c\n", encoding=name)
        assert "WINDOWS-1252" in (caught.value.remedy or "")


def test_json_is_read_in_other_encodings() -> None:
    line = json.dumps({"question": "é?", "context": "ü"}, ensure_ascii=False) + "\n"
    assert read((line * 2).encode("utf-16"), encoding="utf-16")[1].context == "ü"


# JSON

RECORDS = [{"id": i, "question": q, "context": c} for i, q, c in ROWS]
SQUAD = {
    "version": "v2.0",
    "data": [
        {"title": "Mill", "paragraphs": [
            {"context": MILL, "qas": [
                {"id": "a", "question": "When?", "answers": [{"text": "1791"}], "is_impossible": False},
                {"id": "n", "question": "Who?", "answers": [{"text": "x"}], "is_impossible": True},
            ]},
            {"context": ROWS[1][2], "qas": [
                {"id": "b", "question": "Why?", "answers": [{"text": "flood"}, {"text": "A flood"}]},
            ]},
        ]},
    ],
}  # fmt: skip
FRAME = pd.DataFrame(RECORDS)


@pytest.mark.parametrize("indent", [None, 1])
def test_squad_is_read_with_its_reference_answers(indent: int | None) -> None:
    rows, source = opened(json.dumps(SQUAD, indent=indent))
    assert texts(rows) == [ROWS[0], ("n", "Who?", MILL), ROWS[1]]
    assert (source.format, source.answers_column) == ("json", "answers")
    assert [references(row.passthrough["answers"]) for row in rows] == [("1791",), (), ("flood", "A flood")]
    assert {row.passthrough["title"] for row in rows} == {"Mill"}


def test_mrqa_and_an_article_a_line_are_read() -> None:
    qas = [{"qid": "a", "question": "When?", "answers": ["1791"]}, {"qid": "z", "question": "What?", "answers": []}]
    lines = [{"header": {"dataset": "Own"}}, {"id": "", "context": MILL, "qas": qas}]
    rows, source = opened("\n".join(map(json.dumps, lines)))
    assert texts(rows) == [("a", "When?", MILL), ("z", "What?", MILL)]
    assert ([row.line for row in rows], source.answers_column) == ([2, 2], "answers")
    assert references(rows[0].passthrough["answers"]) == ("1791",)
    assert len(read("\n".join(map(json.dumps, SQUAD["data"] * 1)))) == 3


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize(
    "value",
    [
        RECORDS,
        {"data": RECORDS},
        {"version": 1, "rows": [{"row_idx": n, "row": row} for n, row in enumerate(RECORDS)]},
        {"inputs": RECORDS},
        {name: [row[name] for row in RECORDS] for name in RECORDS[0]},
        json.loads(FRAME.to_json()),
        json.loads(FRAME.to_json(orient="split")),
        json.loads(FRAME.to_json(orient="index")),
        json.loads(FRAME.to_json(orient="table")),
        {"data": json.loads(FRAME.to_json())},
    ],
    ids=["array", "data", "served", "inputs", "lists", "columns", "split", "index", "table", "nested"],
)
def test_rows_in_json_are_found_in_any_wrapper(value: Any, indent: int | None) -> None:
    rows = read(json.dumps(value, indent=indent, ensure_ascii=indent is None) + "\n")
    assert texts(rows) == ROWS
    assert codes(rows) == [None, None]


def test_a_bad_row_in_an_array_costs_no_other() -> None:
    bad = ['{"question": "q", "context": "c", "context": "d"}', '{"question": 5, "context": "c"}', '{"question": "q"}']
    good = json.dumps(RECORDS[0])
    rows = read(
        "[" + ",\n".join([good, *bad]) + ', {"question": "q", "context": "' + "c" * 3000 + '"}]', max_row_bytes=2000
    )
    assert codes(rows) == [None, "parse_error", "parse_error", "missing_field", "row_too_large"]


@pytest.mark.parametrize("data", ["[", '[{"question": ', "[1, 2]", "[]", '{\n"question": "q",'])
def test_json_without_rows_is_refused(data: str) -> None:
    with pytest.raises(InputError) as caught:
        read(data)
    assert caught.value.remedy


def test_a_large_document_is_refused_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    data = b"[" + b",".join([json.dumps(RECORDS[0]).encode()] * 300_000) + b"]"
    with pytest.raises(InputError, match="does not fit") as caught, open_input(io.BytesIO(data), memory=64 << 20):
        pass
    assert "jq -c" in (caught.value.remedy or "")
    assert "BULKQA_READ_MEMORY=" in (caught.value.remedy or "")


def test_a_repeated_key_is_an_error_of_its_row() -> None:
    good = '{"question": "q", "context": "c"}\n'
    rows = read(good + '{"question": "q", "context": "first", "context": "second"}\n' + good)
    assert codes(rows) == [None, "parse_error", None]
    assert codes(read('{"question": "q", "context": "c", "x": {"a": 1, "a": 2}}\n' + good)) == ["parse_error", None]


def test_nan_in_other_columns_costs_nothing() -> None:
    line = '{"id": NaN, "question": "q", "context": "c", "w": NaN, "v": [-Infinity, 1e999, {"a": NaN}]}\n'
    [row] = read(line)
    assert (row.error, row.id) == (None, None)
    assert row.passthrough == {"w": None, "v": ["-Infinity", "Infinity", {"a": None}]}
    assert codes(read(line.replace('"c"', "NaN"))) == ["missing_field"]


# Reference answers


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (repr({"text": np.array(["1791"], dtype=object), "answer_start": np.array([44])}), ("1791",)),
        (repr({"text": np.array([], dtype=object), "answer_start": np.array([], dtype="int32")}), ()),
        (str({"text": ["nine", "it's"], "answer_start": [1, 2]}), ("nine", "it's")),
        (str(np.array(["nine", "it's", 'a "b"'], dtype=object)), ("nine", "it's", 'a "b"')),
        (str(np.array(["a word " * 9 + str(n) for n in range(9)])), tuple("a word " * 9 + str(n) for n in range(9))),
        (repr(np.array(["nine", "ten"])), ("nine", "ten")),
        (str(["nine"]), ("nine",)), (str(("nine", "ten")), ("nine", "ten")), (str([{"text": "nine"}]), ("nine",)),
        ('["nine"]', ("nine",)), ("[np.str_('nine')]", ("nine",)), ("['nine', None]", ("nine",)),
        ("[citation needed]", ("[citation needed]",)), ("(in 1791)", ("(in 1791)",)), ("nine", ("nine",)),
        ("array of things", ("array of things",)), ("[1]", ("[1]",)), ("", None),
        ("['nine' ... 'ten']", None), ("{'text': array(['a', ..., 'b'])}", None),
        ("[__import__('os').getpid()]", ("[__import__('os').getpid()]",)),
    ],
)  # fmt: skip
def test_lists_and_dicts_are_read_as_they_are_printed(cell: str, expected: tuple[str, ...] | None) -> None:
    assert references(cell) == expected
    assert unreadable(cell) == (expected is None and cell != "")


def test_answers_that_cannot_be_read_are_refused() -> None:
    data = "question|context|answers\nq|c|nine\nq|c|['nine' ... 'ten']\n"
    with pytest.raises(InputError, match=r"'answers' .* row 1: ") as caught:
        read(data)
    assert "--answers ''" in (caught.value.remedy or "")
    assert codes(read(data, answers="")) == [None, None]


@pytest.mark.parametrize("before", [0, pytest.param(3000, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("cell", "form"),
    [("nine", "text"), ("[citation needed]", "text"), ("", "text"), ('["nine"]', "lists"),
     ("\u00a0['nine' 'ten']", "lists"), ("array(['nine'])", "lists")],
)  # fmt: skip
def test_the_form_of_answers_is_that_of_all_rows(cell: str, form: str, before: int) -> None:
    answers = [*["a word"] * before, cell]
    rows = [{"question": "q", "context": "c", "answers": answer} for answer in answers]
    quoted = [f'q|c|"{answer.replace(chr(34), chr(34) * 2)}"' for answer in answers]
    parquet = io.BytesIO()
    pd.DataFrame(rows).to_parquet(parquet)
    for data in (
        "question|context|answers\n" + "\n".join(quoted),
        "\n".join(map(json.dumps, rows)),
        parquet.getvalue(),
    ):
        assert opened(data)[1].answers_form == form
        assert opened(data, answers="")[1].answers_form == ""
    typed = io.BytesIO()
    pd.DataFrame([row | {"answers": [row["answers"]]} for row in rows]).to_parquet(typed)
    assert opened(typed.getvalue())[1].answers_form == "lists"


# The cases


@needs_cases
@pytest.mark.parametrize(
    ("name", "rows"),
    [("02-coqa-csv/CoQA_data.csv", 2), ("03-newsqa-csv/newsqa.csv", 2), ("04-subjqa-csv/dev.csv", 2),
     ("09-utf16-excel/pipe-utf16be-nobom.csv", 4), ("10-cp1252-excel/header.csv", 2),
     ("47-tab-question-capital/q.tsv", 4),
     ("52-headerless/noheader.csv", 2)],
)  # fmt: skip
def test_the_remedy_reads_the_case(name: str, rows: int) -> None:
    _, options = advised(CASES / name)
    rows_read = read(CASES / name, **options)
    assert (len(rows_read), set(codes(rows_read))) == (rows, {None})


@needs_cases
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("01-squad-json/dev.json", [None] * 3), ("01-squad-json/dev-indent.json", [None] * 3),
        ("07-mrqa-jsonl-gz/dev.jsonl.gz", [None]), ("11-sep-line/sep-pipe.csv", [None] * 4),
        ("13-header-spaces-case/upper.csv", [None] * 4), ("13-header-spaces-case/spaces.csv", [None] * 4),
        ("14-trailing-delimiter/all.csv", [None] * 4), ("14-trailing-delimiter/rows.csv", [None] * 4),
        ("24-duplicate-columns/dup-key.jsonl", ["parse_error"]), ("28-json-array/array.json", [None] * 4),
        ("28-json-array/columns.json", [None] * 4), ("28-json-array/wrapped.json", [None] * 4),
        ("28-json-array/hf-request.json", [None]), ("06-hf-squad-csv/squad.csv", [None] * 3),
    ],
)  # fmt: skip
def test_the_case_is_read(name: str, expected: list[str | None]) -> None:
    assert codes(read(CASES / name)) == expected


@needs_cases
def test_the_contents_of_the_cases_are_read() -> None:
    rows = read(CASES / "06-hf-squad-csv/squad.csv")
    assert [references(row.passthrough["answers"]) for row in rows] == [("1791",), ("nine",), ()]
    blank = read(CASES / "62-blank-ids/blank-ids.csv")
    assert [row.id for row in blank[:4]] == [None] * 4
    nan = next(row for row in read(CASES / "27-jsonl-oddities/odd.jsonl") if row.id == "nan-1")
    assert (nan.error, nan.passthrough) == (None, {"w": None, "v": "-Infinity"})
    utf16 = read(CASES / "09-utf16-excel/unicode_text.txt", encoding="UTF-16", delimiter="\t")
    assert (len(utf16), set(codes(utf16))) == (4, {None})


# Wide tables


@pytest.mark.slow
def test_ten_thousand_columns_are_read_and_more_are_refused() -> None:
    def table(width: int) -> str:
        more = "".join(f"|c{n}" for n in range(width - 2))
        return f"question|context{more}\nq|c{'|x' * (width - 2)}\nq|c\n"

    rows, source = opened(table(10_000))
    assert (len(source.columns), codes(rows)) == (10_000, [None, "missing_field"])
    for width in (10_001, 100_000):
        with pytest.raises(InputError, match=f"{width:,} columns, and at most 10,000 are allowed"):
            read(table(width))


@pytest.mark.slow
def test_json_lines_of_many_keys_are_read_in_linear_time() -> None:
    line = json.dumps({"question": "q", "context": "c"} | {f"key{n}": n for n in range(30_000)})
    assert codes(read(f"{line}\n" * 3)) == [None] * 3  # quadratic: 20 s
