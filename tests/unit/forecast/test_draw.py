"""A sample of an input in place of all of it."""

from __future__ import annotations

import io
import json

import pytest

from contract.errors import UsageError
from contract.format.job import Manifest
from contract.settings import Settings
from contract.storage import Storage
from producer.input.options import ReadOptions
from producer.jobs.submit import submit
from producer.request import Request
from producer.results import columns
from tests.making import csv, job_of, submitted_rows


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


def test_no_sample_is_drawn_where_rows_belong_together(storage: Storage, settings: Settings):
    lists = json.dumps({"question": "Who?", "context": ["One.", "Two."]}).encode()
    with pytest.raises(UsageError, match="lists of texts"):
        submit(io.BytesIO(lists), storage, settings, Request(sample=1))
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
