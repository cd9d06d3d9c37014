"""A folder or a pattern of files is one input."""

from __future__ import annotations

import gzip
import hashlib
import os
import shlex
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contract.errors import InputError
from producer.input.open import Input, open_input
from producer.input.options import ReadOptions

HEADER = "id|question|context\n"


def read(file: Path | str, **options: object) -> tuple[list[dict[str, object]], Input]:
    with open_input(file, ReadOptions(**options)) as source:  # type: ignore[arg-type]
        return [row for table in source.tables(100, 1 << 20) for row in table.to_pylist()], source


def spark(folder: Path) -> Path:
    """As Spark writes it: parts, one of them without rows, check sums, and a `_SUCCESS` mark."""
    folder.mkdir()
    (folder / "_SUCCESS").touch()
    (folder / ".part-00000-1b-c000.csv.crc").write_bytes(b"crc\0")
    (folder / "part-00001-1b-c000.csv").write_text(HEADER + "c|who?|me\na|twice|me\n")
    (folder / "part-00000-1b-c000.csv").write_text(HEADER + "a|who?|you\nb||you\n")
    (folder / "part-00002-1b-c000.csv").write_text(HEADER)
    (folder / "part-00003-1b-c000.csv.gz").write_bytes(gzip.compress((HEADER + "d|who?|they\n").encode()))
    return folder


def test_rows_are_numbered_through_in_the_order_of_the_files(tmp_path: Path) -> None:
    rows, source = read(spark(tmp_path / "out.csv"))
    assert [(row["row"], row["line"], row["id"], row["code"]) for row in rows] == [
        (0, 2, "a", None), (1, 3, "b", "empty_question"), (2, 2, "c", None),
        (3, 3, "a", "duplicate_id"), (4, 2, "d", None),
    ]  # fmt: skip
    assert (source.name, source.format) == ("out.csv", "csv")
    files = sorted((tmp_path / "out.csv").glob("part*"))
    assert source.size == source.bytes_read == sum(path.stat().st_size for path in files)
    digests = "".join(hashlib.sha256(path.read_bytes()).hexdigest() for path in files)
    assert source.sha256 == hashlib.sha256(digests.encode()).hexdigest()


def test_an_error_names_the_file_of_its_row(tmp_path: Path) -> None:
    rows, _ = read(spark(tmp_path / "out.csv"))
    assert [str(row["message"]).partition(":")[0] for row in rows if row["code"]] == [
        "part-00000-1b-c000.csv", "part-00001-1b-c000.csv",
    ]  # fmt: skip


def test_a_pattern_names_files(tmp_path: Path) -> None:
    pattern = str(spark(tmp_path / "out.csv") / "part-0000[01]*")
    rows, source = read(pattern)
    assert [row["id"] for row in rows] == ["a", "b", "c", "a"]
    assert source.name == "part-0000[01]*"


def test_a_parquet_data_set_of_many_files_is_one_input(tmp_path: Path) -> None:
    table = pa.table({"question": ["who?"] * 10, "context": [f"me {n}" for n in range(10)], "n": range(10)})
    for number in range(5):
        pq.write_table(table.slice(2 * number, 2), tmp_path / f"part-{number}.parquet")
    rows, source = read(tmp_path)
    assert [(row["row"], row["context"], row["passthrough"]) for row in rows] == [
        (n, f"me {n}", {"n": n}) for n in range(10)
    ]
    assert source.format == "parquet"


TEXT = pa.string()
SAME = [
    (pa.string(), pa.large_string()), (pa.string_view(), pa.string()), (pa.dictionary(pa.int8(), TEXT), TEXT),
    (pa.dictionary(pa.int32(), TEXT), pa.dictionary(pa.int8(), pa.large_string())), (pa.int32(), pa.int64()),
    (pa.uint8(), pa.int16()), (pa.list_(pa.int32()), pa.large_list(pa.int64())), (TEXT, pa.null()),
    (pa.struct([("a", TEXT), ("b", pa.int8())]), pa.struct([("a", pa.large_string()), ("b", pa.int64())])),
    (pa.int64(), pa.null()), (pa.dictionary(pa.int8(), pa.int32()), pa.int64()),
]  # fmt: skip
VALUES = {"list": [[1, 2]], "large_list": [[1, 2]], "struct": [{"a": "x", "b": 7}], "null": [None]}


def parts(folder: Path, kinds: tuple[pa.DataType, ...], **texts: pa.DataType) -> None:
    for number, kind in enumerate(kinds):
        text = pa.array(["who?"]).cast(texts.get("text", TEXT) if number else TEXT)
        name = str(kind).partition("<")[0]
        integer = pa.types.is_integer(kind.value_type if pa.types.is_dictionary(kind) else kind)
        value = pa.array(VALUES.get(name, [number + 1] if integer else [f"v{number}"]))
        value = value.dictionary_encode() if name == "dictionary" else value
        pq.write_table(
            pa.table({"question": text, "context": text, "x": value.cast(kind)}), folder / f"{number}.parquet"
        )


@pytest.mark.parametrize(("first", "second"), [*SAME, *((b, a) for a, b in SAME if a != pa.int64() or b != pa.null())])
def test_types_that_mean_the_same_are_one_input(first: pa.DataType, second: pa.DataType, tmp_path: Path) -> None:
    parts(tmp_path, (first, second))
    rows, source = read(tmp_path)
    each = [pq.read_table(tmp_path / f"{n}.parquet")["x"].to_pylist()[0] for n in range(2)]
    assert [row["passthrough"]["x"] for row in rows] == each  # type: ignore[index]
    assert source.types is not None
    pa.array(each, source.types.field("x").type)  # holds both


@pytest.mark.parametrize("kind", [pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), TEXT)])
def test_questions_and_contexts_may_be_text_of_any_kind(kind: pa.DataType, tmp_path: Path) -> None:
    parts(tmp_path, (TEXT, TEXT), text=kind)
    assert [row["question"] for row in read(tmp_path)[0]] == ["who?", "who?"]


@pytest.mark.parametrize("kinds", [(pa.int64(), pa.uint64()), (pa.int32(), TEXT), (TEXT, pa.int8())])
def test_types_that_do_not_mean_the_same_are_refused(kinds: tuple[pa.DataType, ...], tmp_path: Path) -> None:
    parts(tmp_path, kinds)
    with pytest.raises(InputError, match=r"1\.parquet: its columns or their types"):
        read(tmp_path)


def test_a_file_with_other_columns_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("question|context|x\nwho?|me|1\n")
    (tmp_path / "b.csv").write_text("question|context|y\nwho?|me|1\n")
    with pytest.raises(InputError, match=r"b\.csv: its columns"):
        read(tmp_path)


@pytest.mark.parametrize("within", ["nothing", "_SUCCESS", "empty.csv", "folder"])
def test_a_folder_without_rows_is_refused(within: str, tmp_path: Path) -> None:
    if within == "folder":
        (tmp_path / "day=1").mkdir()
    elif within != "nothing":
        (tmp_path / within).touch()
    with pytest.raises(InputError) as caught:
        read(tmp_path)
    assert caught.value.code == ("unreadable" if within == "folder" else "empty_file")
    assert caught.value.remedy


def test_what_systems_leave_is_not_data_at_any_depth(tmp_path: Path) -> None:
    for name in (
        ".DS_Store",
        "Thumbs.db",
        "sub/desktop.ini",
        "sub/__MACOSX/._a.csv",
        "sub/~$book.xlsx",
        "@eaDir/a.csv",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_bytes(b"\0\0\0\1Bud1")
    (tmp_path / "sub" / "a.csv").write_text(HEADER + "a|who?|me\n")
    (tmp_path / "b.csv").write_text(HEADER + "b|who?|me\n")
    rows, source = read(f"{tmp_path}/**")
    assert ([row["id"] for row in rows], source.files) == (["b", "a"], 2)
    assert [row["id"] for row in read(tmp_path / "sub")[0]] == ["a"]


def test_the_remedy_for_a_folder_with_folders_in_it_reads_them(tmp_path: Path) -> None:
    for day in (1, 2):
        (tmp_path / f"day={day}").mkdir()
        (tmp_path / f"day={day}" / "p.csv").write_text(HEADER + f"{day}|who?|\n")
    (tmp_path / "day=2" / "back").symlink_to(tmp_path)  # no end, if it were followed
    with pytest.raises(InputError, match="folders in it") as caught:
        read(tmp_path)
    [pattern] = shlex.split(str(caught.value.remedy).partition(": ")[2])
    rows, _ = read(pattern)
    assert [(row["id"], str(row["message"]).partition(":")[0]) for row in rows] == [
        ("1", "day=1/p.csv"), ("2", "day=2/p.csv"),
    ]  # fmt: skip
    assert [row["id"] for row in read(f"{tmp_path}/*/p.csv")[0]] == ["1", "2"]


def test_what_is_no_file_is_passed_over_with_a_word(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(HEADER + "a|who?|me\n")
    os.mkfifo(tmp_path / "pipe.csv")
    for name in (str(tmp_path), f"{tmp_path}/*.csv"):
        rows, source = read(name)
        assert ([row["id"] for row in rows], source.files) == (["a"], 1)
        [note] = source.notes
        assert "pipe.csv was skipped: it is a named pipe" in note


@pytest.mark.parametrize("name", ["", "/*.csv"])
def test_a_link_that_leads_to_no_file_is_refused_by_name(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.csv").write_text(HEADER + "a|who?|me\n")
    (tmp_path / "b.csv").symlink_to(tmp_path / "gone.csv")
    with pytest.raises(InputError, match=r"b\.csv: a link that leads to no file: .*gone\.csv") as caught:
        read(f"{tmp_path}{name}")
    assert (caught.value.exit_code, bool(caught.value.remedy)) == (2, True)
    assert len(read(f"{tmp_path}/a*")[0]) == 1
    rows, source = read(f"{tmp_path}/**/a*")  # a link to a folder, which could have held one
    assert (len(rows), ["b.csv was skipped" in note for note in source.notes]) == (1, [True])


def test_a_folder_with_brackets_is_that_folder(tmp_path: Path) -> None:
    for folder in ("in[1]", "in1"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "part-0.csv").write_text(HEADER + f"{folder}|who?|me\n")
    assert [row["id"] for row in read(f"{tmp_path}/in[1]/part-*.csv")[0]] == ["in[1]"]
    assert [row["id"] for row in read(f"{tmp_path}/in[12]/part-*.csv")[0]] == ["in1"]


def test_an_existing_name_with_brackets_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "rows[1].csv"
    path.write_text(HEADER + "a|who?|me\n")
    assert len(read(path)[0]) == 1
