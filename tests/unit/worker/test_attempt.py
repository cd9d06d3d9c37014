"""A row in quarantine, scored in a process of its own: what the end of that process proves."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from contract.format import layout
from contract.format.job import Answer, Options, Row, RowError
from contract.ledger.quarantine import InFlight
from contract.storage.local import LocalStorage
from tests import REPO
from worker.attempt import Attempt, score_apart
from worker.reader.open import open_reader
from worker.scoring import Drained, Watch

MODEL = REPO / "models" / "minilm-l6-qa"
POISON = str(REPO / "tests" / "acceptance" / "poison")
JOB = "20260101-000000-00000000"
QUESTION, CONTEXT = "When was the mill built?", "The mill at Vessby was built in 1731 from oak."
GOOD = Row(0, QUESTION, CONTEXT)


@pytest.mark.slow
def test_a_row_that_harms_nobody_has_its_answer() -> None:
    outcome = score_apart(GOOD, Options(), MODEL, Watch())
    assert isinstance(outcome, Answer)
    assert outcome.spans[0].answer == "1731"
    assert outcome == open_reader(MODEL).answer(QUESTION, CONTEXT, Options()), "all of its fields"


@pytest.mark.slow
def test_a_row_that_cannot_be_scored_has_the_error_it_always_has() -> None:
    outcome = score_apart(Row(0, "\x01\x02", GOOD.context), Options(), MODEL, Watch())
    assert isinstance(outcome, RowError)
    assert outcome.code == "empty_question"


def test_a_process_that_dies_before_it_scores_the_row_proves_nothing(tmp_path: Path) -> None:
    assert score_apart(GOOD, Options(), tmp_path / "no-model", Watch()) is None


@pytest.mark.slow
@pytest.mark.parametrize("how", ["abort", "exit", "hang"])
def test_a_row_that_kills_its_process_is_reported(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", POISON)
    monkeypatch.setenv("POISON", how)
    monkeypatch.setenv("BULKQA_STALL", "15" if how == "hang" else "120")  # more than a busy machine takes to start it
    outcome = score_apart(dataclasses.replace(GOOD, question="POISON?"), Options(), MODEL, Watch())
    assert isinstance(outcome, str)


def test_a_stop_ends_the_quarantine() -> None:
    with pytest.raises(Drained):
        score_apart(GOOD, Options(), MODEL, Watch(stop=lambda: "drain"))


def suspected(storage: LocalStorage, *rows: int) -> Attempt:
    """The second attempt at a chunk, after the first died with these rows in flight."""
    first = Attempt(storage, JOB, 0, "w")
    storage.replace(layout.in_flight(JOB, 0, first.number), InFlight(rows).to_bytes())
    return Attempt(storage, JOB, 0, "w")


def test_without_another_process_a_suspect_is_scored_in_this_one(tmp_path: Path, local_storage: LocalStorage) -> None:
    scored: list[int] = []
    answer = Answer((), 0.0, 0.5)

    def here(row: Row) -> Answer:
        scored.append(row.row)
        return answer

    rows = [GOOD, Row(1, "Who?", "Nobody.")]
    attempt = suspected(local_storage, 0)
    assert attempt.quarantine(rows, Options(), tmp_path / "no-model", Watch(), here) == {0: answer}
    assert scored == [0]
    assert attempt.poison == set()


@pytest.mark.slow
def test_an_outcome_holds_for_all_rows_with_the_same_text(
    local_storage: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise each of them would kill a worker."""
    monkeypatch.setenv("PYTHONPATH", POISON)
    monkeypatch.setenv("POISON", "abort")
    poison = dataclasses.replace(GOOD, question="POISON?")
    rows = [dataclasses.replace(poison, row=n) for n in range(3)] + [dataclasses.replace(GOOD, row=3)]
    attempt = suspected(local_storage, 0)
    outcomes = attempt.quarantine(rows, Options(), MODEL, Watch(), lambda row: Answer((), 0.0, 0.5))
    assert {row: outcome.code for row, outcome in outcomes.items()} == dict.fromkeys(range(3), "worker_crash")
    assert attempt.poison == {0}
