"""Groups: rows with one value are passages for one question, and so are the texts of a list."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.errors import UsageError
from contract.format import errorfile, layout
from contract.format.job import Groups, Manifest, Options, Row
from contract.settings import Settings
from contract.storage import Storage
from producer.input.open import open_input
from producer.input.options import ReadOptions
from producer.jobs.check import check_file
from tests.making import finish, job_of, submitted_rows
from tests.twins.queue import MemoryQueue
from tests.unit.input.test_excel import workbook
from tests.unit.input.test_rows import codes, parquet, read, refused


def groups_of(data: bytes | Path, **options: Any) -> Groups | None:
    with open_input(io.BytesIO(data) if isinstance(data, bytes) else data, ReadOptions(**options)) as source:
        for _ in source.tables(1000, 1 << 24):
            pass
        return source.groups


def grouped(rows: list[Row]) -> list[str | None]:
    return [row.group for row in rows]


def lines(*rows: dict[str, Any]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


CSV = b"id|question|context|Plot No\n1|who?|Ann|x\n2|who?|Bo|x\n3|why?|Cy|y\n4|who?|Di|x\n"


# By a column


def test_rows_with_one_value_are_a_group_in_any_order() -> None:
    rows = read(CSV, group_by="plotno")
    assert grouped(rows) == ["x", "x", "y", "x"]
    assert {row.passage for row in rows} == {None}
    assert rows[0].passthrough == {"Plot No": "x"}
    assert groups_of(CSV, group_by="plotno") == Groups("column", 2, scattered=True, column="Plot No")
    assert groups_of(CSV[: CSV.rindex(b"4|")], group_by="plotno") == Groups("column", 2, False, "Plot No")


def test_without_the_option_there_are_no_groups() -> None:
    assert grouped(read(CSV)) == [None] * 4
    assert groups_of(CSV) is None


@pytest.mark.parametrize("column", ["question", "id"])
def test_questions_or_ids_may_be_the_groups_and_ids_may_repeat_in_a_group(column: str) -> None:
    rows = read(b"id|question|context\n7|who?|Ann\n7|who?|Bo\n8|why?|Cy\n", group_by=column)
    assert codes(rows) == [None] * 3
    assert [row.id for row in rows] == ["7", "7", "8"]
    assert grouped(rows) == [getattr(row, column) for row in rows]


def test_an_id_is_of_one_group() -> None:
    data = b"id|question|context|g\n7|who?|Ann|x\n8|why?|Bo|y\n7|who?|Cy|x\n7|why?|Di|y\n7|why?|Di|y\n"
    rows = read(data, group_by="g")
    assert codes(rows) == [None, None, None, "duplicate_id", "duplicate_id"]
    assert "row 0" in rows[3].error.message  # type: ignore[union-attr]


def test_a_row_without_a_value_is_rejected_and_divides_no_group() -> None:
    data = b"question|context|g\nwho?|Ann|x\nwho?|Bo|\nwho?|Cy| \nwho?|Di|x\n"
    assert codes(read(data, group_by="g")) == [None, "missing_field", "missing_field", None]
    assert groups_of(data, group_by="g") == Groups("column", 1, scattered=False, column="g")


def test_another_question_in_a_group_is_an_error_that_names_the_row() -> None:
    data = b"question|context|g\n|Ann|x\nwho?|Bo|x\nwhy?|Cy|x\nwho?|Di|x\nwhy?|Ed|y\nwhy?|Flo|x\n"
    rows = read(data, group_by="g")
    assert codes(rows) == ["empty_question", None, "other_question", None, None, "other_question"]
    message = "its question is not that of row 1, which is in the same group: 'x'"
    assert [rows[n].error.message for n in (2, 5)] == [message] * 2  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_value_of_any_type_is_text(kind: str) -> None:
    values = [7, 7, 8]
    table = {"question": ["q"] * 3, "context": ["Ann"] * 3, "g": values}
    rows = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
    data = parquet(table) if kind == "parquet" else lines(*rows)
    assert grouped(read(data, group_by="g")) == ["7", "7", "8"]
    assert [row.passthrough["g"] for row in read(data, group_by="g")] == values


def test_what_cannot_name_a_group_is_refused_with_a_remedy() -> None:
    assert "--group-by" in str(refused(CSV, "missing_column", group_by="plots").remedy)
    refused(CSV, "missing_column", group_by="context")
    refused(parquet({"question": ["q"], "context": ["c"], "g": [[1]]}), "unsupported_format", group_by="g")
    assert codes(read(lines({"question": "q", "context": "c", "g": [1]}), group_by="g")) == ["parse_error"]


def test_a_row_over_the_limit_stays_in_its_group() -> None:
    data = parquet({"question": ["q", "q"], "context": ["c" * 9000, "c"], "g": ["x", "x"]})
    rows = read(data, group_by="g", max_row_bytes=5000)
    assert (codes(rows), grouped(rows)) == (["row_too_large", None], ["x", "x"])


ROWS = st.lists(
    st.tuples(st.sampled_from(["x", "y", "z", ""]), st.sampled_from(["who?", "why?", ""])), min_size=1, max_size=30
)


@given(ROWS, st.integers(1, 4))
@settings(max_examples=60)
def test_groups_do_not_depend_on_how_rows_come(rows: list[tuple[str, str]], size: int) -> None:
    """In one file, or in files of `size` rows, each of which is checked alone."""
    first: dict[str, str] = {}
    expected: list[str | None] = []
    for name, question in rows:
        if not question:
            expected.append("empty_question")
        elif not name:
            expected.append("missing_field")
        else:
            expected.append(None if first.setdefault(name, question) == question else "other_question")
    names = [name for name, _ in rows if name]
    runs = sum(name != before for name, before in zip(names, [None, *names], strict=False))
    groups = Groups("column", len(set(names)), scattered=runs > len(set(names)), column="g")
    items = [{"question": question, "context": "Ann", "g": name} for name, question in rows]
    with TemporaryDirectory() as folder:
        for start in range(0, len(items), size):
            Path(folder, f"{start:03}.jsonl").write_bytes(lines(*items[start : start + size]))
        for data in (lines(*items), Path(folder)):
            assert codes(read(data, group_by="g")) == expected
            assert groups_of(data, group_by="g") == groups


def test_groups_are_counted_in_any_order(tmp_path: Path) -> None:
    order = [n // 3 for n in range(6000)]
    shuffled = random.Random(1).sample(order, len(order))
    for numbers, scattered in ((order, False), (shuffled, True)):
        file = tmp_path / "rows.csv"
        file.write_text("question|context|g\n" + "".join(f"q{n}?|Ann|{n}{'-' * 99}\n" for n in numbers))
        assert groups_of(file, group_by="g") == Groups("column", 2000, scattered, "g")
        assert set(codes(read(file, group_by="g"))) == {None}


# Lists


LISTS = [
    {"id": "a", "question": "who?", "context": ["Ann", "Bo"], "n": 1},
    {"id": "b", "question": "why?", "context": ["Cy"], "n": 2},
]
SPREAD = [("a", "who?", "Ann", "0", 0, 1), ("a", "who?", "Bo", "0", 1, 1), ("b", "why?", "Cy", "1", 0, 2)]


def spread(rows: list[Row]) -> list[tuple[Any, ...]]:
    assert codes(rows) == [None] * len(rows)
    return [(row.id, row.question, row.context, row.group, row.passage, int(row.passthrough["n"])) for row in rows]


TABLE = [[*LISTS[0]], *([row["id"], row["question"], json.dumps(row["context"]), str(row["n"])] for row in LISTS)]
FILES: dict[str, bytes] = {
    "jsonl": lines(*LISTS),
    "array": json.dumps(LISTS, indent=1).encode(),
    "data": json.dumps({"data": LISTS}).encode(),
    "nested": lines(*({"body": row} for row in LISTS)),
    "parquet": parquet(pa.Table.from_pylist(LISTS)),
    "large": parquet(
        pa.table({name: [row[name] for row in LISTS] for name in ("id", "question", "n")}).append_column(
            "context", pa.array([row["context"] for row in LISTS], pa.large_list(pa.dictionary(pa.int8(), pa.string())))
        )
    ),
    "csv": "".join("|".join(row) + "\n" for row in TABLE).encode(),
}


@pytest.mark.parametrize("kind", FILES)
def test_each_text_of_a_list_is_a_row_and_the_list_a_group(kind: str) -> None:
    assert spread(read(FILES[kind])) == SPREAD
    assert groups_of(FILES[kind]) == Groups("list", 2, scattered=False)


def test_a_sheet_may_have_lists(tmp_path: Path) -> None:
    file = workbook(tmp_path / "book.xlsx", sheet=TABLE)
    assert spread(read(file)) == SPREAD
    assert groups_of(file) == Groups("list", 2, scattered=False)


def test_a_table_of_lists_says_so_and_one_text_among_them_is_not_a_list() -> None:
    with open_input(io.BytesIO(FILES["csv"]), ReadOptions()) as source:
        list(source.tables(10, 1 << 20))
        assert source.notes == ("the column 'context' has lists of texts: each text is a passage",)
    texts = FILES["csv"] + b"c|how?|See [1].|3\n"
    assert [row.context for row in read(texts)] == ['["Ann", "Bo"]', '["Cy"]', "See [1]."]
    assert groups_of(texts) is None


def test_a_text_below_the_first_lists_is_an_error_of_its_row(tmp_path: Path) -> None:
    for number, text in enumerate((FILES["csv"], b"id|question|context|n\nc|how?|See [1].|3\nd|how?||4\n")):
        (tmp_path / f"{number}.csv").write_bytes(text)
    rows = read(tmp_path)
    assert codes(rows) == [None, None, None, "parse_error", "empty_context"]
    assert (grouped(rows)[3:], rows[3].context) == (["2", "3"], "See [1].")


def test_what_is_no_text_in_a_list_costs_its_passage_only() -> None:
    rows = read(lines({"question": "q", "context": ["Ann", None, " ", "\ud800"]}, {"question": "q", "context": "Bo"}))
    assert codes(rows) == [None, "missing_field", "empty_context", "bad_encoding", None]
    assert [(row.group, row.passage) for row in rows] == [("0", 0), ("0", 1), ("0", 2), ("0", 3), ("1", None)]


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_an_empty_list_and_none_are_a_row_each(kind: str) -> None:
    table = [{"question": "q", "context": context} for context in ([], None, ["Ann"])]
    rows = read(lines(*table) if kind == "jsonl" else parquet(pa.Table.from_pylist(table)))
    assert codes(rows) == ["empty_context", "missing_field", None]
    assert grouped(rows) == ["0", "1", "2"]


def test_ids_repeat_within_a_list_only() -> None:
    rows = read(lines(*LISTS, LISTS[0]))
    assert codes(rows) == [None, None, None, "duplicate_id", "duplicate_id"]


def test_lists_go_on_over_several_files(tmp_path: Path) -> None:
    plain = {"id": "c", "question": "how?", "context": "Di", "n": 3}
    for number, rows in enumerate(([LISTS[0]], [plain], [LISTS[1]])):
        (tmp_path / f"{number}.jsonl").write_bytes(lines(*rows))
    assert [(row.context, row.group, row.passage) for row in read(tmp_path)] == [
        ("Ann", "0", 0), ("Bo", "0", 1), ("Di", "1", None), ("Cy", "2", 0),
    ]  # fmt: skip
    (tmp_path / "0.jsonl").unlink()
    refused(tmp_path, "unsupported_format")


def test_lists_may_be_parts_of_a_group() -> None:
    data = lines(*({"question": "q", "context": [f"{n}a", f"{n}b"], "g": n % 2} for n in range(4)))
    rows = read(data, group_by="g")
    assert [(row.group, row.passage) for row in rows] == [(g, p) for g in "0101" for p in (0, 1)]
    assert groups_of(data, group_by="g") == Groups("list", 2, scattered=True, column="g")


@pytest.mark.parametrize("context", [[["Ann"]], [{"text": "Ann"}], {"title": ["a"], "sentences": [["b"]]}])
def test_what_is_no_list_of_texts_is_refused_as_ever(context: Any) -> None:
    refused(lines({"question": "q", "context": context}), "unsupported_format")


def test_a_list_of_other_things_is_an_error_of_its_row() -> None:
    rows = read(lines(*LISTS, {"question": "q", "context": ["Ann", 3]}))
    assert codes(rows)[3:] == ["parse_error"]
    assert grouped(rows)[3:] == ["2"]


def test_a_row_is_measured_before_its_list_is_spread() -> None:
    row = {"question": "q", "context": ["Ann" * 500] * 3}
    for data in (lines(row), parquet(pa.Table.from_pylist([row]))):
        assert codes(read(data, max_row_bytes=6000)) == [None] * 3
        assert codes(read(data, max_row_bytes=4000)) == ["row_too_large"]


def test_long_lists_are_cut_into_tables_of_a_bounded_size() -> None:
    """`read` checks the bound: 3,000 passages carry 20 KB each."""
    rows = read(lines({"question": "q", "context": ["Ann"] * 3000, "n": "p" * 20_000}), max_bytes=1 << 20)
    assert [row.passage for row in rows] == list(range(3000))


# Jobs


def job_and_rows(storage: Storage, settings: Settings, data: bytes, **request: Any) -> tuple[Manifest, list[Row]]:
    manifest = job_of(storage, settings, data, **request)
    return manifest, submitted_rows(storage, manifest.id)


def test_a_job_knows_its_groups_and_its_key_holds_for_them(storage: Storage, settings: Settings) -> None:
    by_plot, by_question = ReadOptions(group_by="Plot No"), ReadOptions(group_by="question")
    manifest, rows = job_and_rows(storage, settings, CSV, key="k", read=by_plot)
    assert manifest.groups == Groups("column", 2, scattered=True, column="Plot No")
    assert grouped(rows) == ["x", "x", "y", "x"]
    assert job_of(storage, settings, CSV, key="k", read=by_plot).id == manifest.id
    for other in (by_question, ReadOptions()):
        with pytest.raises(UsageError, match="group_by 'Plot No', now"):
            job_of(storage, settings, CSV, key="k", read=other)


def test_a_threshold_for_groups_has_a_note(storage: Storage, settings: Settings) -> None:
    options, read = Options(no_answer_threshold=0.0), ReadOptions(group_by="question")
    assert job_of(storage, settings, CSV, options=options).source.notes == ()
    (note,) = job_of(storage, settings, CSV, options=options, read=read).source.notes
    assert "number of passages" in note
    assert job_of(storage, settings, CSV, read=read).source.notes == ()


def test_a_check_counts_groups(settings: Settings) -> None:
    checked = check_file(io.BytesIO(CSV), ReadOptions(group_by="Plot No"), settings)
    assert checked.groups == Groups("column", 2, scattered=True, column="Plot No")


BAD = b"id|question|context|g\n1|who?|Ann|x\n2|why?|Bo|x\n3|who?|Cy|\n4|who?||x\n1|why?|Di|y\n"


@pytest.mark.parametrize(
    ("data", "read"),
    [
        (BAD, ReadOptions(group_by="g")),
        (lines(*LISTS, {"id": "c", "question": "odd?", "context": [None, "", "Ann"]}, LISTS[0]), ReadOptions()),
    ],
)
def test_errors_are_submitted_again_in_their_groups(
    storage: Storage, settings: Settings, data: bytes, read: ReadOptions
) -> None:
    manifest, rows = job_and_rows(storage, settings, data, read=read)
    for _ in range(2):
        finish(manifest.id, storage, MemoryQueue(), settings)
        manifest, again = job_and_rows(storage, settings, storage.read(layout.errors(manifest.id)), read=read)
        failed = [row for row in rows if row.error or row.question == "odd?"]
        assert [(row.id, row.group, row.error) for row in again] == [(row.id, row.group, row.error) for row in failed]
        assert manifest.groups
        assert manifest.groups.column == (read.group_by or errorfile.GROUP)
        rows = again
