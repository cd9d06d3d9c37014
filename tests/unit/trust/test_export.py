"""What people judged leaves a job and comes back: in the format of SQuAD, and as tasks of Label Studio."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from contract.errors import InputError, UsageError
from contract.format import chunk
from producer.input.open import open_input
from producer.input.options import ReadOptions
from producer.trust.export import labelstudio
from producer.trust.export.labelstudio import read, task
from producer.trust.export.squad import Labelled, squad
from producer.trust.verdicts import Verdict
from worker.evaluate import load_squad

CONTEXT = "🐝 Der Müller 😀 baute 1731 die Mühle,\nund 1888 die Brücke. 1731 war ein gutes Jahr."


def prediction(row: int, answer: str, context: str = CONTEXT, name: str | None = None) -> dict[str, Any]:
    start = context.index(answer) if answer else None
    return {
        "row": row, "id": name, "question": f"Frage {row}?", "status": "answered" if answer else "no_answer",
        "answer": answer, "start": start, "end": None if start is None else start + len(answer), "score": 0.5,
    }  # fmt: skip


def span(text: str, *, last: bool = False) -> dict[str, int]:
    start = CONTEXT.rindex(text) if last else CONTEXT.index(text)
    return {"start": start, "end": start + len(text)}


def test_verdicts_that_say_what_is_right_are_questions_of_squad():
    other = "Another context."
    labelled = [
        Labelled(Verdict(7, "right"), prediction(7, "1731", name="a"), CONTEXT),
        Labelled(Verdict(2, "span", **span("1888")), prediction(2, "1731", name="a"), CONTEXT),
        Labelled(Verdict(3, "no_answer"), prediction(3, "Another", other), other),
        Labelled(Verdict(4, "right"), prediction(4, "", other), other),
        Labelled(Verdict(5, "wrong"), prediction(5, "Another", other), other),
        Labelled(Verdict(6, "wrong", correct="nowhere"), prediction(6, "Another", other), other),
        Labelled(Verdict(8, "skipped"), prediction(8, "Another", other), other),
    ]
    made = squad("rows.csv", labelled)
    assert (made.questions, made.left_out) == (4, 3)
    (article,) = made.document["data"]
    first, second = article["paragraphs"]
    assert (article["title"], first["context"], second["context"]) == ("rows.csv", CONTEXT, other)
    assert [(qa["id"], qa["answers"], qa["is_impossible"]) for qa in first["qas"]] == [
        ("a", [{"text": "1731", "answer_start": 21}], False),
        ("row-2", [{"text": "1888", "answer_start": CONTEXT.index("1888")}], False),
    ], "an id is of one question"
    assert [(qa["id"], qa["answers"], qa["is_impossible"]) for qa in second["qas"]] == [
        ("row-3", [], True),
        ("row-4", [], True),
    ]


def test_the_file_is_read_as_any_of_squad_and_has_its_answers_where_it_says(tmp_path: Path):
    labelled = [
        Labelled(Verdict(1, "right"), prediction(1, "1731", name="a"), CONTEXT),
        Labelled(Verdict(2, "span", **span("1731", last=True)), prediction(2, "1888"), CONTEXT),
        Labelled(Verdict(3, "no_answer"), prediction(3, "1888"), CONTEXT),
    ]
    (tmp_path / "labels.json").write_text(json.dumps(squad("rows.csv", labelled).document), "utf-8")
    examples = load_squad(tmp_path / "labels.json")
    assert [(each.id, each.context, each.answers) for each in examples] == [
        ("a", CONTEXT, ("1731",)),
        ("row-2", CONTEXT, ("1731",)),
        ("row-3", CONTEXT, ()),
    ]
    with open_input(tmp_path / "labels.json", ReadOptions()) as file:
        rows = [row for table in file.tables(100, 1 << 20) for row in chunk.rows(table)]
        assert file.answers_column == "answers"
    assert [(row.id, row.passthrough["answers"]) for row in rows] == [
        ("a", ["1731"]),
        ("row-2", ["1731"]),
        ("row-3", []),
    ]
    (paragraph,) = squad("rows.csv", labelled).document["data"][0]["paragraphs"]
    places = [(answer["answer_start"], answer["text"]) for qa in paragraph["qas"] for answer in qa["answers"]]
    assert places == [(CONTEXT.index("1731"), "1731"), (CONTEXT.rindex("1731"), "1731")]


def annotated(row: int, answer: str, *results: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """A task as Label Studio exports it once it was annotated."""
    made = task(prediction(row, answer), CONTEXT, "m", 0.25, None)
    annotations = [
        {"id": 9, "completed_by": {"id": 3, "email": "ada@example.org"}, "result": result, "was_cancelled": False}
        | {"lead_time": 3.1, "ground_truth": False, "created_at": "2027-01-01T10:00:00.000000Z"}
        | more
        for result in results
    ]
    return made | {"id": 100 + row, "annotations": annotations, "file_upload": "x.json", "drafts": [], "meta": {}}


def marked(start: int, end: int, **more: Any) -> dict[str, Any]:
    value = {"start": start, "end": end, "labels": ["Answer"]} | more
    return {"value": value, "id": "aB3", "from_name": "answer", "to_name": "text", "type": "labels", "origin": "manual"}


def exported(path: Path, tasks: Any) -> list[Verdict]:
    (path / "export.json").write_text(json.dumps(tasks))
    return read(str(path / "export.json"))


def test_a_task_has_its_answer_as_prediction_and_a_verdict_as_annotation():
    made = task(prediction(7, "1731", name="a"), CONTEXT, "minilm abc", 0.25, Verdict(7, "span", **span("1888")))
    assert made["data"] == {
        "row": 7, "id": "a", "question": "Frage 7?", "text": CONTEXT, "predicted": "1731", "score": 0.5, "floor": 0.25,
    }  # fmt: skip
    (predicted,) = made["predictions"]
    assert (predicted["model_version"], predicted["score"]) == ("minilm abc", 0.5)
    (result,) = predicted["result"]
    assert result["value"] == {"start": 21, "end": 25, "text": "1731", "labels": ["Answer"]}
    assert (result["from_name"], result["to_name"], result["type"]) == ("answer", "text", "labels")
    assert f'<Labels name="{result["from_name"]}" toName="{result["to_name"]}">' in labelstudio.INTERFACE
    (annotation,) = made["annotations"]
    assert annotation["result"][0]["value"]["text"] == "1888"
    assert "annotations" not in task(prediction(7, "1731"), CONTEXT, "m", None, Verdict(7, "wrong"))


def test_an_export_is_verdicts(tmp_path: Path):
    (begin, end), (year, after) = ((each["start"], each["end"]) for each in (span("1731"), span("1888")))
    tasks = [
        annotated(1, "1731", [marked(begin, end, text="1731")]),
        annotated(2, "1731", [marked(year, after)], completed_by=3),
        annotated(3, "1731", []),
        annotated(4, "", []),
        annotated(5, "1731", [], was_cancelled=True),
        annotated(6, "1731"),
        annotated(7, "1731", [marked(year, after), marked(begin, end)], [marked(year - 1, after + 1, text=" 1888 ")]),
    ]
    verdicts = exported(tmp_path, tasks)
    ada = {"answer": "1731", "floor": 0.25, "by": "ada@example.org"}
    assert verdicts == [
        Verdict(1, "right", **ada),
        Verdict(2, "span", year, after, **(ada | {"by": "annotator 3"})),
        Verdict(3, "no_answer", **ada),
        Verdict(4, "right", **(ada | {"answer": ""})),
        Verdict(5, "skipped", **ada),
        Verdict(7, "right", **ada),
        Verdict(7, "span", year, after, **ada),
    ]


def test_an_export_as_json_min_is_the_same(tmp_path: Path):
    data = task(prediction(1, "1731"), CONTEXT, "m", None, None)["data"]
    about = {"id": 4, "annotator": "ada@example.org", "annotation_id": 9, "lead_time": 2.0}
    marked_ = [span("1888") | {"text": "1888", "labels": ["Answer"]}]
    verdicts = exported(tmp_path, [data | about | {"answer": marked_}, data | about | {"row": 2}])
    assert [(each.row, each.verdict, each.start, each.by) for each in verdicts] == [
        (1, "span", CONTEXT.index("1888"), "ada@example.org"),
        (2, "no_answer", None, "ada@example.org"),
    ]


@pytest.mark.parametrize(
    ("words", "written"), [("1731", "1731"), ("Mühle,\nund", "Mühle,\\nund"), ("Jahr", "Jahr"), ("1888", "1888")]
)
def test_words_are_found_where_an_old_version_counts_in_utf_16(words: str, written: str, tmp_path: Path):
    place = span(words, last=True)
    units = {name: len(CONTEXT[:value].encode("utf-16-le")) // 2 for name, value in place.items()}
    (verdict,) = exported(tmp_path, [annotated(1, "", [marked(**units, text=written)])])
    assert (verdict.start, verdict.end) == (place["start"], place["end"])


def test_a_task_that_was_accepted_as_it_is_comes_back_as_right(tmp_path: Path):
    """Round trip: Label Studio makes the prediction its annotation, or the annotation of before stays."""
    first = task(prediction(1, "1731"), CONTEXT, "m", None, None)
    first["annotations"] = [{"result": first["predictions"][0]["result"], "completed_by": 1}]
    second = task(prediction(2, "1731"), CONTEXT, "m", None, Verdict(2, "span", **span("1888")))
    third = task(prediction(3, ""), CONTEXT, "m", None, Verdict(3, "right"))
    verdicts = exported(tmp_path, [first, second, third])
    assert [each.verdict for each in verdicts] == ["right", "span", "right"]
    assert CONTEXT[verdicts[1].start : verdicts[1].end] == "1888"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is not JSON"),
        (
            '[{"data": {"text": "x"}, "annotations": [{"result": []}]}]',
            "not an export from Label Studio of tasks made here",
        ),
        ("[3]", "not an export from Label Studio of tasks made here"),
        ('{"data": 3, "annotations": [{"result": []}]}', "not an export from Label Studio of tasks made here"),
    ],
)
def test_what_is_no_export_is_refused(text: str, words: str, tmp_path: Path):
    (tmp_path / "e.json").write_text(text)
    with pytest.raises(InputError, match=words) as refused:
        read(str(tmp_path / "e.json"))
    assert "producer labels JOB" in str(refused.value)


def test_an_export_without_annotations_says_so(tmp_path: Path):
    with pytest.raises(UsageError, match="no task was annotated"):
        exported(tmp_path, [annotated(1, "1731")])
