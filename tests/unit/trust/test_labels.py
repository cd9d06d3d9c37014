"""A sample of answers, the file that people fill in, and the file that comes back."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pytest

from contract.errors import InputError, UsageError
from producer.results.pages import cut
from producer.trust import labels
from producer.trust.judge import of_file
from producer.trust.sample import AROUND, Sample, answers, draw
from producer.trust.verdicts import Verdict


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
ROWS[4] = {"row": 4, "id": None, "status": "error", "question": "q4?", "context": "c", "answer": None,
           "error": {"code": "parse_error", "message": "m"}}  # fmt: skip


def test_a_sample_is_drawn_from_the_top_the_same_for_a_seed_and_grows():
    found = answers(lines(ROWS))
    assert (found.total, len(found.rows)) == (1000, 998)
    sample = draw(found, 100, 0.9, seed=1)
    drawn = sample.rows
    assert len(set(drawn)) == 100
    assert (sample.pool, sample.floor) == (157, 0.842), "beyond, the mean score of all above is less than 0.92"
    assert max(drawn) <= 158
    assert draw(found, 100, 0.9, seed=1) == sample
    assert draw(found, 150, 0.9, seed=1).rows[:100] == drawn
    assert draw(found, 100, 0.9, seed=2).rows != drawn
    assert sorted(draw(found, 2000, 0.9, seed=1).rows) == found.rows.tolist(), "all there are"
    assert draw(answers([]), 5, 0.9, seed=1) == Sample([], None, 0)


def test_every_row_of_the_pool_is_as_likely_as_another():
    found = answers(lines(ROWS))
    times = np.zeros(159)
    for seed in range(400):
        times[draw(found, 40, 0.9, seed=seed).rows] += 1
    assert np.delete(times, (3, 4)).min() > 60, "of 157 rows 40 are drawn, 400 times"
    assert times.max() < 140


def test_of_a_document_or_group_one_row_is_drawn_unless_all_are_wanted():
    rows = [prediction(row, document=f"d{row // 5}.pdf") for row in range(1000)]
    drawn = draw(answers(lines(rows)), 150, 0.5, seed=1).rows
    assert len({row // 5 for row in drawn}) == len(drawn) == 150
    assert len({row // 5 for row in draw(answers(lines(rows)), 150, 0.5, seed=1, one_of_each=False).rows}) < 150


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_a_file_is_written_filled_in_and_read(kind: str, tmp_path: Path):
    file = tmp_path / f"labels.{kind}"
    labels.write(file, [cut(ROWS[row], AROUND) for row in (9, 2, 7, 5)])
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
    assert [(each.row, each.verdict, each.correct) for each in found] == [
        (9, "right", ""),
        (2, "wrong", ""),
        (7, "right", ""),
    ]
    assert {each.floor for each in found} == {math.nextafter(0.991, 1)}, "just above the lowest that was judged"
    counted, settled = of_file(lines(ROWS), found, "job")
    assert (counted.total, [each.right for each in settled]) == (1000, [False, True, True])


def test_whatever_a_spreadsheet_does_to_a_file_it_is_read(tmp_path: Path):
    """Numbers with a point, scores with a comma, cells that are trimmed or empty, other line ends, an index column."""
    text = (
        "\ufeffrow;id;question;answer;excerpt;score;verdict;correct_answer;note;\r\n"
        "9.0;;q9?;Grün 9;x;0,991; RIGHT ;;;\r\n"
        "2;;;  Grün   2 ;;0,998;1;;fine;\r\n"
        "7;;;;;;FALSCH;Blau;;\r\n"
        "5;;;Grün 5;;0,995;?;;;\r\n"
        "6;;;Grün 6;;0,994;no answer;;;\r\n"
        "8;;;Grün 8;;0,2;;;;\r\n"
        ";;;;;;;;;\r\n"
    )
    (tmp_path / "l.csv").write_bytes(text.encode())
    found = labels.read(str(tmp_path / "l.csv"))
    assert [(each.row, each.verdict) for each in found] == [
        (9, "right"), (2, "right"), (7, "wrong"), (5, "skipped"), (6, "no_answer"),
    ]  # fmt: skip
    assert [each.correct for each in found] == ["", "", "Blau", "", ""]
    assert {each.floor for each in found} == {math.nextafter(0.991, 1)}, "no verdict is on the one of 0.2"
    _, settled = of_file(lines(ROWS), found, "job")
    assert sum(each.right for each in settled) == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("row,answer,verdict\n1,x,perhaps\n", "line 2 of the labels: the verdict 'perhaps' is neither right nor wrong"),
        ("row,answer,verdict\nx,x,right\n", "'x' is not a row number"),
        ("row,answer,verdict\n1,x,\n", "no row has a verdict"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_place(text: str, words: str, tmp_path: Path):
    (tmp_path / "l.csv").write_text(text)
    with pytest.raises(UsageError, match=words):
        labels.read(str(tmp_path / "l.csv"))


def test_a_file_without_verdicts_is_refused(tmp_path: Path):
    (tmp_path / "l.csv").write_text("row,answer\n1,x\n")
    with pytest.raises(InputError, match="no column 'verdict'") as refused:
        labels.read(str(tmp_path / "l.csv"))
    assert str(refused.value.remedy) == "Leave the header as it was written, and fill in its rows."


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        (Verdict(5, "right", answer="other"), "on the answer 'other', and job JOB has 'Grün 5' there"),
        (Verdict(3, "right", answer="x"), "has none there"),
        (Verdict(1000, "right"), "a verdict on row 1000, and the 1,000 rows of job JOB count from 0"),
        (Verdict(4, "right"), r"row 4 failed \(parse_error\)"),
    ],
)
def test_labels_of_another_job_are_refused(verdict: Verdict, words: str):
    with pytest.raises(UsageError, match=words) as refused:
        of_file(lines(ROWS), [Verdict(1, "right", answer="Grün 1"), verdict], "JOB")
    assert verdict.row == 4 or "producer sample JOB" in str(refused.value)
