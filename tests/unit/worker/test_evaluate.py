"""SQuAD: scores by the rules of the official scripts, and its file format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from contract.errors import InputError
from contract.format.job import Answer, Options, Span
from contract.squad import exact_match, f1, normalize
from worker.evaluate import Example, evaluate, load_squad, score
from worker.reader.decode import RowFailure


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("The  Eiffel Tower!", "eiffel tower"),
        ("an apple a day", "apple day"),
        ("theatre Anna", "theatre anna"),  # articles are whole words
        ("U.S.", "us"),
        ("well-known", "wellknown"),
        ("the-end", "theend"),  # punctuation goes before articles
        ("1,000\tkm\u00a0wide", "1000 km wide"),
        ("\u201cquoted\u201d", "\u201cquoted\u201d"),  # the official script strips ASCII punctuation only
        ("The", ""),
    ],
)
def test_normalization_is_squads(text: str, normal: str) -> None:
    assert normalize(text) == normal


@pytest.mark.parametrize(
    ("predicted", "references", "em", "overlap"),
    [
        ("the Eiffel Tower", ["Eiffel tower."], 1, 1),
        ("Eiffel", ["Eiffel Tower"], 0, 2 / 3),
        ("big red dog", ["red dog", "cat"], 0, 0.8),
        ("cat", ["red dog", "a cat"], 1, 1),
        ("x x y", ["x y y"], 0, 2 / 3),  # words count as often as both have them
        ("Paris", ["London"], 0, 0),
        ("", ["London"], 0, 0),
        ("", [], 1, 1),
        ("Paris", [], 0, 0),
        ("", ["the"], 1, 1),
        ("", ["the", "x"], 0, 0),
        ("the", [], 1, 1),
    ],
)
def test_exact_match_and_f1(predicted: str, references: list[str], em: float, overlap: float) -> None:
    assert exact_match(predicted, references) == em
    assert f1(predicted, references) == pytest.approx(overlap)


def examples(*references: tuple[str, ...]) -> list[Example]:
    return [Example(str(i), f"q{i}", "c", answers) for i, answers in enumerate(references)]


def test_means_are_over_all_rows_in_percent() -> None:
    got = score(examples(("a b",), ("b c",), ("x",), ("d",)), ["a b", "b", "y", None])
    assert got == {"rows": 4, "failed": 1, "exact_match": 25.0, "f1": pytest.approx((100 + 200 / 3) / 4)}


def test_unanswerable_questions_are_right_when_nothing_is_answered() -> None:
    got = score(examples(("x",), ("y",), (), (), ()), ["x", "", "", "z", None])
    assert got["unanswerable"] == 3
    assert got["no_answer_accuracy"] == pytest.approx(100 / 3)  # a failed row is wrong here too
    assert got["answerable_exact_match"] == 50.0
    assert got["answerable_f1"] == 50.0
    assert got["exact_match"] == 40.0


def test_only_unanswerable_questions_are_scored_too() -> None:
    assert score(examples((), ()), ["", "z"])["exact_match"] == 50.0


class Fake:
    """Answers the last word of the question; fails on "broken", has no answer to "nothing"."""

    def __init__(self) -> None:
        self.options: list[Options] = []

    def answer(self, question: str, context: str, options: Options) -> Answer:
        self.options.append(options)
        word = question.split()[-1]
        if word == "broken":
            raise RowFailure("inference_error", "on request")
        if word == "nothing":
            return Answer((), 1.0, 0.9)
        return Answer((Span(word, 0, len(word), 0.5, 3.0),), 0.0, 0.5)


@pytest.mark.parametrize("threads", [1, 3])
def test_evaluate_answers_every_row_in_order_and_reports_its_progress(threads: int) -> None:
    rows = [
        Example("a", "say yes", "c", ("yes",)),
        Example("b", "say broken", "c", ("yes",)),
        Example("c", "say nothing", "c", ()),
        Example("d", "say no", "c", ("maybe",)),
    ]
    fake, progress = Fake(), []
    options = Options(max_answer_len=7)
    got = evaluate(fake, rows, options, threads, lambda done, total: progress.append((done, total)))
    assert (got["rows"], got["failed"], got["exact_match"], got["no_answer_accuracy"]) == (4, 1, 50.0, 100.0)
    assert progress == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert fake.options == [options] * 4
    assert got["rows_per_second"] == pytest.approx(4 / got["seconds"])
    json.dumps(got, allow_nan=False)


def test_a_failure_that_is_not_a_rows_ends_the_evaluation() -> None:
    class Broken:
        def answer(self, question: str, context: str, options: Options) -> Answer:
            raise MemoryError

    with pytest.raises(MemoryError):
        evaluate(Broken(), examples(("x",)), Options())


def squad(tmp_path: Path, data: Any) -> Path:
    path = tmp_path / "squad.json"
    path.write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
    return path


def paragraph(**qa: Any) -> dict[str, Any]:
    return {"data": [{"paragraphs": [{"context": "c", "qas": [{"id": 7, "question": "q", **qa}]}]}]}


def test_squad_1_and_2_are_read(tmp_path: Path) -> None:
    answers = [{"text": "x", "answer_start": 0}, {"text": "y", "answer_start": 1}]
    assert load_squad(squad(tmp_path, paragraph(answers=answers))) == [Example("7", "q", "c", ("x", "y"))]
    assert load_squad(squad(tmp_path, paragraph(answers=[], is_impossible=True))) == [Example("7", "q", "c", ())]
    plausible = paragraph(answers=answers, is_impossible=True)  # some files keep the tempting wrong answers here
    assert load_squad(squad(tmp_path, plausible)) == [Example("7", "q", "c", ())]


def test_a_file_is_read_as_the_producer_reads_it(tmp_path: Path) -> None:
    """References as plain texts, `qid` for `id`, as in MRQA; a paragraph without questions."""
    document = paragraph(answers=["x"])
    document["data"][0]["paragraphs"][0]["qas"][0]["qid"] = document["data"][0]["paragraphs"][0]["qas"][0].pop("id")
    document["data"] += [{"paragraphs": []}, {"paragraphs": [{"context": "c", "qas": []}]}]
    assert load_squad(squad(tmp_path, document)) == [Example("7", "q", "c", ("x",))]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "unsupported_format"),
        (b"question|context\n", "unsupported_format"),
        (b"\xff\xfe", "bad_encoding"),
        ([1, 2], "unsupported_format"),
        ({"rows": []}, "unsupported_format"),
        ({"data": {"paragraphs": 1}}, "unsupported_format"),
        ({"data": [{"paragraphs": [{"qas": [{"id": 1}]}]}]}, "unsupported_format"),
        (paragraph(), "unsupported_format"),
        (paragraph(answers=[{"text": 3}]), "unsupported_format"),
        (paragraph(answers=None), "unsupported_format"),
        ({"data": []}, "empty_file"),
    ],
)
def test_a_file_of_another_format_is_an_input_error(tmp_path: Path, data: Any, code: str) -> None:
    with pytest.raises(InputError) as error:
        load_squad(squad(tmp_path, data))
    assert error.value.code == code
    assert "squad.json" in error.value.message


def test_a_missing_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        load_squad(tmp_path / "none.json")
    assert error.value.code == "unreadable"
