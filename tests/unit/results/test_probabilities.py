"""The probability of each answer in every format of the predictions, from a record that is made once."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contract.errors import UsageError
from contract.format import layout
from contract.settings import Settings
from contract.storage import Storage
from producer.backend.direct import DirectBackend
from producer.results.output import write_results
from producer.trust.verdicts import Verdict
from tests.making import finish, job_of
from tests.twins.queue import MemoryQueue

ROWS = 160


def judged(storage: Storage, settings: Settings, wrong: int = 40) -> tuple[DirectBackend, str]:
    """A job of which all answers but one were judged; row 3 has none, row 5 failed."""
    settings = settings.model_copy(update={"chunk_rows": 50})
    questions = {3: "nothing?", 5: "odd?"}
    lines = [f"r{row}|{questions.get(row, 'what?')}|word{row} of a context" for row in range(ROWS)]
    job = job_of(storage, settings, "\n".join(["id|question|context", *lines, ""]).encode()).id
    finish(job, storage, MemoryQueue(), settings)
    backend = DirectBackend(settings, storage, MemoryQueue())  # type: ignore[arg-type]
    rows = [row for row in range(ROWS - 1) if row not in questions]
    kinds = dict.fromkeys(rows[:wrong], "wrong")
    backend.judge(job, [Verdict(row, kinds.get(row, "right"), floor=0.0) for row in rows])  # type: ignore[arg-type]
    return backend, job


def test_every_format_has_the_probability_behind_the_score(storage: Storage, settings: Settings, tmp_path: Path):
    backend, job = judged(storage, settings)
    calibration = backend.calibration(job)
    for kind in ("json", "jsonl", "csv", "parquet", "xlsx"):
        write_results(backend, job, tmp_path / f"o.{kind}", None, calibration=calibration)
    document = json.loads((tmp_path / "o.json").read_text())
    assert list(document) == ["calibration", "predictions"]
    (record,) = storage.list(f"{layout.folder(job)}/calibrations")
    assert document["calibration"] == calibration.sha256
    assert storage.read(f"{layout.folder(job)}/calibrations/{record}") == calibration.to_bytes()
    found = [each.get("probability", "missing") for each in document["predictions"]]
    assert (found[3], found[5], len(found)) == (None, "missing", ROWS)
    assert found[0] == pytest.approx(118 / 158, abs=0.02), "all margins are the same: as many are right as were judged"
    assert found == [
        json.loads(row).get("probability", "missing") for row in (tmp_path / "o.jsonl").read_text().splitlines()
    ]
    expected = [None if each == "missing" else each for each in found]
    table = pq.read_table(tmp_path / "o.parquet")
    assert table.schema.field("probability").type == pa.float64()
    assert table["probability"].to_pylist() == expected
    assert table.column_names.index("probability") == table.column_names.index("score") + 1
    cells = [row["probability"] for row in csv.DictReader((tmp_path / "o.csv").read_text().splitlines(), delimiter="|")]
    assert cells == ["" if each is None else str(each) for each in expected]
    header, *rows = openpyxl.load_workbook(tmp_path / "o.xlsx").active.values
    assert [row[header.index("probability")] for row in rows] == expected


def test_without_it_nothing_differs(storage: Storage, settings: Settings, tmp_path: Path):
    backend, job = judged(storage, settings)
    write_results(backend, job, tmp_path / "o.json", None)
    assert (tmp_path / "o.json").read_bytes() == storage.read(layout.predictions(job))


def test_a_record_is_made_once_for_the_same_labels_and_another_for_others(storage: Storage, settings: Settings):
    backend, job = judged(storage, settings)
    first = backend.calibration(job)
    assert (first.labels, first.wrong, first.by, first.method) == (157, 40, "people", "platt")
    assert backend.calibration(job) == first
    folder = f"{layout.folder(job)}/calibrations"
    assert len(storage.list(folder)) == 1
    backend.judge(job, [Verdict(ROWS - 1, "right"), Verdict(7, "no_answer")])
    assert backend.calibration(job).sha256 != first.sha256, "row 7 was drawn at random, and remains so"
    assert backend.calibration(job).labels == 157, "a row that was picked by hand does not count"
    assert len(storage.list(folder)) == 2


def test_reference_answers_calibrate_where_nobody_has_judged(storage: Storage, settings: Settings):
    lines = [f"what?|word{row} of a context|word{row if row % 4 else row + 1}" for row in range(ROWS)]
    job = job_of(storage, settings, "\n".join(["question|context|answers", *lines, ""]).encode()).id
    finish(job, storage, MemoryQueue(), settings)
    backend = DirectBackend(settings, storage, MemoryQueue())  # type: ignore[arg-type]
    calibration = backend.calibration(job)
    assert (calibration.by, calibration.labels, calibration.wrong) == ("references", ROWS, ROWS // 4)


def test_too_few_labels_say_how_many_there_are(storage: Storage, settings: Settings):
    backend, job = judged(storage, settings, wrong=14)
    with pytest.raises(UsageError, match=f"job {job} has 157 and 14"):
        backend.calibration(job)
