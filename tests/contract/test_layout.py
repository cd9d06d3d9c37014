"""Storage keys are made from checked ids, and their names are parsed back."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import UnknownJob
from contract.format import layout
from contract.format.job import check_job_id, new_job_id

JOB = "20261122-174512-3f9ac2d1"
KEYS = [
    layout.folder, layout.manifest, layout.chunks, layout.index, layout.columns, layout.parts, layout.attempts,
    layout.model, layout.cancel, layout.predictions, layout.errors, layout.report,
    lambda job: layout.chunk(job, 0), lambda job: layout.part(job, 0), lambda job: layout.attempt(job, 0, 1),
    lambda job: layout.released(job, 0, 1), lambda job: layout.in_flight(job, 0, 1), layout.events, layout.progress,
    lambda job: layout.event(job, 0, 1790000000.5), layout.documents, lambda job: layout.text(job, "a1" * 32),
    layout.verdicts, lambda job: layout.new_verdicts(job, 1790000000.5),
]  # fmt: skip


@pytest.mark.parametrize(
    "job", ["..", ".", "", "a/b", "../a", "/etc", "a\n", "a\0", "A", "a b", "é", "-a", "a-", "a" * 65, None, 5]
)
def test_an_invalid_job_id_makes_no_key(job):
    for key in KEYS:
        with pytest.raises(UnknownJob) as caught:
            key(job)
        assert "producer list" in (caught.value.remedy or "")


@given(st.text(max_size=20))
def test_no_id_leaves_its_folder(job: str):
    try:
        keys = [key(job) for key in KEYS]
    except UnknownJob:
        return
    assert all(posixpath.normpath(key) == key for key in keys)
    assert all(key == f"jobs/{job}" or key.startswith(f"jobs/{job}/") for key in keys)


def test_new_ids_are_valid_unique_and_sorted_by_time():
    ids = [new_job_id() for _ in range(50)]
    assert [check_job_id(job) for job in ids] == ids
    assert len(set(ids)) == 50
    assert [job[:15] for job in ids] == sorted(job[:15] for job in ids)


def test_no_two_objects_of_a_job_share_a_key():
    assert len({key(JOB) for key in KEYS}) == len(KEYS)


@given(st.integers(0, 10**8))
def test_the_number_of_a_chunk_or_part_is_read_from_its_name(number: int):
    assert layout.number(posixpath.basename(layout.chunk(JOB, number))) == number
    assert layout.number(posixpath.basename(layout.part(JOB, number))) == number


@given(st.integers(0, 10**8), st.integers(1, 999))
def test_an_attempt_is_read_from_its_name(number: int, attempt: int):
    for key, kind in ((layout.attempt, ""), (layout.released, "released"), (layout.in_flight, "row")):
        assert layout.attempt_of(posixpath.basename(key(JOB, number, attempt))) == (number, attempt, kind)


@pytest.mark.parametrize(
    "name", ["index.json", "x.parquet", "000000.parquet.bak", "-00001.jsonl", "0.jsonl", "", "000000"]
)
def test_other_names_have_no_number(name: str):
    assert layout.number(name) is None


@pytest.mark.parametrize("name", ["000000", "000000.", "000000.x", "000000.1.other", "1.1", ""])
def test_other_names_are_not_attempts(name: str):
    assert layout.attempt_of(name) is None


def test_no_other_module_spells_a_key():
    """No path under `jobs/`, and no file name there, is in the source of another module."""
    spelled = re.compile(r"""["'](?:jobs/|manifest\.json|predictions\.json|report\.json|errors\.csv|parts/|chunks/)""")
    root = Path(__file__).parents[2]
    sources = [path for package in ("contract", "producer", "worker") for path in (root / package).glob("*.py")]
    guilty = [path.name for path in sources if path.name != "layout.py" and spelled.search(path.read_text())]
    assert guilty == []


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (
            "chunks",
            [
                "chunks/000000.parquet",
                "chunks/index.json",
                "chunks/keys",
                "chunks-0123abcd/1234567.parquet",
                "chunks/000001.carried",
            ],
        ),
        ("parts", ["parts/000000.jsonl", ".tmp-000000.jsonl-" + "a" * 32]),
        ("outputs", ["predictions.json", "errors.csv", "report.json", ".tmp-predictions.json-" + "0" * 32]),
        ("records", ["manifest.json", "model.json", "cancel", "progress.json", "attempts/000001.2.row"]),
        ("records", ["verdicts/1790000000500-0123abcd.json", "verdicts/.tmp-1790000000500-0123abcd.json-" + "a" * 32]),
        (None, ["notes.txt", "parts/notes.txt", "parts/x/000000.jsonl", "chunks/000000.jsonl", "..", "parts", ""]),
        (None, [".tmp-notes.txt-" + "a" * 32, "manifest.json.bak", "a/manifest.json", "report.json/x", "cancel\n"]),
    ],
)
def test_objects_of_a_job_are_known_by_their_names(kind: str | None, names: list[str]):
    assert {layout.kind_of("parts/" + n if n.startswith(".tmp-0000") else n) for n in names} == {kind}


@pytest.mark.parametrize("key", [key for key in KEYS if "/" in key(JOB).partition(JOB)[2]])
def test_every_object_of_a_job_has_a_kind(key):
    name = key(JOB).partition(f"{JOB}/")[2]
    assert layout.kind_of(name) or name in ("chunks", "parts", "attempts", "events", "verdicts")
