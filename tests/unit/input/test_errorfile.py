"""Errors of errors are the same errors; fixed rows are accepted."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.format import errorfile, layout
from contract.format.job import Row
from contract.settings import Settings
from contract.storage import Storage
from producer.input.options import ReadOptions
from tests import REPO
from tests.making import finish, job_of, submitted_rows
from tests.twins.queue import MemoryQueue
from tests.twins.storage import MemoryStorage

CASES = REPO.parent / "shared" / "cases"
BAD = [
    b"1||a context|n", b"1|q| |n", b"1|q|c|n|more", b"1|q", b'1|"q|c|n', b"1|q|caf\xe9 is open|n", b"1|q\xff|c",
    b"same|q|c|n", b"1|q|" + b"c" * 6000 + b"|n", b'1|q|"c"d|n', b"1|q|c|n|", b'1|"two\nlines"|c',
    b"1| |\xe9|n|x",
]  # fmt: skip


def errors_of(storage: Storage, job_settings: Settings, data: bytes, **read: object) -> tuple[bytes, list[Row]]:
    """The error file of a job on such data, and the job's rows."""
    manifest = job_of(storage, job_settings, data, read=ReadOptions(max_row_bytes=5000, **read))
    finish(manifest.id, storage, MemoryQueue(), job_settings)
    rows = submitted_rows(storage, manifest.id)
    name = layout.errors(manifest.id)
    return storage.read(name) if storage.exists(name) else b"", rows


def cells(data: bytes) -> list[dict[str, str]]:
    """The rows of an error file, without their places."""
    rows = csv.DictReader(io.StringIO(data.decode(), newline=""), delimiter="|")
    return [{k: v for k, v in row.items() if k not in (errorfile.ROW, errorfile.LINE)} for row in rows]


@pytest.mark.slow
@given(st.lists(st.sampled_from(BAD), min_size=1, max_size=8))
@settings(max_examples=60)
def test_errors_of_errors_are_the_same_errors(lines: list[bytes]) -> None:
    job_settings, storage = Settings(chunk_rows=3, model="tiny"), MemoryStorage()
    first, rows = errors_of(
        storage, job_settings, b"id|question|context|note\nsame|q|c|n\n" + b"\n".join(lines) + b"\n"
    )
    second, again = errors_of(storage, job_settings, first)
    assert [row.error for row in again] == [row.error for row in rows if row.error]
    assert cells(second) == cells(first)


def edited(data: bytes, edit: Callable[[dict[str, str]], None]) -> bytes:
    rows = list(csv.DictReader(io.StringIO(data.decode(), newline=""), delimiter="|"))
    for row in rows:
        edit(row)
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, rows[0].keys(), delimiter="|", lineterminator="\r\n", quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


@pytest.mark.parametrize("line", BAD)
def test_a_fixed_row_is_accepted(line: bytes, storage: Storage, settings: Settings) -> None:
    errors, _ = errors_of(storage, settings, b"id|question|context|note\nsame|q|c|n\n" + line + b"\n")

    def mend(row: dict[str, str]) -> None:
        row |= {"id": "new", "question": "who?", "context": "me and you", "note": "n"}

    _, again = errors_of(storage, settings, edited(errors, mend))
    assert [(row.id, row.question, row.error) for row in again] == [("new", "who?", None)]


@pytest.mark.parametrize("column", ["id", "note"])
def test_a_fixed_cell_is_enough_if_the_text_is_complete(column: str, storage: Storage, settings: Settings) -> None:
    errors, _ = errors_of(storage, settings, b"id|question|context|note\nsame|q|c|n\nsame|q|c|n\n2|q|c|a|b\n")
    _, again = errors_of(storage, settings, edited(errors, lambda row: row.update({column: row[column] + " mended"})))
    assert [row.error for row in again] == [None, None]


def test_an_editor_that_formats_cells_anew_fixes_nothing(storage: Storage, settings: Settings) -> None:
    data = b"id|question|context|note\n1|q|a b|n|x\n2|q|caf\xe9|1.50\n" + b'3|"q|c|n\n'

    def saved(row: dict[str, str]) -> None:
        row |= {"note": row["note"].replace("1.50", "1.5"), "context": row["context"].replace(" ", "\r\n")}

    errors, rows = errors_of(storage, settings, data)
    _, again = errors_of(storage, settings, edited(errors, saved))
    assert [row.error for row in again] == [row.error for row in rows]


def test_a_row_whose_code_was_emptied_is_accepted_as_it_is(storage: Storage, settings: Settings) -> None:
    errors, _ = errors_of(storage, settings, b"question|context\nq|c|x\n")
    _, again = errors_of(storage, settings, edited(errors, lambda row: row.update({errorfile.CODE: ""})))
    assert [row.error for row in again] == [None]


def test_a_row_that_failed_in_a_worker_is_tried_again(storage: Storage, settings: Settings) -> None:
    errors, _ = errors_of(storage, settings, b"id|question|context\n1|odd?|c\n")
    assert b"inference_error" in errors
    _, again = errors_of(storage, settings, errors)
    assert [row.error for row in again] == [None]


@pytest.mark.skipif(not CASES.exists(), reason="needs the shared cases")
def test_the_case(storage: Storage, settings: Settings) -> None:
    first, rows = errors_of(storage, settings, (CASES / "46-errors-round-trip/bad.csv").read_bytes())
    second, again = errors_of(storage, settings, first)
    assert [row.error.code if row.error else None for row in rows] == [
        "empty_question", "empty_context", "extra_field", "missing_field", None, "bad_encoding",
    ]  # fmt: skip
    assert [row.error for row in again] == [row.error for row in rows if row.error]
    assert cells(second) == cells(first)
