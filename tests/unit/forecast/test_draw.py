"""A sample of an input in place of all of it."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from contract.errors import UsageError
from contract.format.job import Manifest
from contract.settings import Settings
from contract.storage import Storage
from producer.input.documents.files import DocumentFiles
from producer.input.location import Documents
from producer.input.options import ReadOptions
from producer.jobs.submit import submit
from producer.request import Request
from producer.results import columns
from tests.making import csv, job_of, submitted_rows


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Chunks of more rows: a sample is drawn from all of a file, chunk by chunk."""
    return settings.model_copy(update={"chunk_rows": 40})


def drawn(storage: Storage, manifest: Manifest) -> list[str | None]:
    return [row.id for row in submitted_rows(storage, manifest.id)]


def test_a_sample_is_of_all_of_the_file_and_the_same_each_time(storage: Storage, settings: Settings):
    first, second = (job_of(storage, settings, rows=1000, sample=50) for _ in range(2))
    rows = submitted_rows(storage, first.id)
    assert [row.row for row in rows] == list(range(50)), "numbered on without a gap"
    assert first.rows == 50
    assert drawn(storage, second) == drawn(storage, first)
    numbers = [int(str(row.id).removeprefix("id-")) for row in rows]
    assert numbers == sorted(numbers), "in the order of the file"
    assert [row.line for row in rows] == [number + 2 for number in numbers], "lines are those of the file"
    assert sum(number < 500 for number in numbers) in range(12, 38)
    larger = job_of(storage, settings, rows=1000, sample=80)
    assert set(drawn(storage, first)) < set(drawn(storage, larger))


def test_what_the_rest_will_take_is_forecast(storage: Storage, settings: Settings):
    manifest = job_of(storage, settings, rows=1000, sample=50)
    assert manifest.sample
    assert (manifest.sample.rows, manifest.sample.of) == (50, 1000)
    assert manifest.forecast
    assert manifest.sample.rest
    assert (manifest.forecast.windows, manifest.sample.rest.windows) == (50, 950)


def test_a_file_smaller_than_the_sample_is_taken_whole(storage: Storage, settings: Settings):
    manifest = job_of(storage, settings, csv(8, bad=(2,)), sample=100)
    assert (manifest.rows, manifest.rejected) == (8, 1)
    assert manifest.sample
    assert manifest.sample.rest
    assert manifest.sample.rest.windows == 0


def test_groups_are_drawn_whole(storage: Storage, settings: Settings):
    lines = "\n".join(
        json.dumps(
            {"id": f"{group}-{n}", "question": f"What is {group}?", "context": f"It is {n}.", "topic": f"t{group}"}
        )
        for group in range(100)
        for n in range(4)
    )
    request = Request(sample=20, read=ReadOptions(group_by="topic"))
    manifest = submit(io.BytesIO(lines.encode()), storage, settings, request).manifest
    groups = [row.group for row in submitted_rows(storage, manifest.id)]
    assert manifest.rows == 20
    assert manifest.groups
    assert manifest.groups.count == len(set(groups)) == 5
    assert all(groups.count(group) == 4 for group in groups)


def test_lists_of_contexts_are_drawn_whole_and_keep_their_place_in_the_file(storage: Storage, settings: Settings):
    lines = "\n".join(
        json.dumps({"question": f"What is {n}?", "context": [f"It is {n}.", f"It was {n}."]}) for n in range(100)
    )
    manifest = job_of(storage, settings, lines.encode(), sample=20)
    rows = submitted_rows(storage, manifest.id)
    assert manifest.groups
    assert (manifest.rows, manifest.groups.count, manifest.sample and manifest.sample.of) == (20, 10, 200)
    assert [row.passage for row in rows] == [0, 1] * 10
    assert [row.question for row in rows] == [f"What is {row.group}?" for row in rows]


def documents(folder: Path, count: int, rows: int, seed: int = 1, **options: str) -> tuple[Documents, Request]:
    """Documents of which the fourth cannot be read, and three questions."""
    (folder / "questions.txt").write_text("What is it?\nWhere is it?\nWho says so?\n")
    (folder / "docs").mkdir(exist_ok=True)
    for number in range(count):
        data = b"\xff\xfe\x00" if number == 3 else f"Document {number} says so.".encode()
        (folder / "docs" / f"{number:02}.txt").write_bytes(data)
    request = Request(sample=rows, sample_seed=seed, read=ReadOptions(**options))
    return Documents(str(folder / "docs"), str(folder / "questions.txt")), request


def test_of_documents_whole_ones_are_drawn_and_only_those_are_read(
    storage: Storage, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    read = []
    own = DocumentFiles._read
    monkeypatch.setattr(DocumentFiles, "_read", lambda self, raw, *rest: read.append(raw.name) or own(self, raw, *rest))
    spec, request = documents(tmp_path, 40, rows=10)
    manifest = submit(spec, storage, settings, request).manifest
    rows = submitted_rows(storage, manifest.id)
    names = [str(row.document) for row in rows]
    assert read == sorted(set(names))
    assert [names.count(name) for name in read] == [3] * 4, "as few as have ten rows"
    assert manifest.documents
    assert manifest.sample
    assert manifest.sample.rest
    assert (manifest.documents.count, manifest.documents.questions, manifest.sample.of) == (4, 3, 120)
    assert manifest.sample.rest.windows == 9 * manifest.forecast.windows if manifest.forecast else 0

    larger = submit(spec, storage, settings, replace(request, sample=30)).manifest
    others = submit(spec, storage, settings, replace(request, sample_seed=2)).manifest
    assert set(names) < {str(row.document) for row in submitted_rows(storage, larger.id)}
    assert set(names) != {str(row.document) for row in submitted_rows(storage, others.id)}
    all_of_them = submit(spec, storage, settings, replace(request, sample=1000)).manifest
    assert all_of_them.rows == 120
    assert all_of_them.sample
    assert all_of_them.sample.rest
    assert all_of_them.sample.rest.windows == 0


def test_documents_of_a_table_are_drawn_too(storage: Storage, settings: Settings, tmp_path: Path):
    spec, request = documents(tmp_path, 0, rows=6, text="body", id="name")
    table = "name|body\n" + "".join(f"d{number}|Text {number} says so.\n" for number in range(50))
    (tmp_path / "docs.csv").write_text(table)
    spec = replace(spec, documents=str(tmp_path / "docs.csv"))
    manifest = submit(spec, storage, settings, request).manifest
    rows = submitted_rows(storage, manifest.id)
    assert len({row.document for row in rows}) == 2
    assert [row.context for row in rows] == [f"Text {str(row.document)[1:]} says so." for row in rows]
    assert manifest.sample
    assert manifest.sample.of == 150


def test_a_sample_is_of_all_files_of_a_folder(storage: Storage, settings: Settings, tmp_path: Path):
    folder = tmp_path / "parts"
    folder.mkdir()
    for number in range(5):
        lines = csv(100).decode().replace("id-", f"{number}-").replace("word", f"word{number}-")
        (folder / f"part-{number}.csv").write_text(lines)
    manifest = submit(str(folder), storage, settings, Request(sample=50)).manifest
    files = {str(row.id)[0] for row in submitted_rows(storage, manifest.id)}
    assert (manifest.rows, files) == (50, set("01234"))


def test_another_seed_draws_others_and_needs_a_sample(storage: Storage, settings: Settings):
    first, second = (
        set(drawn(storage, job_of(storage, settings, rows=1000, sample=100, sample_seed=seed))) for seed in (1, 2)
    )
    assert len(first & second) < 30
    with pytest.raises(UsageError, match="none is drawn"):
        Request(sample_seed=2)
    with pytest.raises(UsageError, match="1 to 10,000"):
        Request(sample=20_000)


def test_an_index_has_the_rows_of_the_sample(storage: Storage, settings: Settings):
    import pandas as pd

    from producer.api.data import as_input

    frame = pd.DataFrame(
        {"question": [f"What is {n}?" for n in range(100)], "context": [f"It is {n}." for n in range(100)]},
        index=[f"i{n}" for n in range(100)],
    )
    file, about = as_input(frame)
    manifest = submit(file, storage, settings, Request(sample=10, columns=about)).manifest
    kept = columns.load(storage, manifest)
    assert kept
    questions = [f"What is {label.removeprefix('i')}?" for label in kept.index.column(0).to_pylist()]
    assert questions == [row.question for row in submitted_rows(storage, manifest.id)]


def test_another_sample_with_the_same_key_is_another_request(storage: Storage, settings: Settings):
    job_of(storage, settings, rows=100, sample=10, key="k")
    assert job_of(storage, settings, rows=100, sample=10, key="k").rows == 10
    with pytest.raises(UsageError, match="sample 10, now 20"):
        job_of(storage, settings, rows=100, sample=20, key="k")
    with pytest.raises(UsageError, match="sample_seed 1, now 2"):
        job_of(storage, settings, rows=100, sample=10, sample_seed=2, key="k")
