"""Judging in Python: a sample as a DataFrame, filled in and handed back, and the promise in words and as a curve."""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from bulkqa import AsyncJob, Client, Job
from contract.errors import UsageError
from tests.making import finish

pd = pytest.importorskip("pandas")


@pytest.fixture
def job(client: Client) -> Job:
    """200 answers; the lower their scores, the later their rows."""
    rows = [
        {"question": f"what is {row}?", "context": f"word{row} of it", "score": f"{1 - row / 400:.4f}"}
        for row in range(200)
    ]
    job = client.submit(rows)
    direct = client._direct("a test")
    finish(job.id, direct.storage, direct.queue, direct.settings)
    return job


def test_a_sample_is_filled_in_and_handed_back(job: Job):
    frame = job.sample(120, precision=0.8)
    assert list(frame.columns) == [
        "row", "id", "question", "answer", "excerpt", "score", "floor", "verdict", "correct_answer", "note",
    ]  # fmt: skip
    assert frame.equals(job.sample(120, precision=0.8, seed=1))
    assert not frame["row"].equals(job.sample(120, precision=0.8, seed=2)["row"])
    frame["verdict"] = ["right" if row % 20 else "wrong" for row in frame["row"]]
    frame.loc[110:, "verdict"] = None
    assert job.judge(frame, by="ann") == 110
    verdicts = job.verdicts()
    assert [each["row"] for each in verdicts] == frame["row"].tolist()[:110]
    assert {(each["by"], each["floor"]) for each in verdicts} == {("ann", frame["floor"][0])}
    promise = job.trust(0.8)
    assert (promise.by, promise.labels) == ("people", 110)
    assert promise.threshold is not None
    assert promise.to_json()["threshold"] == promise.threshold
    assert "80% or more are right (95% confidence)" in str(promise)
    assert "next look" in str(promise)
    page = promise._repr_html_()
    picture = ET.fromstring(page[page.index("<svg") :])  # noqa: S314 - it is our own
    circles = [each for each in picture.iter() if each.tag.endswith("circle")]
    assert len(circles) == len(promise.curve) > 1
    assert [each.get("r") for each in circles].count("6") == 1, "the one that is promised"


def test_one_is_judged_again_undone_or_picked_by_hand(job: Job):
    assert job.judge([{"row": 7, "verdict": True}, {"row": 8, "verdict": "wrong"}], picked=True) == 2
    job.judge([{"row": 7, "verdict": "withdrawn"}, {"row": 8, "verdict": "span", "start": 6, "end": 8}], picked=True)
    assert [(each["row"], each["verdict"], each["start"]) for each in job.verdicts()] == [(8, "span", 6)]
    promise = job.trust()
    assert (promise.labels, promise.picked, promise.threshold) == (0, 1, None)
    assert "1 picked by hand, which promise nothing" in str(promise)
    assert "<svg" not in promise._repr_html_(), "there is no curve yet"


def test_a_file_of_labels_is_taken_too(job: Job, tmp_path: Path):
    file = tmp_path / "labels.csv"
    file.write_text("row,answer,score,verdict\n7,word7,0.98,right\n8,word8,0.97,wrong\n")
    assert job.judge(file) == job.judge(str(file)) == 2


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([{"row": 7, "verdict": "right"}], "have no scores.*\n.*picked=True"),
        ([{"row": 7, "verdict": "fine", "floor": 0.1}], "row 1 of the labels: the verdict 'fine'"),
        ([{"row": "1.000", "verdict": "right", "floor": 0.1}], "'1.000' is not a row number"),
        (
            [{"row": 7, "verdict": "right", "answer": "x", "floor": 0.1}],
            r"has 'word7' there\n.*Client.job\('.*'\).sample",
        ),
        ([{"row": 7}], "no row has a verdict"),
        ({"row": 7, "verdict": None}, "no row has a verdict"),
        ([(7, "right")], "cannot be read from tuple"),
        (7, "cannot be read from int"),
    ],
)
def test_what_is_no_verdict_is_refused(data: Any, words: str, job: Job):
    with pytest.raises(UsageError, match=f"(?s){words}"):
        job.judge(data)
    assert job.verdicts() == []


def test_without_a_verdict_the_remedy_is_a_call_of_python(job: Job):
    with pytest.raises(UsageError, match=rf"(?s)was judged.*Client.job\('{job.id}'\).sample\(\)"):
        job.trust()


def test_the_same_for_asyncio(job: Job):
    async def judged() -> Any:
        own = AsyncJob(job)
        frame = await own.sample(5)
        frame["verdict"] = "right"
        assert await own.judge(frame, by="ben") == 5
        return await own.verdicts(), await own.trust(0.8)

    verdicts, promise = asyncio.run(judged())
    assert {each["by"] for each in verdicts} == {"ben"}
    assert promise.next_look == 60


def test_judged_answers_give_probabilities_and_questions_with_their_answers(job: Job):
    with pytest.raises(UsageError, match="100 judged answers, 15 of them wrong"):
        job.results(probability=True)
    frame = job.sample(150, precision=0.5)
    frame["verdict"] = ["wrong" if row > 150 else "right" for row in frame["row"]]
    job.judge(frame)
    wrong = int((frame["verdict"] == "wrong").sum())
    found = job.results(probability=True)
    assert list(found.columns).index("probability") == list(found.columns).index("score") + 1
    assert found["probability"].tolist() == pytest.approx([1 - wrong / 150] * 200, abs=0.02)
    assert found.drop(columns="probability").equals(job.results())
    questions = [qa for each in job.labels()["data"][0]["paragraphs"] for qa in each["qas"]]
    assert len(questions) == 150 - wrong
    assert {qa["answers"][0]["text"] for qa in questions} == {f"word{row}" for row in frame["row"] if row <= 150}
