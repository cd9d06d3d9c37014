"""Verdicts: what they may say, which of several counts, and that none is lost or stored half."""

from __future__ import annotations

import io
import json
import multiprocessing
import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from contract.errors import BulkqaError, NotEnded, UnknownJob, UsageError
from contract.format import layout
from contract.settings import Settings
from contract.storage import Storage, open_storage
from producer.input.location import Documents
from producer.jobs import usage
from producer.jobs.follow import completed
from producer.jobs.remove import delete
from producer.jobs.submit import submit
from producer.request import Request
from producer.results.scores import Scores
from producer.trust.judge import Judgements
from producer.trust.verdicts import MOST, Verdict, batches, digest, given, judges, latest
from tests.making import csv, finish, finish_parts, job_of
from tests.twins.queue import MemoryQueue

#: Of 30 rows: row 1 is rejected, row 2 fails, row 4 has no answer. The answer of row N is "wordN", and its context
#: 'wordN | of a "context'.
ROWS = csv(30, bad=(1,), odd=(2,), silent=(4,))


@pytest.fixture
def job(storage: Storage, settings: Settings) -> str:
    job = job_of(storage, settings, ROWS).id
    finish(job, storage, MemoryQueue(), settings)
    return job


@pytest.fixture
def judgements(storage: Storage) -> Judgements:
    return Judgements(storage, Scores(storage))


def judge(judgements: Judgements, job: str, *verdicts: Verdict) -> int:
    return completed(judgements.judge(job, verdicts))


def test_verdicts_are_stored_and_the_last_of_a_row_counts(judgements: Judgements, job: str, storage: Storage):
    before = dict(storage.sizes(layout.folder(job)))
    first = [
        Verdict(0, "right", answer="word0", by="ann", floor=0.4),
        Verdict(3, "wrong", note="why"),
        Verdict(5, "right"),
    ]
    assert judge(judgements, job, *first) == 3
    assert judge(judgements, job, Verdict(3, "right"), Verdict(3, "skipped"), Verdict(5, "withdrawn")) == 3
    found = judgements.verdicts(job)
    assert [(each.row, each.verdict, each.by) for each in found] == [(0, "right", "ann"), (3, "skipped", "")]
    assert all(each.at > 1_700_000_000 for each in found)
    assert Judgements(storage, Scores(storage)).verdicts(job) == found, "whoever reads"
    after = dict(storage.sizes(layout.folder(job)))
    assert {name: size for name, size in after.items() if not name.startswith("verdicts/")} == before
    assert {layout.kind_of(name) for name in after.keys() - before.keys()} == {"records"}
    assert len(after.keys() - before.keys()) == 2, "one object a call"


def test_the_last_verdict_counts_whatever_the_clock_says(
    judgements: Judgements, job: str, monkeypatch: pytest.MonkeyPatch
):
    for clock, verdict in ((2_000_000_000.0, "right"), (1_900_000_000.0, "wrong"), (1_900_000_000.0, "right")):
        monkeypatch.setattr(time, "time", lambda clock=clock: clock)
        judge(judgements, job, Verdict(0, verdict))
        assert [(each.verdict, each.at) for each in judgements.verdicts(job)] == [(verdict, clock)]


def test_right_words_are_a_span_and_a_span_that_reads_as_the_answer_is_right(judgements: Judgements, job: str):
    judge(
        judgements, job,
        Verdict(0, "wrong", correct="Of A"), Verdict(3, "wrong", correct="elsewhere"), Verdict(5, "span", 0, 5),
        Verdict(6, "span", 8, 10), Verdict(7, "wrong", correct="Word7!"), Verdict(8, "no_answer"),
        Verdict(4, "no_answer"),
    )  # fmt: skip
    found = {each.row: each for each in judgements.verdicts(job)}
    assert (found[0].verdict, found[0].start, found[0].end, found[0].correct) == ("span", 8, 12, "")
    assert (found[3].verdict, found[3].correct) == ("wrong", "elsewhere")
    assert (found[5].verdict, found[5].start, found[5].right) == ("right", None, True)
    assert (found[6].verdict, found[6].right) == ("span", False)
    assert found[7].verdict == "wrong", "who says wrong is not overruled"
    assert [found[row].verdict for row in (8, 4)] == ["no_answer"] * 2


@pytest.mark.parametrize(
    ("verdicts", "words"),
    [
        ([Verdict(30, "right")], "there is a verdict on row 30, and the 30 rows of job .* count from 0"),
        ([Verdict(-1, "right")], "on row -1"),
        ([Verdict(1, "wrong")], r"row 1 failed \(empty_question\): there is no answer to judge"),
        ([Verdict(2, "right")], r"row 2 failed \(inference_error\)"),
        ([Verdict(3, "right", answer="word4")], "on the answer 'word4', and job .* has 'word3' there"),
        ([Verdict(4, "right", answer="word4")], "has none there"),
        ([Verdict(3, "span", 3, 900)], "row 3: the context has 22 characters, and no words from 3 to 900"),
        ([Verdict(3, "span", 5, 5)], "no words from 5 to 5"),
        ([Verdict(3, "span", 5)], "no words from 5 to None"),
        ([Verdict(3, "right", 0, 5)], "a verdict 'right' has no start and end"),
        ([Verdict(3, "right", floor=1.5)], "1.5 is not a score"),
        ([Verdict(3, "right", note="x" * 10_001)], "its note has more than 10,000 characters"),
        ([], "there is no verdict"),
        ([Verdict(3, "right")] * (MOST + 1), "10,002 verdicts, and 10,000 are stored at once"),
    ],
)
def test_one_that_cannot_be_is_refused_and_none_of_its_call_is_stored(
    verdicts: list[Verdict], words: str, judgements: Judgements, job: str, storage: Storage
):
    with pytest.raises(UsageError, match=words):
        judge(judgements, job, *([Verdict(0, "right")] if verdicts else []), *verdicts)
    assert storage.list(layout.verdicts(job)) == []


def test_of_answers_that_differ_all_rows_are_told_and_what_a_spreadsheet_may_have_done(
    judgements: Judgements, job: str
):
    with pytest.raises(UsageError, match="5 rows differ: 7, 8, 9, 10, 11") as refused:
        judge(judgements, job, *(Verdict(row, "right", answer="2. Jan") for row in range(7, 12)))
    assert "empty its cell" in str(refused.value)
    assert f"producer sample {job}" in str(refused.value)


@pytest.mark.parametrize(
    ("answer", "judged"),
    [
        ("0012", "12"), ("12", "12.0"), ("1,200", "1200"), ("1'200'000", "1200000"), ("3.10", "3.1"), ("1e3", "1000"),
        (" in  Rome\n", "in Rome"), ("Łódź", "?ód?"), ("Łódź", "\ufffd\ufffd\ufffd\ufffd"),
    ],
)  # fmt: skip
def test_an_answer_that_a_spreadsheet_wrote_anew_is_still_that_answer(answer: str, judged: str):
    if judged.startswith("\ufffd"):
        answer = "éàèù"
    assert judges(Verdict(0, "right", answer=judged), {"status": "answered", "answer": answer})


@pytest.mark.parametrize(
    ("answer", "judged"),
    [("0012", "13"), ("Rome", "Rom?"), ("abc", "ab"), ("1/2", "02. Jan"), ("", "x"), ("nan", "NaN")],
)
def test_another_answer_is_another(answer: str, judged: str):
    assert not judges(Verdict(0, "right", answer=judged), {"status": "answered", "answer": answer})


def test_only_a_job_that_has_ended_is_judged(judgements: Judgements, storage: Storage, settings: Settings):
    scored = job_of(storage, settings, ROWS)
    finish_parts(storage, scored)
    for unfinished in (job_of(storage, settings, ROWS).id, scored.id):
        for steps in (
            judgements.judge(unfinished, [Verdict(0, "right")]),
            judgements.sample(unfinished, 5, 0.9, 1, one_of_each=True),
            judgements.trust(unfinished, 0.9, 0.95),
        ):
            with pytest.raises(NotEnded, match="has not ended") as refused:
                completed(steps)
            assert f"producer status {unfinished} --watch" in str(refused.value)
    for verb in (judgements.verdicts, lambda job: judge(judgements, job, Verdict(0, "right"))):
        with pytest.raises(UnknownJob):
            verb("no-such-job")


def test_they_go_with_the_job_and_count_among_its_bytes(judgements: Judgements, job: str, storage: Storage):
    before = usage.of(storage, job).records
    judge(judgements, job, Verdict(0, "right", note="n" * 5000))
    assert usage.of(storage, job).records > before + 5000
    delete(job, storage, MemoryQueue())
    assert not list(storage.sizes(layout.folder(job)))
    with pytest.raises(UnknownJob):
        judgements.verdicts(job)


def test_each_question_of_documents_has_a_promise_of_its_own(
    judgements: Judgements, storage: Storage, settings: Settings, tmp_path: Path
):
    (folder := tmp_path / "in").mkdir()
    for number in range(80):
        (folder / f"d{number:02}.txt").write_text(f"Word{number} of a document.")
    questions = io.BytesIO(b"question|score\nWho?|0.9\nWhen?|0.6\nnothing?|0.1\n")
    settings = settings.model_copy(update={"chunk_rows": 50})
    job = submit(Documents(str(folder), questions), storage, settings, Request()).manifest.id
    finish(job, storage, MemoryQueue(), settings)
    drawn = completed(judgements.sample(job, 160, 0.7, 1, one_of_each=False))
    assert len(drawn.rows) == 160
    assert len(completed(judgements.sample(job, 160, 0.7, 1, one_of_each=True)).rows) == 80, "one of a document"
    verdicts = [Verdict(row, "wrong" if row % 3 else "right", floor=drawn.floor) for row in drawn.rows]
    judge(judgements, job, *verdicts, Verdict(2, "no_answer"))
    trusted = completed(judgements.trust(job, 0.8, 0.95))
    assert (trusted.labels, trusted.wrong, trusted.picked) == (160, 80, 0)
    assert trusted.questions is not None
    assert [(each.question, each.threshold, each.labels, each.wrong) for each in trusted.questions] == [
        (0, 0.9, 80, 0), (1, None, 80, 80), (2, None, 0, 0),
    ]  # fmt: skip
    assert (trusted.questions[0].share, trusted.questions[0].lower_bound) == (1.0, 1.0), "all were judged"
    assert trusted.threshold == 0.9
    # The right words of a document are found in its whole text, of which the prediction has an excerpt.
    judge(judgements, job, Verdict(3, "wrong", correct="document"))
    found = next(each for each in judgements.verdicts(job) if each.row == 3)
    assert (found.verdict, found.start, found.floor) == ("span", 11, drawn.floor)


def test_a_job_that_was_submitted_anew_with_its_key_is_another(
    judgements: Judgements, storage: Storage, settings: Settings
):
    for score in ("0.9", "0.7"):
        data = f"question|context|score\nwhat?|word of it|{score}\n".encode()
        job = job_of(storage, settings, data, key="nightly").id
        finish(job, storage, MemoryQueue(), settings)
        assert judgements.verdicts(job) == []
        assert completed(judgements.sample(job, 5, 0.9, 1, one_of_each=True)).floor == float(score)
        judge(judgements, job, Verdict(0, "right", floor=float(score)))
        assert completed(judgements.trust(job, 0.9, 0.95)).threshold == float(score)
        delete(job, storage, MemoryQueue())


def test_people_who_judge_at_once_lose_nothing(job: str, storage: Storage):
    """The same rows, from many threads: every verdict is stored, and all readers agree on which counts."""
    everyone = [f"p{n}" for n in range(8)]

    def one(by: str) -> None:
        own = Judgements(storage, Scores(storage))
        for row in random.Random(by).sample([0, 3, *range(5, 30)], 27):
            judge(own, job, Verdict(row, "right", by=by))

    with ThreadPoolExecutor(len(everyone)) as pool:
        list(pool.map(one, everyone))
    names = storage.list(layout.verdicts(job))
    assert len(names) == 27 * len(everyone)
    stored = [json.loads(storage.read(f"{layout.verdicts(job)}/{name}"))[0] for name in names]
    assert sorted((each["by"], each["row"]) for each in stored) == sorted(
        (by, row) for by in everyone for row in (0, 3, *range(5, 30))
    )
    found = Judgements(storage, Scores(storage)).verdicts(job)
    assert {each.row: each.by for each in found} == {each["row"]: each["by"] for each in stored}


def _judge_in_process(url: str, job: str, by: str) -> None:
    storage = open_storage(url)
    own = Judgements(storage, Scores(storage))
    for row in range(5, 30):
        judge(own, job, Verdict(row, "wrong", by=by))


def test_so_do_processes(tmp_path: Path, settings: Settings):
    storage = open_storage(str(tmp_path / "shared"), create=True)
    job = job_of(storage, settings, ROWS).id
    finish(job, storage, MemoryQueue(), settings)
    context = multiprocessing.get_context("spawn")
    people = [context.Process(target=_judge_in_process, args=(storage.url, job, by)) for by in ("ann", "ben")]
    reader = Judgements(storage, Scores(storage))
    for each in people:
        each.start()
    while any(each.is_alive() for each in people):
        assert all(verdict.by in ("ann", "ben") for verdict in reader.verdicts(job)), "read meanwhile"
        people[0].join(0.01)
    assert [each.exitcode for each in people] == [0, 0]
    assert len(storage.list(layout.verdicts(job))) == 50
    assert len(reader.verdicts(job)) == 25


def test_a_damaged_object_is_named_and_foreign_ones_are_passed_over(judgements: Judgements, job: str, storage: Storage):
    judge(judgements, job, Verdict(0, "right"))
    storage.create(f"{layout.verdicts(job)}/notes.txt", b"x")
    assert len(judgements.verdicts(job)) == 1
    key = layout.new_verdicts(job, 1_790_000_000.0)
    storage.create(key, b'[{"row": "0", "verdict": "right"}]')
    with pytest.raises(BulkqaError, match=r"verdicts of job .* are damaged") as refused:
        judgements.verdicts(job)
    assert storage.locate(key) in str(refused.value)


def test_the_order_is_that_of_the_first_judgement_of_a_row_drawn_at_random():
    def each(row: int, kind: Any = "right", floor: float | None = 0.5) -> Verdict:
        return Verdict(row, kind, floor=floor)

    found = latest(
        [each(1, floor=None), each(2), each(3), each(1), each(2, "wrong", None), each(3, "withdrawn"), each(4), each(3)]
    )
    assert [(verdict.row, verdict.verdict, verdict.floor) for verdict in found] == [
        (2, "wrong", 0.5), (1, "right", 0.5), (4, "right", 0.5), (3, "right", 0.5),
    ]  # fmt: skip
    assert digest(found) == digest(list(found)) != digest(found[1:])


def test_many_are_sent_in_batches_and_without_what_is_not_set():
    many = [Verdict(row, "right", note="n" * (row % 900)) for row in range(MOST + 5)]
    sent = list(batches(many))
    assert [verdict for batch in sent for verdict in batch] == many
    assert all(len(json.dumps([given(verdict) for verdict in batch])) < 4 << 20 for batch in sent)
    assert len(sent) > 5
    assert given(Verdict(1, "span", 0, 3, floor=0.0)) == {
        "row": 1,
        "verdict": "span",
        "start": 0,
        "end": 3,
        "floor": 0.0,
    }
