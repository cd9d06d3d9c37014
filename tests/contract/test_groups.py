"""The passages of a group become its outcome, and the predictions of a job its groups."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contract import evaluation
from contract.format import codec, document, layout, part
from contract.format.job import Answer, Groups, InputFile, Manifest, Options, Row, RowError, Span, answered, failed
from contract.groups import reduce
from contract.groups.reduce import GroupSums, groups
from contract.ledger import assemble, records
from contract.ledger.progress import Counts
from contract.ledger.stored import StoredJob
from contract.settings import Settings
from producer.jobs.verify import verify_job
from tests.making import job_of
from tests.twins.storage import MemoryStorage


def manifest(*, rows: int = 9, scattered: bool = False, top_k: int = 1, **more: Any) -> Manifest:
    source = InputFile("f.csv", "csv", 9, "", ("question", "context"), "|")
    grouping = Groups("column", 1, scattered, "q")
    return Manifest("job", 0.0, "m", rows, 0, 1, "", source, Options(top_k=top_k, n_best=20), groups=grouping, **more)


def passage(
    row: int,
    margins: list[float],
    *,
    group: str | None = "g",
    answers: list[str] | None = None,
    null: float = -3.0,
    threshold: float = 0.0,
    top_k: int = 1,
    **about: Any,
) -> dict[str, Any]:
    """The prediction of a passage of one window whose n best spans have these margins, as the reader gives it."""
    weights = [math.exp(margin) for margin in margins]
    total = 1.0 + math.fsum(weights)
    best = max(margins)
    passed = about.pop("passthrough", {})
    subject = Row(row, "who?", "a long context", id=f"id{row}", group=group, passthrough=passed)
    if best < -threshold:
        return answered(subject, Answer((), null, round(1 / total, 6), margin=best), Options(top_k=top_k))
    order = sorted(range(len(margins)), key=lambda place: -margins[place])[:top_k]
    texts = answers or [f"answer {row} {place}" for place in range(len(margins))]
    spans = tuple(
        Span(texts[p], 10 * p, 10 * p + 4, round(weights[p] / total, 6), margins[p] + null, margins[p]) for p in order
    )
    return answered(subject, Answer(spans, null, spans[0].score, margin=best), Options(top_k=top_k)) | about


def error(row: int, code: str = "inference_error", group: str | None = "g") -> dict[str, Any]:
    return failed(Row(row, "who?", None, id=f"id{row}", group=group), RowError(code, "why"), Options())


def lines(predictions: list[dict[str, Any]], block: int = 2) -> Iterator[bytes]:
    """The predictions in blocks of whole lines."""
    for first in range(0, len(predictions), block):
        yield part.body(part.encode(predictions[first : first + block])[0], len(predictions[first : first + block]))[0]


def reduced(predictions: list[dict[str, Any]], job: Manifest | None = None) -> list[dict[str, Any]]:
    blocks = list(groups(lines(predictions), job or manifest(), GroupSums()))
    return [json.loads(line) for block in blocks for line in block.splitlines()]


def test_the_passage_with_the_highest_margin_is_chosen_and_not_that_with_the_highest_score():
    lone = passage(0, [1.0], null=5.0)  # nothing beside it in its own passage
    strong = passage(1, [4.0, 3.9, 3.8], null=-9.0)  # more beside it, and a lower raw score
    (group,) = reduced([lone, strong])
    assert lone["score"] > strong["score"]
    assert lone["raw_score"] > strong["raw_score"]
    assert (group["row"], group["answer"], group["margin"], group["passages"]) == (1, "answer 1 0", 4.0, 2)
    assert group["id"] == "id1"
    assert "context" not in group


margins = st.lists(st.floats(-12, 12).map(lambda value: round(value, 6)), min_size=1, max_size=6, unique=True)


@given(st.lists(margins, min_size=1, max_size=6))
@example([[0.0], *[[-12.0]] * 5])  # whose scores are 0.000006, rounded
def test_the_score_is_one_softmax_over_the_spans_of_all_passages_and_one_null(passages: list[list[float]]):
    (group,) = reduced([passage(row, each, threshold=20.0) for row, each in enumerate(passages)])
    best = max(map(max, passages))
    total = 1.0 + math.fsum(math.exp(margin) for each in passages for margin in each)
    assert group["margin"] == best
    # What is known of a passage are its rounded scores.
    assert group["score"] == pytest.approx(math.exp(best) / total, rel=0.02, abs=2e-5)


@given(margins, st.sampled_from([0.0, 20.0]))
def test_a_group_of_one_passage_has_its_outcome(spans: list[float], threshold: float):
    row = passage(0, spans, threshold=threshold)
    (group,) = reduced([row])
    same = ("id", "question", "status", "answer", "row", "start", "end", "margin", "null_score", "flags", "passthrough")
    assert {name: group[name] for name in same} == {name: row[name] for name in same}
    if row["score"] > 1e-5:
        assert group["score"] == pytest.approx(row["score"], abs=1e-6)


def test_there_is_no_answer_only_if_no_passage_has_one():
    refused, also = passage(0, [-2.0]), passage(1, [-1.0])
    (group,) = reduced([refused, also])
    assert (group["status"], group["answer"], group["start"], group["row"]) == ("no_answer", "", None, 1)
    assert group["score"] == pytest.approx(1 / (1 + math.exp(-2) + math.exp(-1)), abs=1e-6)
    assert group["support"] == 0
    (group,) = reduced([refused, also, passage(2, [0.1])])
    assert (group["status"], group["row"]) == ("answered", 2)


def test_ties_go_to_the_lower_row_then_the_lower_start_then_the_shorter_span():
    first, second = passage(4, [1.0]), passage(5, [1.0])
    assert reduced([first, second])[0]["row"] == 4
    spans = [Span("long", 3, 9, 0.2, 1.0, 2.0), Span("short", 3, 6, 0.2, 1.0, 2.0), Span("early", 0, 2, 0.2, 1.0, 2.0)]
    row = Row(0, "q", "c", group="g")
    rows = [answered(replace(row, row=n), Answer((s,), 0.0, 0.2, margin=2.0), Options()) for n, s in enumerate(spans)]
    job = manifest(top_k=3)
    (group,) = reduced(rows, job)
    assert [group["answer"], *(each["answer"] for each in group["alternatives"])] == ["long", "short", "early"]


def test_support_counts_the_passages_whose_answer_reads_the_same():
    rows = [
        passage(0, [3.0], answers=["The Wall"]),
        passage(1, [2.0], answers=["wall."]),
        passage(2, [1.0], answers=["door"]),
    ]
    assert reduced(rows)[0]["support"] == 2


def test_alternatives_are_the_best_spans_of_all_passages():
    rows = [passage(0, [5.0, 1.0], top_k=2), passage(1, [3.0, 2.0], top_k=2), passage(2, [-4.0], top_k=2)]
    (group,) = reduced(rows, manifest(top_k=3))
    shown = [(each["row"], each["margin"]) for each in [group, *group["alternatives"]]]
    assert shown == [(0, 5.0), (1, 3.0), (1, 2.0)]
    assert set(group["alternatives"][0]) == {"answer", "row", "start", "end", "raw_score", "margin", "score"}
    assert group["score"] + sum(each["score"] for each in group["alternatives"]) <= 1


def test_a_passage_that_failed_does_not_count_and_is_flagged():
    (group,) = reduced([error(0), passage(1, [2.0]), error(2)])
    assert (group["status"], group["row"], group["flags"], group["passages"]) == ("answered", 1, ["passages_failed"], 3)


def test_a_group_of_which_every_row_failed_has_the_error_of_the_first():
    (group,) = reduced([error(3, "worker_crash"), error(4)])
    assert (group["status"], group["error"]["code"], group["row"], group["answer"]) == (
        "error",
        "worker_crash",
        3,
        None,
    )
    assert group["passages"] == 2


def test_without_a_trained_null_the_raw_score_chooses():
    rows = []
    for number, (score, raw) in enumerate([(0.9, 4.0), (0.3, 6.0)]):
        span = Span("x", 0, 1, score, raw)
        rows.append(answered(Row(number, "q", "c", group="g"), Answer((span,), 0.0, score), Options()))
    (group,) = reduced(rows)
    assert (group["row"], group["margin"]) == (1, None)
    total = math.exp(4) / 0.9 + math.exp(6) / 0.3
    assert group["score"] == pytest.approx(math.exp(6) / total, abs=1e-6)


def test_the_references_of_all_rows_of_a_group_are_right():
    rows = [
        passage(0, [3.0], answers=["Ada"], passthrough={"right": []}),
        passage(1, [1.0], answers=["Bob"], passthrough={"right": ["Ada", "Lovelace"]}),
        passage(2, [1.0], group="h", answers=["Bob"], passthrough={"right": ["Ada"]}),
        passage(3, [1.0], group="i", answers=["Bob"], passthrough={"right": None}),
    ]
    sums = GroupSums()
    found = [
        json.loads(line)
        for block in groups(lines(rows), manifest(answers_column="right", answers_form="lists"), sums)
        for line in block.splitlines()
    ]
    assert [(each.get("exact_match"), each.get("f1")) for each in found] == [(1.0, 1.0), (0.0, 0.0), (None, None)]
    assert list(found[0])[-1] == "passthrough"
    summary = evaluation.summary([sums.evaluation])
    assert summary is not None
    assert (summary["rows"], summary["exact_match"]) == (2, 50.0)


@pytest.mark.parametrize("file_rows", [5, 1 << 20])
def test_scattered_groups_give_the_lines_of_consecutive_ones(file_rows: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reduce, "_FILE_ROWS", file_rows)
    chance = random.Random(3)
    names = [f"{chance.randrange(40)}" for _ in range(200)]
    rows = [
        error(n, group=name) if chance.random() < 0.2 else passage(n, [chance.uniform(-5, 5)], group=name)
        for n, name in enumerate(names)
    ]
    rows[7] = error(7, "missing_field", None)  # belongs to no group
    by_name: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if row.get("group") is not None:
            by_name.setdefault(row["group"], []).append(row)
    together = [row for members in by_name.values() for row in members]
    found = reduced(rows, manifest(rows=200, scattered=True))
    assert found == reduced(together)
    assert [each["group"] for each in found] == list(by_name)


def test_groups_are_published_before_the_report_counted_and_verified(settings: Settings):
    storage = MemoryStorage()
    job, rows = grouped_job(storage, settings)
    pending = records.status(storage, None, job.id)
    assert pending.groups == Counts(3, pending=3)
    assert assemble.publish(StoredJob.open(storage, job.id)) == []
    report = records.status(storage, None, job.id)
    assert report.groups == Counts(3, answered=1, no_answer=1, failed=1)
    assert list(report.outputs) == ["predictions", "groups", "errors"]
    published = [json.loads(line) for line in document.read(storage.blocks(layout.groups(job.id)))]
    assert published == reduced(rows, job)
    assert json.loads(storage.read(layout.groups(job.id))) == {"groups": published}
    assert verify_job(storage, job.id).problems == ()


def test_a_writer_that_finds_the_groups_published_counts_them_all_the_same(settings: Settings):
    storage = MemoryStorage()
    job, _ = grouped_job(storage, settings)
    stored = StoredJob.open(storage, job.id)
    assert assemble.publish(stored) == []
    first = records.status(storage, None, job.id)
    storage.delete(layout.report(job.id))
    assert assemble.publish(stored) == []
    again = records.status(storage, None, job.id)
    assert (again.groups, again.outputs) == (first.groups, first.outputs)


def test_groups_that_were_altered_are_a_problem(settings: Settings):
    storage = MemoryStorage()
    job, _ = grouped_job(storage, settings)
    assert assemble.publish(StoredJob.open(storage, job.id)) == []
    data = storage.read(layout.groups(job.id))
    storage.replace(layout.groups(job.id), data.replace(b'"answered"', b'"no_answer"'))
    assert any("groups.json was altered" in problem for problem in verify_job(storage, job.id).problems)
    report = json.loads(storage.read(layout.report(job.id)))
    report["outputs"]["groups"] |= {"sha256": "0" * 64}
    storage.replace(layout.report(job.id), json.dumps(report).encode())
    assert any("differ from those of the predictions" in problem for problem in verify_job(storage, job.id).problems)


@pytest.fixture
def settings() -> Settings:
    return Settings(chunk_rows=2)


def grouped_job(storage: MemoryStorage, settings: Settings) -> tuple[Manifest, list[dict[str, Any]]]:
    """A job of three scattered groups that has all its parts."""
    job = job_of(storage, settings, rows=8)
    job = replace(job, groups=Groups("column", 3, scattered=True, column="topic"))
    storage.replace(layout.manifest(job.id), codec.dump(job))
    rows = [
        passage(0, [1.0]), passage(1, [-1.0], group="h"), error(2), passage(3, [2.0]),
        error(4, group="i"), error(5, group="i"), passage(6, [-2.0], group="h"), passage(7, [0.5]),
    ]  # fmt: skip
    for row, submitted in zip(rows, all_rows(storage, job), strict=True):
        row |= {"question": submitted.question, "id": submitted.id}
        if row["status"] == "answered":
            row |= {"answer": (submitted.context or "")[:4], "start": 0, "end": 4}
    for number in range(job.chunks):
        data, _ = part.encode(rows[2 * number : 2 * number + 2], job=job.id, chunk=number)
        storage.create(layout.part(job.id, number), data)
    return job, rows


def all_rows(storage: MemoryStorage, job: Manifest) -> list[Row]:
    stored = StoredJob.open(storage, job.id)
    return [row for number in range(job.chunks) for row in stored.rows(number)]
