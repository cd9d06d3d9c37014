"""References as they stand in files, rows judged by them, and the quality of a job from the sums of its parts."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from contract import evaluation
from contract.errors import InputError
from contract.evaluation import judge, references, summary
from contract.format import codec, layout, part
from contract.format.job import Answer, Options, Row, RowError, Span, answered, failed
from contract.ledger import records
from contract.ledger.progress import Progress
from contract.ledger.reconcile import reconcile
from contract.ledger.stored import StoredJob
from contract.settings import Settings
from producer.input.options import ReadOptions
from tests.making import finish_parts, job_of
from tests.twins.queue import MemoryQueue
from tests.twins.storage import MemoryStorage


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (["Paris", "in Paris"], ("Paris", "in Paris")),
        ([], ()),
        ('["Paris", "in Paris"]', ("Paris", "in Paris")),
        (" []", ()),
        ("Paris", ("Paris",)),
        ("[sic] Paris", ("[sic] Paris",)),
        ("[1, 2]", ("[1, 2]",)),
        ('{"text": ["x"], "answer_start": [3]}', ("x",)),
        ({"text": ["x", "y"], "answer_start": [3, 4]}, ("x", "y")),
        ([{"text": "x", "answer_start": 3}], ("x",)),
        (1874, ("1874",)),
        (None, None),
        ("", None),
        ("  ", None),
        (True, None),
        ({"other": 1}, None),
        ([1, 2], None),
        ([None], None),
        ("[" * 100_000, ("[" * 100_000,)),
        ('{"text": ' * 64 + "[]" + "}" * 64, ('{"text": ' * 64 + "[]" + "}" * 64,)),
        ('{"text": ' * 900 + "1" + "}" * 900, ('{"text": ' * 900 + "1" + "}" * 900,)),
    ],
)
def test_references_are_understood_as_they_stand_in_files(value: Any, expected: tuple[str, ...] | None) -> None:
    assert references(value) == expected


@pytest.mark.parametrize("text", ["Paris", '["Paris", "in Paris"]', "('The Beatles')", "[sic"])
def test_in_a_column_of_single_answers_every_text_is_one(text: str) -> None:
    assert references(text, "text") == (text,)
    assert references(" ", "text") is None
    assert references(["Paris"], "text") == ("Paris",)


def test_references_are_looked_for_at_any_depth() -> None:
    value: Any = ["x"]
    for _ in range(5000):
        value = {"text": value}
    assert references(value) == ("x",)


def row(number: int, answers: Any) -> Row:
    return Row(number, "q", "c", passthrough={"gold": answers, "other": 1})


def said(text: str, score: float) -> Answer:
    return Answer((Span(text, 0, len(text), score, 1.0),) if text else (), 0.0, score)


def judged(*pairs: tuple[Any, Answer | RowError]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    rows = [row(n, gold) for n, (gold, _) in enumerate(pairs)]
    outcomes = [
        failed(r, o, Options()) if isinstance(o, RowError) else answered(r, o, Options())
        for r, (_, o) in zip(rows, pairs, strict=True)
    ]
    predictions, sums = judge(outcomes, rows, "gold")
    assert sums is not None
    return predictions, sums


def test_a_row_is_judged_where_it_has_references() -> None:
    predictions, _ = judged((["Eiffel tower"], said("the Eiffel", 0.5)), (None, said("x", 0.5)), ([], said("", 0.9)))
    assert [(p.get("exact_match"), p.get("f1")) for p in predictions] == [
        (0.0, pytest.approx(2 / 3, abs=1e-6)),
        (None, None),
        (1.0, 1.0),
    ]
    assert all(list(p)[-1] == "passthrough" for p in predictions)


def test_a_row_that_failed_is_worth_nothing_and_one_that_was_cancelled_is_not_judged() -> None:
    predictions, sums = judged(([], RowError("inference_error", "x")), (["a"], RowError("job_cancelled", "x")))
    assert [p.get("exact_match") for p in predictions] == [0.0, None]
    found = summary([sums])
    assert found is not None
    assert (found["rows"], found["failed"], found["no_answer_accuracy"]) == (1, 1, 0.0)
    assert all(each["count"] == 0 for each in found["bins"])


def test_the_quality_of_a_job_is_that_of_its_parts_together() -> None:
    pairs = [
        (["a b"], said("a b", 0.95)),
        (["b c"], said("b", 1.0)),
        (["x"], said("y", 0.05)),
        ([], said("", 0.9)),
        ([], said("z", 0.0)),
    ]
    together = summary([judged(*pairs)[1]])
    assert together == summary([judged(*pairs[:2])[1], None, judged(*pairs[2:])[1]])
    assert together is not None
    bins = together.pop("bins")
    assert together == {
        "rows": 5, "failed": 0, "exact_match": 40.0, "f1": 53.33, "unanswerable": 2, "no_answer_accuracy": 50.0,
        "answerable_exact_match": 33.33, "answerable_f1": 55.56,
    }  # fmt: skip
    assert [each["count"] for each in bins] == [2, 0, 0, 0, 0, 0, 0, 0, 0, 3]
    assert bins[9] == {"from": 0.9, "to": 1.0, "count": 3, "mean_score": 0.95, "exact_match": 0.6667}
    assert bins[1] == {"from": 0.1, "to": 0.2, "count": 0, "mean_score": None, "exact_match": None}


def test_without_references_there_is_no_quality() -> None:
    assert judge([], [], None) == ([], None)
    assert summary([]) is None
    assert summary([judged((None, said("x", 0.5)))[1], None]) is None


def test_a_footer_with_sums_is_found_at_the_end_of_its_part() -> None:
    _, sums = judged(*[(["a b c"], said("a b", n / 997)) for n in range(997)])
    data, footer = part.encode([], evaluation=sums)
    assert part.footer(data[-part.FOOTER_BYTES :]) == footer
    assert len(data) < part.FOOTER_BYTES / 2


CSV = b"id|question|context|gold\n1|q|c|a\n2|q|c|[]\n3|q|c|\n"


def test_a_job_says_how_well_it_was_answered_while_it_runs_and_in_its_report(settings: Settings) -> None:
    storage, queue = MemoryStorage(), MemoryQueue()
    manifest = job_of(storage, settings, CSV, read=ReadOptions(answers="gold"))
    assert manifest.answers_column == "gold"
    StoredJob.open(storage, manifest.id).fail(0, RowError("worker_crash", "x"), 2)
    running = records.status(storage, queue, manifest.id)
    assert running.evaluation is not None
    assert (running.evaluation["rows"], running.evaluation["failed"]) == (2, 2)
    reconcile(manifest.id, storage, queue, settings)
    report = json.loads(storage.read(layout.report(manifest.id)))
    assert report["evaluation"] == running.evaluation


def test_a_report_from_before_there_was_quality_is_read(settings: Settings) -> None:
    storage, queue = MemoryStorage(), MemoryQueue()
    manifest = job_of(storage, settings)
    finish_parts(storage, manifest)
    data = codec.values(records.status(storage, queue, manifest.id))
    del data["evaluation"]
    assert codec.parse(Progress, data).evaluation is None
    assert manifest.answers_column is None


def test_what_texts_of_the_column_are_is_settled_when_the_job_is_submitted(settings: Settings) -> None:
    storage, queue = MemoryStorage(), MemoryQueue()
    lines = [{"question": "q", "context": "c", "answers": answer} for answer in ("c", "('c')")]
    manifest = job_of(storage, settings, "\n".join(map(json.dumps, lines)).encode())
    assert manifest.answers_form == "text"
    StoredJob.open(storage, manifest.id).fail(0, RowError("worker_crash", "x"), 2)
    evaluated = records.status(storage, queue, manifest.id).evaluation
    assert evaluated is not None
    assert evaluated["rows"] == 2
    assert job_of(storage, settings, CSV, read=ReadOptions(answers="gold")).answers_form == "lists"
    assert job_of(storage, settings, CSV).answers_form == ""


def test_the_column_is_the_usual_one_unless_another_or_none_is_named(settings: Settings) -> None:
    storage = MemoryStorage()
    usual = CSV.replace(b"gold", b"answers")
    assert job_of(storage, settings, usual).answers_column == "answers"
    assert job_of(storage, settings, usual, read=ReadOptions(answers="")).answers_column is None
    with pytest.raises(InputError, match=re.escape("no column 'answers'")):
        job_of(storage, settings, CSV, read=ReadOptions(answers="answers"))


def test_bins_cover_every_score() -> None:
    assert evaluation.BINS == 10
    _, sums = judged(*[(["a"], said("a", n / 1000)) for n in range(1001)])
    assert [count for count, _, _ in sums["bins"]] == [100] * 9 + [101]
