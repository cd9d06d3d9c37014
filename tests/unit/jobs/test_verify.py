"""Verify finds whatever was altered, lost or doubled since a job was submitted, and names it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest

from contract.errors import UnknownJob
from contract.format import codec, layout, part
from contract.format.job import Manifest
from contract.ledger import records
from contract.settings import Settings
from contract.storage import Storage
from producer.jobs.verify import Verified, verify_job
from tests.making import csv, finish, job_of, part_of
from tests.twins.queue import MemoryQueue


@pytest.fixture
def job(storage: Storage, settings: Settings) -> Manifest:
    manifest = job_of(storage, settings, csv(8, bad=(1,), silent=(2,)))
    finish(manifest.id, storage, MemoryQueue(), settings)
    return manifest


def altered(storage: Storage, key: str, change: Callable[[bytes], bytes]) -> None:
    data = storage.read(key)
    assert change(data) != data
    storage.replace(key, change(data))


def forged(storage: Storage, job: Manifest, number: int, change: Callable[[list[dict]], None]) -> None:
    """Replace a part by one that was changed and has a footer to match."""
    lines = storage.read(layout.part(job.id, number)).decode().splitlines()[:-1]
    rows = [json.loads(line) for line in lines]
    change(rows)
    storage.replace(layout.part(job.id, number), part.encode(rows, model="d1", started_at=1.0, finished_at=2.0)[0])


def told(storage: Storage, job: Manifest, problem: str) -> Verified:
    found = verify_job(storage, job.id)
    assert any(re.search(problem, one) for one in found.problems), found.problems
    return found


def noted(storage: Storage, job: Manifest, note: str) -> None:
    """Damage that costs no row: the document is whole. Without it, it is a problem."""
    found = verify_job(storage, job.id)
    assert found.problems == ()
    assert any(re.search(note, one) for one in found.notes), found.notes
    assert (found.checked, found.answers) == (8, 6)
    storage.delete(layout.predictions(job.id))
    told(storage, job, note)


def test_a_job_that_ended_well_has_no_problem(storage: Storage, job: Manifest):
    seen: list[tuple[int, int]] = []
    found = verify_job(storage, job.id, lambda *at: seen.append(at))
    assert found == Verified(job.id, rows=8, checked=8, answers=6, problems=(), finished=True)
    assert seen == [(0, 3), (1, 3), (2, 3)]
    assert json.loads(codec.dump(found))["problems"] == []


def test_a_job_under_way_is_checked_as_far_as_it_is(storage: Storage, settings: Settings):
    manifest = job_of(storage, settings)
    storage.create(layout.part(manifest.id, 1), part_of(storage, manifest, 1))
    found = verify_job(storage, manifest.id)
    assert (found.checked, found.answers, found.problems, found.finished) == (3, 3, (), False)


def test_a_job_that_is_not_there_is_unknown(storage: Storage):
    with pytest.raises(UnknownJob):
        verify_job(storage, "nothing")


def test_a_part_that_was_altered_is_named(storage: Storage, job: Manifest):
    altered(storage, layout.part(job.id, 1), lambda data: data.replace(b"word3", b"WORD3", 1))
    noted(storage, job, r"^part 1: its sha256")
    assert verify_job(storage, job.id).checked == 5


def test_a_part_whose_footer_was_altered_is_named(storage: Storage, job: Manifest):
    altered(storage, layout.part(job.id, 2), lambda data: data.replace(b'"answered":2', b'"answered":1'))
    noted(storage, job, r"^part 2: its footer was altered")


def test_a_part_that_is_gone_is_named(storage: Storage, job: Manifest):
    storage.delete(layout.part(job.id, 0))
    noted(storage, job, r"^part 0 is missing")


def test_an_answer_that_does_not_stand_in_its_context_is_named(storage: Storage, job: Manifest):
    forged(storage, job, 1, lambda rows: rows[2].update(answer="invented"))
    found = told(storage, job, r"^row 5: the answer is not at its place")
    assert found.answers == 5


def test_an_answer_of_nothing_is_named(storage: Storage, job: Manifest):
    forged(storage, job, 1, lambda rows: rows[0].update(answer="", start=0, end=0))
    told(storage, job, r"^row 3: the answer")


def test_rows_that_changed_places_are_named(storage: Storage, job: Manifest):
    forged(storage, job, 1, lambda rows: rows.reverse())
    told(storage, job, r"^row 5 is in the place of row 3")


@pytest.mark.parametrize("what", ["question", "id"])
def test_a_row_that_was_not_submitted_is_named(storage: Storage, job: Manifest, what: str):
    forged(storage, job, 2, lambda rows: rows[0].update({what: "another"}))
    told(storage, job, r"^row 6 is not the row that was submitted")


def test_an_answer_for_a_row_that_was_rejected_is_named(storage: Storage, job: Manifest):
    forged(storage, job, 0, lambda rows: rows[1].update(status="no_answer"))
    told(storage, job, r"^row 1 was rejected, but its status is no_answer")


def test_counts_that_are_not_those_of_the_report_are_named(storage: Storage, job: Manifest):
    forged(storage, job, 1, lambda rows: rows[0].update(status="no_answer", answer="", start=None, end=None))
    told(storage, job, "the counts in the report")


def test_a_row_too_few_is_named(storage: Storage, job: Manifest):
    forged(storage, job, 1, lambda rows: rows.pop())
    noted(storage, job, r"^part 1: it has 2 rows, its chunk 3")


@pytest.mark.parametrize("how", ["altered", "missing"])
def test_a_damaged_chunk_is_named(storage: Storage, job: Manifest, how: str):
    key = layout.chunk(job.id, 1)
    altered(storage, key, lambda data: data[:-1] + b"x") if how == "altered" else storage.delete(key)
    told(storage, job, rf"^chunk 1: .*{how}")


@pytest.mark.parametrize("key", [layout.predictions, layout.errors])
@pytest.mark.parametrize("how", ["altered", "cut", "missing"])
def test_an_output_that_is_not_the_published_one_is_named(storage: Storage, job: Manifest, key, how: str):
    name = key(job.id)
    if how == "missing":
        storage.delete(name)
    else:
        altered(storage, name, lambda data: data[:-1] if how == "cut" else data.replace(b"context", b"CONTEXT", 1))
    told(storage, job, rf"^{name} (is missing|was altered)")


def test_an_output_that_is_not_known_is_named(storage: Storage, job: Manifest):
    about = {"uri": "x", "bytes": 1, "sha256": "x"}
    key = layout.report(job.id)
    report = json.loads(storage.read(key))
    storage.replace(key, json.dumps(report | {"outputs": report["outputs"] | {"plots": about}}).encode())
    assert told(storage, job, "the report names an unknown output: 'plots'").checked == 8


def test_a_report_that_says_nothing_of_the_predictions_vouches_for_none(storage: Storage, job: Manifest):
    key = layout.report(job.id)
    storage.replace(key, json.dumps(json.loads(storage.read(key)) | {"outputs": {}}).encode())
    told(storage, job, r"predictions\.json was altered")
    storage.replace(key, json.dumps(json.loads(storage.read(key)) | {"outputs": {"predictions": {}}}).encode())
    told(storage, job, r"predictions\.json was altered")


def test_a_document_that_does_not_hold_what_the_parts_hold_is_named(storage: Storage, job: Manifest):
    """Its digest is that of the report, and a part was exchanged for another of the same counts."""
    forged(storage, job, 1, lambda rows: rows[0].update(score=0.75))
    told(storage, job, "the predictions document differs from the parts")


def test_many_problems_are_not_all_told(storage: Storage, settings: Settings):
    manifest = job_of(storage, settings, csv(90))
    finish(manifest.id, storage, MemoryQueue(), settings)
    for number in range(30):
        storage.delete(layout.chunk(manifest.id, number))
    found = verify_job(storage, manifest.id)
    assert len(found.problems) == 21
    assert found.problems[-1] == "and more"


def test_verifying_changes_nothing(storage: Storage, job: Manifest):
    storage.delete(layout.part(job.id, 0))
    before = storage.list(layout.parts(job.id)), records.report(storage, job.id)
    verify_job(storage, job.id)
    assert (storage.list(layout.parts(job.id)), records.report(storage, job.id)) == before


def test_a_part_under_the_name_of_another_is_named(storage: Storage, job: Manifest):
    storage.replace(layout.part(job.id, 0), storage.read(layout.part(job.id, 1)))
    noted(storage, job, f"^part 0: it is part 1 of job {job.id}, under another name")
