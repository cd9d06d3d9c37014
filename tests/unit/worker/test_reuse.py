"""Rows that were scored before, in another job or an earlier chunk: a worker in this process, with the model that
ships, and jobs over edited files."""

from __future__ import annotations

import csv
import io
import json
import random
from typing import Any

import pytest

from contract.errors import NotEnded, UnknownJob, UsageError
from contract.format import layout, part
from contract.format.job import Options, RowError
from contract.ledger import records
from contract.ledger.progress import Progress
from contract.ledger.reconcile import cancel, reconcile
from contract.ledger.stored import StoredJob, load_manifest
from producer.jobs.logs import events
from producer.reuse.rescore import differences, rescore
from producer.reuse.retry import retry
from tests.making import job_of, pop
from tests.making import predictions as checked_predictions
from worker.reuse import Repeats
from worker.worker import Worker

MODEL = "minilm-l6-qa"


def table(rows: list[dict[str, Any]], kind: str = "csv") -> bytes:
    """A file of rows, all of which have the same columns."""
    if kind == "jsonl":
        return "".join(json.dumps(row) + "\n" for row in rows).encode()
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter=";" if kind == "semicolons" else "|")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def mill(number: int, town: str = "Delft") -> dict[str, Any]:
    question = "Where does the mill stand?" if number % 3 else "Who lives on the moon?"
    return {"id": f"m{number}", "question": question, "context": f"Mill {number} stands in {town}.", "note": "old"}


def run(worker: Worker, data: bytes, **request: Any) -> Progress:
    """Submit a file and work until its job has ended."""
    return finished(worker, job_of(worker.storage, worker.settings, data, **request).id)


def finished(worker: Worker, job: str) -> Progress:
    reconcile(job, worker.storage, worker.queue, worker.settings)
    while message := pop(worker.queue, MODEL):
        assert worker.work(*message, None)
    report = records.report(worker.storage, job)
    assert report is not None
    checked_predictions(worker.storage, job)
    return report


def document(worker: Worker, report: Progress) -> bytes:
    return worker.storage.read(layout.predictions(report.id))


def texts(rows: list[dict[str, Any]]) -> set[tuple[str, str]]:
    return {(row["question"], row["context"]) for row in rows if row["question"]}


def edited(rows: list[dict[str, Any]], dice: random.Random) -> list[dict[str, Any]]:
    """The rows after some edits: of texts, of ids and other columns, and of order."""
    rows = [dict(row) for row in rows]
    for _ in range(dice.randrange(6)):
        place = dice.randrange(len(rows))
        edit = dice.choice(["change", "insert", "delete", "double", "shuffle", "ids", "note", "empty", "column"])
        if edit == "change":
            rows[place]["context"] += f" It burned {dice.randrange(100)} times."
        elif edit == "insert":
            rows.insert(place, rows[0] | mill(dice.randrange(1000, 2000), "Gouda"))
        elif edit == "delete" and len(rows) > 1:
            del rows[place]
        elif edit == "double":
            rows.insert(dice.randrange(len(rows)), dict(rows[place]))
        elif edit == "shuffle":
            dice.shuffle(rows)
        elif edit == "note":
            rows[place]["note"] = f"new {dice.random()}"
        elif edit == "empty":
            rows[place]["question"] = ""
        elif edit == "column":
            rows = [row | {"more": dice.randrange(9)} for row in rows]
    return [row | {"id": f"{number}-{dice.random()}"} for number, row in enumerate(rows)]


@pytest.mark.parametrize("seed", range(12))
def test_a_job_that_reuses_has_the_same_predictions_and_scores_only_new_rows(worker: Worker, seed: int):
    """Whatever was edited, and in whatever format the file comes."""
    dice = random.Random(seed)
    before = [mill(number) for number in range(dice.randrange(1, 14))]
    options = {"read": dice_read("csv")}
    old = run(worker, table(before), **options)
    after, kind = edited(before, dice), dice.choice(["csv", "semicolons", "jsonl"])

    without = run(worker, table(after, kind), read=dice_read(kind))
    reusing = run(worker, table(after, kind), read=dice_read(kind), reuse=(old.id,))

    assert document(worker, reusing) == document(worker, without)
    assert reusing.scored == len(texts(after) - texts(before))
    scorable = sum(bool(row["question"]) for row in after)
    assert reusing.scored + reusing.repeated + reusing.reused == scorable
    assert reusing.reused == sum((row["question"], row["context"]) in texts(before) for row in after)


def dice_read(kind: str) -> Any:
    from producer.input.options import ReadOptions

    return ReadOptions(delimiter=";") if kind == "semicolons" else ReadOptions()


# What is not reused


def reuse(worker: Worker, job: str, rows: list[dict[str, Any]], **request: Any) -> Progress:
    return run(worker, table(rows), reuse=(job,), **request)


MILLS = [mill(number) for number in range(7)]  # three chunks


def changed_footers(worker: Worker, job: str, **about: Any) -> None:
    """Write the parts of a job as another worker would have."""
    for number in range(load_manifest(worker.storage, job).chunks):
        key = layout.part(job, number)
        rows = StoredJob.open(worker.storage, job).index.rows[number]
        lines, footer = part.body(worker.storage.read(key), rows)
        kept = {
            name: getattr(footer, name) for name in ("worker", "model", "rule", "job", "chunk", "numerics", "scored")
        }
        worker.storage.replace(key, part.encode(map(json.loads, lines.splitlines()), **kept | about)[0])


@pytest.mark.parametrize(
    "about",
    [
        {"numerics": "onnxruntime 9.9.9, CPUExecutionProvider, x86_64 avx2"},
        {"numerics": ""},  # of an earlier version
        {"rule": 1},
        {"batch_invariant": False},
        {"model": "another"},
    ],
    ids=lambda about: next(iter(about)),
)
def test_outcomes_that_were_computed_otherwise_are_scored_again(worker: Worker, about: dict[str, Any]):
    old = run(worker, table(MILLS))
    changed_footers(worker, old.id, **about)
    again = reuse(worker, old.id, MILLS)
    assert (again.reused, again.scored) == (0, 7)
    assert document(worker, again) == document(worker, old)


def test_other_numerics_are_reused_on_request_and_counted(worker: Worker):
    """Also where they are taken over once more: the part says that it is not all of one kind."""
    old = run(worker, table(MILLS))
    changed_footers(worker, old.id, numerics="onnxruntime 9.9.9, CPUExecutionProvider, x86_64 avx2")
    again = reuse(worker, old.id, [*MILLS, mill(50)], reuse_any=True)
    assert (again.reused, again.reused_others, again.scored) == (7, 7, 1)
    assert set(again.numerics) == {"mixed"} or len(again.numerics) == 2
    third = reuse(worker, again.id, MILLS)
    assert third.reused < 7
    fourth = reuse(worker, again.id, MILLS, reuse_any=True)
    assert fourth.reused == 7
    assert fourth.reused_others >= 6


def test_errors_of_the_work_are_not_reused(worker: Worker):
    old = run(worker, table(MILLS))
    (worker.storage).delete(layout.part(old.id, 1))
    StoredJob.open(worker.storage, old.id).fail(1, RowError("worker_crash", "it died"), 5)
    again = reuse(worker, old.id, MILLS)
    assert (again.reused, again.scored, again.request_counts.failed) == (4, 3, 0)


def test_errors_that_a_row_has_by_itself_are(worker: Worker):
    silent = {"id": "s", "question": "\u200b\ufeff?", "context": "\u200b", "note": ""}
    old = run(worker, table([*MILLS, silent]))
    assert old.request_counts.failed == 1
    assert old.top_errors[0][0] == "empty_context"
    again = reuse(worker, old.id, [*MILLS, silent])
    assert (again.reused, again.scored) == (8, 0)
    assert document(worker, again) == document(worker, old)


def test_a_damaged_part_and_one_that_is_gone_are_scored_again(worker: Worker):
    old = run(worker, table(MILLS))
    key = layout.part(old.id, 0)
    worker.storage.replace(key, worker.storage.read(key).replace(b"Delft", b"Gouda", 1))
    worker.storage.delete(layout.part(old.id, 1))
    again = reuse(worker, old.id, MILLS)
    assert (again.reused, again.scored) == (1, 6)
    assert document(worker, again) == document(worker, old)


@pytest.mark.parametrize("damage", ["altered", "missing"])
def test_keys_that_are_damaged_are_made_anew(worker: Worker, damage: str):
    old = run(worker, table(MILLS))
    key = layout.keys(old.id, load_manifest(worker.storage, old.id).chunks_folder)
    data = worker.storage.read(key)
    assert len(data) == 7 * 16
    worker.storage.delete(key)
    if damage == "altered":
        worker.storage.create(key, data[16:32] + data[16:])  # the first row has the key of the second
    again = reuse(worker, old.id, MILLS)
    assert (again.reused, again.scored) == (7, 0)
    assert document(worker, again) == document(worker, old)


@pytest.mark.parametrize("damage", ["altered", "missing"])
def test_rows_whose_outcomes_are_damaged_beside_their_chunk_are_scored(worker: Worker, damage: str):
    old = run(worker, table(MILLS))
    new = job_of(worker.storage, worker.settings, table(MILLS), reuse=(old.id,)).id
    key = layout.carried(new, 1, load_manifest(worker.storage, new).chunks_folder)
    data = worker.storage.read(key)
    worker.storage.delete(key)
    if damage == "altered":
        worker.storage.create(key, data.replace(b"Delft", b"Gouda"))
    again = finished(worker, new)
    assert (again.reused, again.scored) == (4, 3)
    assert document(worker, again) == document(worker, old)


def test_nothing_points_at_the_old_job_once_the_new_one_is_submitted(worker: Worker):
    old = run(worker, table(MILLS))
    wanted = document(worker, old)
    new = job_of(worker.storage, worker.settings, table(MILLS), reuse=(old.id,)).id
    worker.storage.discard(layout.folder(old.id))
    again = finished(worker, new)
    assert (again.reused, again.scored) == (7, 0)
    assert document(worker, again) == wanted


def test_a_new_job_is_scored_by_the_model_whose_outcomes_it_takes(worker: Worker):
    old = run(worker, table(MILLS))
    new = job_of(worker.storage, worker.settings, table(MILLS), reuse=(old.id,)).id
    assert records.model(worker.storage, new) == records.model(worker.storage, old.id)
    other = job_of(worker.storage, worker.settings, table([mill(99)]), reuse=(old.id,)).id
    assert records.model(worker.storage, other) is None, "it takes none"


def test_jobs_that_cannot_be_reused_are_refused_with_the_reason(worker: Worker):
    old = run(worker, table(MILLS))
    with pytest.raises(UsageError, match="other options: top_k was 1, now 2"):
        reuse(worker, old.id, MILLS, options=Options(top_k=2))
    with pytest.raises(UsageError, match="was scored by the model minilm-l6-qa, this one is for other"):
        reuse(worker, old.id, MILLS, model="other")
    with pytest.raises(UnknownJob):
        reuse(worker, "nojob", MILLS)
    plain = reuse(worker, old.id, MILLS, options=Options(omit_context=True))
    assert plain.reused == 7, "what a prediction shows decides no answer"


def test_the_latest_job_is_the_newest_that_fits_and_has_the_label(worker: Worker):
    def taken(name: str) -> Any:
        return job_of(worker.storage, worker.settings, table(MILLS), reuse=(name,)).reuse

    assert taken("latest").jobs == ()
    first = run(worker, table(MILLS), metadata={"team": "search"}).id
    second = run(worker, table(MILLS[:3])).id
    run(worker, table(MILLS[:2]), options=Options(top_k=2))
    assert (taken("latest").jobs, taken("latest").rows) == ((second,), 3)
    assert (taken("latest:team=search").jobs, taken("latest:team=search").rows) == ((first,), 7)
    assert taken("latest:team=sales").jobs == ()
    assert taken(second[:18]).jobs == (second,)


# Rows of one job that are equal


def test_equal_rows_are_scored_once_also_in_later_chunks(worker: Worker):
    report = run(worker, table([mill(number % 4) | {"id": f"r{number}"} for number in range(20)]))
    assert (report.scored, report.repeated, report.windows) == (4, 16, 4)
    answers = [prediction["answer"] for prediction in checked_predictions(worker.storage, report.id)]
    assert answers == [answers[number % 4] for number in range(20)]


def test_rows_of_another_job_are_no_repetition(worker: Worker):
    run(worker, table(MILLS))
    assert run(worker, table(MILLS)).scored == 7


def test_what_is_remembered_of_a_job_is_bounded(worker: Worker):
    """With room for one chunk, the second makes it forget the first."""
    rows = [mill(number % 6) | {"id": f"r{number}"} for number in range(9)]
    assert run(worker, table(rows)).scored == 6
    worker._repeats.close()
    worker._repeats = Repeats(limit=1)
    assert run(worker, table(rows)).scored == 9


# A job tried again


def test_a_retry_keeps_good_outcomes_and_scores_what_the_work_failed_at(worker: Worker):
    rows = [*MILLS, {"id": "bad", "question": "", "context": "c", "note": ""}]
    whole = run(worker, table(rows))
    job = job_of(worker.storage, worker.settings, table(rows), metadata={"team": "search"}).id
    StoredJob.open(worker.storage, job).fail(1, RowError("worker_crash", "it died"), 5)
    old = finished(worker, job)
    assert old.request_counts.failed == 4

    new = retry(worker.storage, job)
    again = finished(worker, new.id)

    assert (again.reused, again.scored, again.request_counts.failed) == (4, 3, 1)
    assert document(worker, again) == document(worker, whole)
    assert (new.retry_of, new.metadata) == (job, {"team": "search"})
    told = [(event.event, event.about.get("by")) for event in events(worker.storage, None, job)]
    assert told[-1] == ("retried", new.id)
    assert events(worker.storage, None, new.id)[0].about["retry_of"] == job
    with pytest.raises(UsageError, match="no row with a processing error"):
        retry(worker.storage, new.id)


def test_a_cancelled_job_is_retried_where_it_stopped_and_a_running_one_is_not(worker: Worker):
    whole = run(worker, table(MILLS))
    job = job_of(worker.storage, worker.settings, table(MILLS)).id
    reconcile(job, worker.storage, worker.queue, worker.settings)
    assert worker.work(job, 0, None)
    with pytest.raises(NotEnded):
        retry(worker.storage, job)
    cancel(job, worker.storage, worker.queue, worker.settings)
    assert finished(worker, job).request_counts.cancelled == 4
    again = finished(worker, retry(worker.storage, job).id)
    assert (again.reused, again.scored) == (3, 4)
    assert document(worker, again) == document(worker, whole)


# Reused rows scored again


def rescored(worker: Worker, job: str, count: int) -> Any:
    """The problems that `verify --rescore` finds, with this worker as the fleet."""
    small = rescore(worker.storage, job, count)
    finished(worker, small.manifest.id)
    return small, differences(worker.storage, job, small)


def test_reused_rows_are_the_same_when_they_are_scored_again(worker: Worker):
    old = run(worker, table(MILLS))
    again = reuse(worker, old.id, [mill(99), *MILLS])
    small, problems = rescored(worker, again.id, 5)
    assert (len(small.rows), problems) == (5, [])
    assert 0 not in small.rows
    assert rescore(worker.storage, again.id, 5).rows == small.rows
    with pytest.raises(UsageError, match="no reused rows"):
        rescore(worker.storage, old.id, 5)


def test_a_reused_row_that_would_be_another_is_found(worker: Worker):
    old = run(worker, table(MILLS))
    again = reuse(worker, old.id, MILLS)
    lines, footer = part.body(worker.storage.read(layout.part(again.id, 0)), 3)
    values = [json.loads(line) for line in lines.splitlines()]
    values[1]["score"] += 0.001
    about = {name: getattr(footer, name) for name in ("model", "job", "chunk", "numerics", "reused")}
    worker.storage.replace(layout.part(again.id, 0), part.encode(values, **about)[0])
    _, problems = rescored(worker, again.id, 7)
    assert problems == ["row 1 is reused, and differs when scored again"]
