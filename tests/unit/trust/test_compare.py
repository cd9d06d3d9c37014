"""Two jobs judged blind: what is drawn and shown, and what the verdicts say."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contract.errors import UsageError
from producer.jobs.diff import _change
from producer.jobs.diff_document import Summary
from producer.results.pages import cut
from producer.trust import compare
from producer.trust.sample import AROUND

FIRST, SECOND = "20270101-000000-aaaaaaaa", "20270101-000000-bbbbbbbb"
CONTEXT = f"The mill was built in 1731. {'It is quiet here. ' * 40}The bridge was opened in 1888."


def prediction(row: int, answer: str | None) -> dict[str, Any]:
    head = {"row": row, "id": f"id{row}", "question": f"q{row}?", "context": CONTEXT}
    if answer is None:
        return head | {"status": "error", "answer": None, "error": {"code": "inference_error", "message": "x"}}
    start = CONTEXT.rindex(answer) if answer else None
    end = None if start is None else start + len(answer)
    status = "answered" if answer else "no_answer"
    return head | {"status": status, "answer": answer, "start": start, "end": end, "score": 0.5}


#: Row by row: the same, the same words, another answer, no answer, and an error.
ONE = [prediction(row, ("1731", "1731", "1731", "1731", "")[row % 5]) for row in range(500)]
OTHER = [prediction(row, ("1731", "1731.", "1888", "", None)[row % 5]) for row in range(500)]


def changes(summary: Summary | None = None, *, swapped: bool = False) -> Iterator[dict[str, Any]]:
    """As `producer diff` finds them."""
    summary = summary or Summary()
    for one, other in zip(ONE, OTHER, strict=True):
        pair = [dict.fromkeys(("start", "end", "score")) | each for each in (one, other)]
        if change := _change(*(reversed(pair) if swapped else pair), summary):
            yield change


def written(path: Path, rows: list[int]) -> list[dict[str, str]]:
    compare.write(path, {job: [cut(of[row], AROUND) for row in rows] for job, of in ((FIRST, ONE), (SECOND, OTHER))})
    return list(csv.DictReader(path.read_text("utf-8-sig").splitlines()))


def test_rows_of_other_words_are_drawn_the_same_for_a_seed():
    drawn = compare.draw(changes(), 60, 1)
    assert compare.draw(changes(), 100, 1)[:60] == drawn != compare.draw(changes(), 60, 2)
    assert {row % 5 for row in drawn} == {2, 3}, "what a person sees no difference in is not asked"
    assert len(set(compare.draw(changes(), 1000, 1))) == 200
    assert 150 < sum(drawn) / 60 < 350, "from all of the file"


def test_the_file_shows_both_answers_in_their_text_and_not_whose_they_are(tmp_path: Path):
    rows = written(tmp_path / "c.csv", compare.draw(changes(), 200, 1))
    assert {tuple(sorted((row["left"], row["right"]))) for row in rows} == {("1731", "1888"), ("(no answer)", "1731")}
    left = sum(compare.left_of(FIRST, SECOND, int(row["row"])) == FIRST for row in rows)
    assert 70 < left < 130, "either job is on either side"
    assert not any(job in str(row) for row in rows for job in (FIRST, SECOND))
    both = next(row for row in rows if "1888" in (row["left"], row["right"]))
    assert both["excerpt"].startswith("The mill was built in 1731.")
    assert both["excerpt"].endswith("opened in 1888.")
    assert len(both["excerpt"]) < len(CONTEXT)
    (failed,) = written(tmp_path / "f.csv", [4])
    assert {failed["left"], failed["right"]} == {"(no answer)", "(failed: inference_error)"}


def test_verdicts_are_counted_for_the_jobs_whichever_is_named_first(tmp_path: Path):
    file = tmp_path / "c.csv"
    rows = written(file, compare.draw(changes(), 100, 1))
    for number, row in enumerate(rows):
        better = SECOND if number % 4 else FIRST
        side = "left" if compare.left_of(FIRST, SECOND, int(row["row"])) == better else "R"
        row["verdict"] = ("both", "neither")[number % 2] if number < 10 else side if number < 90 else ""
    with file.open("w", newline="") as target:
        writer = csv.DictWriter(target, compare.HEADER, delimiter=";")
        writer.writeheader()
        writer.writerows(rows)
    summary = Summary()
    counts = compare.tally(changes(summary), compare.read(str(file), FIRST, SECOND), FIRST, SECOND)
    found = compare.compared(FIRST, SECOND, summary.comparable, counts)
    assert (found.rows, found.differ, found.judged) == (500, 200, 90)
    assert (found.first_better, found.second_better, found.both, found.neither) == (20, 60, 5, 5)
    assert found.better == SECOND
    assert found.gain == pytest.approx(40 / 90 * 200 / 500, abs=1e-6)
    counts = compare.tally(changes(swapped=True), compare.read(str(file), SECOND, FIRST), SECOND, FIRST)
    assert (counts["first"], counts["second"]) == (60, 20)
    assert compare.compared(SECOND, FIRST, 500, counts).better == SECOND
    with pytest.raises(UsageError, match="line 2 of the verdicts compares two other jobs"):
        compare.read(str(file), FIRST, "20270101-000000-cccccccc")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("row,verdict\n2,better\n", "line 2 of the verdicts: 'better' is not one of left, right, both, neither"),
        ("row,verdict\n2,\n", "no row has a verdict"),
        (
            "row,verdict\n1.000,left\n",
            "'1.000' is not a row number",
        ),  # a spreadsheet writes a thousand like that
        ("row,verdict\ninf,left\n", "line 2 of the labels: 'inf' is not a row number"),
        ("row,verdict\n-1,left\n", "'-1' is not a row number"),
    ],
)
def test_what_is_no_verdict_is_refused_with_its_place(text: str, words: str, tmp_path: Path):
    (tmp_path / "c.csv").write_text(text)
    with pytest.raises(UsageError, match=words):
        compare.read(str(tmp_path / "c.csv"), FIRST, SECOND)


@pytest.mark.parametrize("row", [0, 1, 5000])
def test_a_verdict_on_a_row_that_is_not_asked_is_refused(row: int):
    with pytest.raises(UsageError, match=f"a verdict is on row {row}, which"):
        compare.tally(changes(), {2: "left", row: "left"}, FIRST, SECOND)


@pytest.mark.parametrize(
    ("one", "other", "p"),
    [(0, 0, 1.0), (5, 5, 1.0), (0, 5, 0.0625), (1, 9, 22 / 1024), (9, 1, 22 / 1024), (0, 2000, 0.0)],
)
def test_the_test_is_mcnemars_exact_one(one: int, other: int, p: float):
    assert compare.mcnemar(one, other) == pytest.approx(p)


def test_few_verdicts_do_not_show_which_is_better():
    counts = compare.tally(changes(), dict.fromkeys((2, 7), "both"), FIRST, SECOND)
    assert (compare.compared(FIRST, SECOND, 500, counts).better, counts["both"]) == (None, 2)
