"""A sample of answers, the file that people fill in, and the file that comes back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pytest

from contract.errors import InputError, UsageError
from producer.trust import judge, labels
from producer.trust.labels import Label
from producer.trust.sample import answers, details, draw


def prediction(row: int, **more: Any) -> dict[str, Any]:
    score = round(1 - row / 1000, 6)
    answer = f"Grün {row}"
    return {
        "row": row, "id": f"id{row}", "status": "answered", "question": f"q{row}?", "context": f"{'x' * 200} {answer}",
        "answer": answer, "start": 201, "end": 201 + len(answer), "score": score, "passthrough": {},
    } | more  # fmt: skip


def lines(predictions: list[dict[str, Any]]) -> list[bytes]:
    return [b"".join(json.dumps(each).encode() + b"\n" for each in predictions[n : n + 7]) for n in range(0, 1000, 7)]


ROWS = [prediction(row) for row in range(1000)]
ROWS[3] = {"row": 3, "id": None, "status": "no_answer", "question": "q3?", "context": "c", "answer": "", "score": 0.9}
ROWS[4] = {"row": 4, "id": None, "status": "error", "question": "q4?", "context": "c", "answer": None}


def test_a_sample_is_drawn_from_the_top_the_same_for_a_seed_and_grows():
    found = answers(lines(ROWS))
    assert (found.total, len(found.rows)) == (1000, 998)
    drawn = draw(found, 100, 0.9, seed=1)
    assert len(set(drawn)) == 100
    assert max(drawn) < 162, "beyond, the mean score of all above is less than 0.92"
    assert draw(found, 100, 0.9, seed=1) == drawn == draw(found, 150, 0.9, seed=1)[:100]
    assert draw(found, 100, 0.9, seed=2) != drawn
    assert sorted(draw(found, 2000, 0.9, seed=1)) == sorted(found.rows), "all there are"
    assert 60 < np.mean(drawn) < 100, "uniformly"


def test_of_a_document_or_group_one_row_is_drawn_unless_all_are_wanted():
    rows = [prediction(row, document=f"d{row // 5}.pdf") for row in range(1000)]
    drawn = draw(answers(lines(rows)), 150, 0.5, seed=1)
    assert len({row // 5 for row in drawn}) == len(drawn) == 150
    assert len({row // 5 for row in draw(answers(lines(rows)), 150, 0.5, seed=1, one_of_each=False)}) < 150


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_a_file_is_written_filled_in_and_read(kind: str, tmp_path: Path):
    file = tmp_path / f"labels.{kind}"
    labels.write(file, details(lines(ROWS), [9, 2, 7, 5]))
    with pytest.raises(UsageError, match="may have been filled in"):
        labels.write(file, [])
    if kind == "csv":
        data = file.read_bytes()
        assert data.startswith(
            b"\xef\xbb\xbfrow,id,question,answer,excerpt,score,verdict,correct_answer,note\n9,id9,q9?,"
        )
        head, *body = data.decode("utf-8-sig").splitlines()
        filled = [
            body[0].replace(",,,", ",right,,"),
            body[1].replace(",,,", ",W,,why"),
            body[2].replace(",,,", ',,"grün, 7",'),
            body[3],
        ]
        # As Excel in Germany saves it.
        text = "\n".join([head, *filled]).replace(",", ";").replace('"grün; 7"', "grün 7")
        file.write_bytes(text.encode("cp1252"))
    else:
        book = openpyxl.load_workbook(file)
        sheet = book.worksheets[0]
        assert sheet["D2"].value == "Grün 9"
        sheet["G2"], sheet["G3"], sheet["H4"] = "right", "W", "grün 7"
        book.save(file)
    found = labels.read(str(file))
    assert [(label.row, label.right) for label in found] == [(9, True), (2, False), (7, True)]
    if kind == "xlsx":
        counted, judged = judge.by_people(lines(ROWS), found, "job")
        assert (counted.total, [each.right for each in judged]) == (1000, [False, True, True])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("row,answer,verdict\n1,x,perhaps\n", "line 2 of the labels: the verdict 'perhaps' is neither right nor wrong"),
        ("row,answer,verdict\nx,x,right\n", "'x' is not the number of a row"),
        ("row,answer,verdict\n1,x,\n", "no row has a verdict"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_place(text: str, words: str, tmp_path: Path):
    (tmp_path / "l.csv").write_text(text)
    with pytest.raises(UsageError, match=words):
        labels.read(str(tmp_path / "l.csv"))


def test_a_file_without_verdicts_is_refused(tmp_path: Path):
    (tmp_path / "l.csv").write_text("row,answer\n1,x\n")
    with pytest.raises(InputError, match="no column 'verdict'"):
        labels.read(str(tmp_path / "l.csv"))


@pytest.mark.parametrize(
    ("label", "words"),
    [
        (Label(5, "other", right=True), "has 'Grün 5' there"),
        (Label(3, None, right=True), "has none there"),
        (Label(1000, None, right=True), "1,000 rows that are ready"),
    ],
)
def test_labels_of_another_job_are_refused(label: Label, words: str):
    with pytest.raises(UsageError, match=words) as refused:
        judge.by_people(lines(ROWS), [Label(1, "Grün 1", right=True), label], "JOB")
    assert "producer sample JOB" in str(refused.value)


def test_reference_answers_are_verdicts_and_without_any_a_sample_is_the_remedy():
    rows = [prediction(row, exact_match=float(row % 2)) for row in range(100)]
    _, judged = judge.by_references(lines(rows), "JOB")
    assert (len(judged), sum(each.right for each in judged)) == (100, 50)
    with pytest.raises(UsageError, match="no answer of job JOB was judged"):
        judge.by_references(lines(ROWS), "JOB")
