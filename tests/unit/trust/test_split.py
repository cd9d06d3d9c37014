"""A job takes the promise of an earlier one along: which one, what is refused, and what its rows and its status say."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from contract import evaluation
from contract.errors import NotEnded, UnknownJob, UsageError
from contract.format import layout, part
from contract.format.job import Answer, Manifest, ModelRef, Options, Row, Span, answered
from contract.ledger import records
from contract.ledger.stored import StoredJob
from contract.notifications import record
from contract.settings import Settings
from contract.storage import Storage
from contract.trust.split import marked
from producer.jobs import follow
from producer.jobs.submit import submit
from producer.jobs.verify import verify_job
from producer.request import Request
from producer.results.output import view
from producer.results.pages import Side
from producer.results.scores import Scores
from producer.trust import split
from producer.trust.judge import Judgements
from producer.trust.promises.trusted import Trusted
from tests.making import finish
from tests.twins.queue import MemoryQueue
from tests.twins.storage import MemoryStorage

MODEL = ModelRef("tiny", "d1", "int8")


def csv(rows: int) -> bytes:
    """Of the answers with high scores nearly all are right, and none of the others."""
    right = [f"word{row}" if row < rows * 0.6 and row % 40 else "other" for row in range(rows)]
    lines = [f"what is {row}?|word{row} of it|{right[row]}" for row in range(rows)]
    return "\n".join(["question|context|answers", *lines]).encode()


def score(row: Row, rows: int, *, low: float = 0.0) -> float:
    return round(1 - (row.row + 1) / (rows + 2), 4) * (1 - low)


def score_all(
    storage: Storage, settings: Settings, manifest: Manifest, *, low: float = 0.0, digest: str = "d1"
) -> None:
    """What a worker does with all chunks, and the end of the job."""
    records.pin_model(storage, manifest.id, MODEL)
    job = StoredJob.open(storage, manifest.id)
    for number in range(manifest.chunks):
        rows = job.rows(number)
        outcomes = []
        for row in rows:
            word, at = (row.context or "").split()[0], score(row, manifest.rows, low=low)
            outcomes.append(answered(row, Answer((Span(word, 0, len(word), at, 3.0),), 1.0, at), manifest.options))
        judged, sums = evaluation.judge(
            marked(outcomes, manifest.trust, digest, 2), rows, manifest.answers_column, manifest.answers_form
        )
        about = {"model": digest, "rule": 2, "evaluation": sums, "job": manifest.id, "chunk": number}
        storage.create(layout.part(manifest.id, number), part.encode(judged, **about)[0])
    finish(manifest.id, storage, MemoryQueue(), settings)


@pytest.fixture
def storage() -> MemoryStorage:
    return MemoryStorage()


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"chunk_rows": 50})


@pytest.fixture
def monday(storage: MemoryStorage, settings: Settings) -> str:
    manifest = submit(io.BytesIO(csv(400)), storage, settings, Request()).manifest
    score_all(storage, settings, manifest)
    return manifest.id


def submitted(storage: Storage, settings: Settings, rows: int = 150, **request: Any) -> Manifest:
    return submit(io.BytesIO(csv(rows)), storage, settings, Request(**request)).manifest


class Backend:
    """The part of a backend that files are written by."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    def manifest(self, job: str) -> Manifest:
        return StoredJob.open(self.storage, job).manifest

    def columns(self, job: str) -> None:
        return None

    def trust(self, job: str, precision: float, confidence: float) -> Trusted:
        return follow.completed(Judgements(self.storage, Scores(self.storage)).trust(job, precision, confidence))

    def lines(self, job: str, *, wait: Any = None) -> Any:
        stored = StoredJob.open(self.storage, job)
        return iter([stored.lines(number) or b"" for number in range(stored.manifest.chunks)])


def test_a_job_is_split_by_the_threshold_that_an_earlier_one_promises(
    storage: MemoryStorage, settings: Settings, monday: str
):
    tuesday = submitted(storage, settings, trust=monday[:20])
    trust = tuesday.trust
    assert trust is not None
    assert (trust.job, trust.precision, trust.model, trust.rule, sum(trust.scores)) == (monday, 0.9, MODEL, 2, 400)
    assert records.model(storage, tuesday.id) == MODEL, "before any worker took a chunk of it"
    for name in list(storage._objects):  # the promise is its own: that job may go
        if name.startswith(layout.folder(monday)):
            storage.delete(name)
    score_all(storage, settings, tuesday)
    wanted = sum(score(Row(row, "", ""), 150) >= trust.threshold for row in range(150))
    report = records.report(storage, tuesday.id)
    assert report is not None
    assert report.trusted is not None
    assert (report.trusted.trusted, report.trusted.rest, report.trusted.warning) == (wanted, 150 - wanted, None)
    event = record.event_of(report, "")
    assert (event["data"]["trusted"]["trusted"], event["data"]["trusted"]["rest"]) == (wanted, 150 - wanted)
    assert verify_job(storage, tuesday.id).problems == ()
    backend: Any = Backend(storage)
    rows = [json.loads(line) for line in b"".join(view(backend, tuesday.id, "jsonl").lines).splitlines()]
    assert [row["trusted"] for row in rows] == [row["score"] >= trust.threshold for row in rows]
    for trusted in (True, False):
        side = split.side(backend, tuesday.id, None, trusted=trusted)
        lines = b"".join(view(backend, tuesday.id, "jsonl", side=side).lines).splitlines()
        assert [json.loads(line) for line in lines] == [row for row in rows if row["trusted"] is trusted]
    shape = view(backend, tuesday.id, "csv").shape
    assert shape is not None
    assert str(shape.schema.field("trusted").type) == "bool"
    assert shape.cells(rows[0])[shape.schema.names.index("trusted")] == "true"


def test_a_job_that_is_not_split_has_the_sides_of_its_own_promise(
    storage: MemoryStorage, settings: Settings, monday: str
):
    backend: Any = Backend(storage)
    for precision in (None, 0.7):
        threshold = backend.trust(monday, precision or 0.9, 0.95).threshold
        assert split.side(backend, monday, precision, trusted=True) == Side(threshold, above=True)
        assert split.side(backend, monday, precision, trusted=False) == Side(threshold, above=False)
    with pytest.raises(UsageError, match="does not promise that 99% of any of its answers are right"):
        split.side(backend, monday, 0.99, trusted=True)
    tuesday = submitted(storage, settings, trust=monday, precision=0.7).id
    assert split.side(backend, tuesday, 0.7, trusted=True) == Side(None, above=True)
    with pytest.raises(UsageError, match=r"is split at a precision of 0.7, not 0.8"):
        split.side(backend, tuesday, 0.8, trusted=True)


def test_rows_that_all_were_judged_promise_others_no_more_than_a_sample_can(storage: MemoryStorage, settings: Settings):
    """Of its own rows it is known that all are right; of others, 100 like them say as much as 100 can."""
    lines = [f"what is {row}?|word{row} of it|word{row}" for row in range(100)]
    data = "\n".join(["question|context|answers", *lines]).encode()
    manifest = submit(io.BytesIO(data), storage, settings, Request()).manifest
    score_all(storage, settings, manifest)
    own = Backend(storage).trust(manifest.id, 0.99, 0.95)
    assert (own.share, own.lower_bound) == (1.0, 1.0)
    of_others = split.promise_of(storage, manifest.id, 0.95)
    assert of_others.share == 1.0
    assert of_others.lower_bound == pytest.approx(0.05 ** (1 / 100), abs=1e-4), "that of Clopper and Pearson"
    with pytest.raises(UsageError, match="promises nothing for rows other than its own, at a precision of 99%"):
        split.promise_of(storage, manifest.id, 0.99)


def test_shifted_scores_bring_a_warning(storage: MemoryStorage, settings: Settings, monday: str):
    tuesday = submitted(storage, settings, trust=monday)
    score_all(storage, settings, tuesday, low=0.3)
    report = records.report(storage, tuesday.id)
    assert report is not None
    assert report.trusted is not None
    assert f"from those of job {monday}: " in str(report.trusted.warning)


def test_rows_that_another_model_answered_are_not_trusted(storage: MemoryStorage, settings: Settings, monday: str):
    tuesday = submitted(storage, settings, trust=monday)
    score_all(storage, settings, tuesday, digest="d2")
    report = records.report(storage, tuesday.id)
    assert report is not None
    assert report.trusted is not None
    assert report.trusted.trusted == 0


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"model": "large"}, r"was answered by the model tiny, and this one would be by large"),
        ({"options": Options(max_answer_len=40)}, r"other options.*: max_answer_len was 30, now 40"),
        ({"precision": 0.975}, r"promises nothing for rows other than its own, at a precision of 97.5%"),
    ],
)
def test_what_the_promise_does_not_hold_for_is_refused(
    storage: MemoryStorage, settings: Settings, monday: str, request_: dict[str, Any], message: str
):
    before = set(storage._objects)
    with pytest.raises(UsageError, match=message):
        submitted(storage, settings, trust=monday, **request_)
    assert set(storage._objects) == before
    assert submitted(storage, settings, trust=monday, options=Options(omit_context=True)).trust is not None


def test_a_job_that_promises_nothing_yet_and_one_that_is_not_there(storage: MemoryStorage, settings: Settings):
    open_ = submitted(storage, settings)
    with pytest.raises(NotEnded, match="has not ended"):
        submitted(storage, settings, trust=open_.id)
    with pytest.raises(UnknownJob, match="no job nothing"):
        submitted(storage, settings, trust="nothing")
    with pytest.raises(NotEnded):
        split.side(Backend(storage), open_.id, None, trusted=True)
    with pytest.raises(UsageError, match="precision belongs to"):
        Request(precision=0.8)


def test_a_key_finds_the_job_that_was_split_by_the_same_promise(
    storage: MemoryStorage, settings: Settings, monday: str
):
    first = submitted(storage, settings, key="k", trust=monday)
    for name in list(storage._objects):
        if name.startswith(layout.folder(monday)):
            storage.delete(name)
    assert submitted(storage, settings, key="k", trust=monday) == first
    with pytest.raises(UsageError, match=rf"trust '{monday}', now None"):
        submitted(storage, settings, key="k")
