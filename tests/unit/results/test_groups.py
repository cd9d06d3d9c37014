"""The groups of a job: in every format, a page at a time, as a frame, and compared."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow.parquet as pq
import pytest

from contract.errors import BulkqaError, NotEnded, UsageError
from contract.format import layout
from contract.format.job import Manifest, Options
from contract.ledger import reconcile
from contract.settings import Settings
from contract.storage import Storage
from producer.backend.direct import DirectBackend
from producer.input.options import ReadOptions
from producer.jobs.diff import differences
from producer.jobs.diff_document import Summary
from producer.results import groups
from producer.results.output import check_output, write_results
from producer.results.pages import RowFilter
from tests.making import finish, job_of
from tests.twins.queue import MemoryQueue

#: The answer is the first word of a context, to questions that are not odd; the score of all is the same.
CSV = (
    b"id|question|context|doc|n\n1|who?|Ann is in|a|1\n2|odd?|Bo is in|b|2\n3|nothing?|Cy is in|c|3\n"
    b"4|who?|Di is in|a|4\n5|odd?|Ed is in|b|5\n6||Flo is in|a|6\n"
)
BY_DOC = ReadOptions(group_by="doc")
GROUPS = [("a", "answered", "Ann", 0, 3), ("b", "error", None, 1, 2), ("c", "no_answer", "", 2, 1)]


class Backend(DirectBackend):
    """Of a storage only."""

    def __init__(self, storage: Storage, settings: Settings) -> None:
        super().__init__(settings, storage, MemoryQueue())  # type: ignore[arg-type]


def ended(storage: Storage, settings: Settings, data: bytes = CSV, **request: Any) -> Manifest:
    manifest = job_of(storage, settings, data, **({"read": BY_DOC} | request))
    finish(manifest.id, storage, MemoryQueue(), settings)
    return manifest


def shown(group: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(group[name] for name in ("group", "status", "answer", "row", "passages"))


def lines(storage: Storage, job: str) -> list[dict[str, Any]]:
    return [json.loads(line) for block in groups.blocks(storage, job) for line in block.splitlines()]


def test_groups_are_lines_in_the_order_of_their_first_rows(storage: Storage, settings: Settings) -> None:
    found = lines(storage, ended(storage, settings).id)
    assert [shown(group) for group in found] == GROUPS
    assert found[0]["flags"] == ["passages_failed"]
    assert found[0]["passthrough"] == {"doc": "a", "n": "1"}
    assert found[1]["error"] == {"code": "inference_error", "message": "odd"}


def written(backend: Backend, job: str, path: Path) -> Path:
    check_output(path, None)
    write_results(backend, job, path, None, by="group")
    return path


def test_groups_are_written_in_every_format(storage: Storage, settings: Settings, tmp_path: Path) -> None:
    backend, job = Backend(storage, settings), ended(storage, settings, options=Options(top_k=2)).id
    expected = lines(storage, job)
    assert json.loads(written(backend, job, tmp_path / "o.json").read_text()) == {"groups": expected}
    read = [json.loads(line) for line in written(backend, job, tmp_path / "o.jsonl").read_text().splitlines()]
    assert read == expected
    with written(backend, job, tmp_path / "o.csv").open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="|"))
    assert [(row["group"], row["answer"], row["row"], row["n"]) for row in rows] == [
        ("a", "Ann", "0", "1"), ("b", "", "1", "2"), ("c", "", "2", "3"),
    ]  # fmt: skip
    assert rows[1]["error_code"] == "inference_error"
    assert "passage" not in rows[0]
    table = pq.read_table(written(backend, job, tmp_path / "o.parquet"))
    assert table.column_names == list(rows[0])
    assert table.select(["group", "passages", "support"]).to_pylist()[0] == {"group": "a", "passages": 3, "support": 1}
    assert [span["row"] for span in table["alternatives"][0].as_py()] == [3]
    sheet = openpyxl.load_workbook(written(backend, job, tmp_path / "o.xlsx"))["groups"]
    assert [cell.value for cell in sheet[1]] == table.column_names


def test_lists_have_the_place_of_the_passage(storage: Storage, settings: Settings, tmp_path: Path) -> None:
    data = b'{"question": "who?", "context": ["Ann is in", "Bo is in"], "doc": 7}\n'
    job = ended(storage, settings, data, read=ReadOptions()).id
    table = pq.read_table(written(Backend(storage, settings), job, tmp_path / "o.parquet"))
    assert table.select(["group", "answer", "passage"]).to_pylist() == [{"group": "0", "answer": "Ann", "passage": 0}]
    assert json.loads(table["passthrough"][0].as_py()) == {"doc": 7}


def test_a_page_goes_on_where_the_last_one_ended(storage: Storage, settings: Settings) -> None:
    job, found, at = ended(storage, settings).id, [], 0
    while at is not None:
        page = groups.page(storage, job, at, 2, RowFilter())
        assert page.count == 3
        found += page.groups
        at = page.next  # type: ignore[assignment]
    assert found == lines(storage, job)
    failed = groups.page(storage, job, 0, 5, RowFilter(status=("error",)))
    assert ([group["group"] for group in failed.groups], failed.next) == (["b"], None)
    assert groups.page(storage, job, 99, 5, RowFilter()) == groups.GroupPage([], None, 3)


def test_who_asks_too_early_or_for_groups_that_are_none_is_told(storage: Storage, settings: Settings) -> None:
    with pytest.raises(UsageError, match="has no groups") as caught:
        lines(storage, ended(storage, settings, read=ReadOptions()).id)
    assert "--group-by" in str(caught.value.remedy)
    manifest = job_of(storage, settings, CSV, read=BY_DOC)
    for ask in (lines, lambda *job: groups.page(*job, 0, 5, RowFilter())):
        with pytest.raises(NotEnded, match="published when it has ended"):
            ask(storage, manifest.id)
    for by in ("question", "document"):
        with pytest.raises(UsageError, match="has no documents"):
            write_results(Backend(storage, settings), manifest.id, Path("never.json"), None, by=by)
    reconcile.retire(manifest.id, storage, MemoryQueue())
    with pytest.raises(UsageError, match="was cancelled before"):
        lines(storage, manifest.id)


@pytest.mark.parametrize("is_there", [True, False])
def test_altered_groups_are_not_given(storage: Storage, settings: Settings, *, is_there: bool) -> None:
    job = ended(storage, settings).id
    data = storage.read(layout.groups(job))
    storage.delete(layout.groups(job))
    if is_there:
        storage.create(layout.groups(job), data.replace(b'"Ann"', b'"Bob"'))
    with pytest.raises(BulkqaError, match="altered or removed") as caught:
        lines(storage, job)
    assert "repair" in str(caught.value.remedy)
    for key in (layout.groups(job), layout.report(job)):
        storage.delete(key)
    finish(job, storage, MemoryQueue(), settings)
    assert [shown(group) for group in lines(storage, job)] == GROUPS


def compared(storage: Storage, first: str, second: str) -> tuple[list[tuple[Any, ...]], Summary]:
    summary = Summary()
    changes = list(differences(storage, first, second, summary, by="group"))
    return [(change["kind"], change["group"], change["second"]["answer"]) for change in changes], summary


def test_groups_of_two_jobs_are_compared_by_name(storage: Storage, settings: Settings) -> None:
    first = ended(storage, settings).id
    head, *rows = CSV.replace(b"Ann is", b"Eve is").splitlines(keepends=True)
    second = ended(storage, settings, head + b"9|who?|New is in|d|0\n" + b"".join(rows)).id
    changes, summary = compared(storage, first, second)
    assert changes == [("changed", "a", "Eve")]
    assert (summary.same, summary.changed, summary.missing) == (2, 1, 1)
    assert compared(storage, first, first) == ([], Summary(same=3))
