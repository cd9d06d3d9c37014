"""The Python API: supported data, errors and their remedies, jobs, waiting, asyncio, importing."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import io
import json
import logging
import os
import pickle
import re
import subprocess
import sys
import threading
import typing
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from bulkqa import AsyncClient, Client, Job, Options, ReadOptions
from contract import errors
from contract.errors import BulkqaError, InputError, NoWorker, StorageUnreachable, TimedOut, UnknownJob, UsageError
from contract.queue import WorkerInfo
from contract.remedy import Call, Remedy, Set
from contract.settings import Settings
from producer.api.display import bar
from producer.api.errors import in_keywords
from producer.api.keywords import AnswerKeywords, Keywords
from producer.request import ANSWER_OPTIONS, OPTIONS
from tests.making import finish, job_of
from tests.twins.queue import MemoryQueue

COLUMNS: dict[str, Any] = {"question": ["what?", "who?"], "context": ["word0 it is", "word1 too"]}
FRAME = pd.DataFrame(COLUMNS)
RECORDS = FRAME.to_dict("records")
CSV = "question|context\nwhat?|word0 it is\nwho?|word1 too\n"


def done(client: Client, job: Job) -> Job:
    """The job, finished."""
    finish(job.id, client._backend.storage, client._backend.queue, client._backend.settings)
    return job


# Supported data


class Polars:
    """A table of another library, which has the Arrow PyCapsule interface only."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        columns = {name: pa.array(values, pa.string_view()) for name, values in COLUMNS.items()}
        return pa.table(columns).__arrow_c_stream__(requested_schema)


class Batch:
    def __arrow_c_array__(self, requested_schema: object = None) -> object:
        return pa.record_batch(COLUMNS).__arrow_c_array__(requested_schema)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "f.csv"
    path.write_text(CSV)
    return path


SUPPORTED: dict[str, Any] = {
    "a DataFrame": FRAME,
    "records": RECORDS,
    "a tuple of records": tuple(RECORDS),
    "columns": COLUMNS,
    "columns of arrays": {name: pd.Series(values).to_numpy() for name, values in COLUMNS.items()},
    "a table of pyarrow": pa.table(COLUMNS),
    "a batch": pa.record_batch(COLUMNS),
    "a table of another library": Polars(),
    "a batch of another library": Batch(),
    "bytes": CSV.encode(),
    "a bytearray": bytearray(CSV.encode()),
}


@pytest.mark.parametrize("data", SUPPORTED.values(), ids=SUPPORTED)
def test_tables_of_all_kinds_are_read(client: Client, data: Any) -> None:
    results = done(client, client.submit(data)).results()
    assert results["question"].tolist() == COLUMNS["question"]
    assert results["answer"].tolist() == ["word0", "word1"]


def test_paths_and_text_and_binary_files_are_read(client: Client, file: Path) -> None:
    def rows(data: Any) -> list[str]:
        return [prediction["context"] for prediction in client.submit(data).results().to_dict("records")]

    with file.open("rb") as binary, file.open() as text, file.open(encoding="latin-1") as other:
        for data in (file, str(file), binary, text, other, io.StringIO(CSV), io.BytesIO(CSV.encode())):
            assert done(client, client.submit(data)).results()["question"].tolist() == COLUMNS["question"]


def test_categories_of_polars_come_back_as_categories(client: Client) -> None:
    """Their strings are views, which Parquet does not support in a dictionary."""
    kinds = pa.DictionaryArray.from_arrays(pa.array([1, None], pa.uint32()), pa.array(["a", "b"], pa.string_view()))
    table = done(
        client, client.submit(pa.table(COLUMNS | {"kind": kinds, "view": pa.array(["x", None]).view(pa.string())}))
    )
    assert table.table()["kind"].to_pylist() == ["b", None]
    assert table.table().schema.field("kind").type == pa.dictionary(pa.uint32(), pa.string())
    assert table.results()["kind"].cat.categories.tolist() == ["a", "b"]


def test_a_stream_of_batches_is_read(client: Client) -> None:
    assert len(done(client, client.submit(pa.table(COLUMNS).to_reader())).results()) == 2


def test_line_ends_of_a_utf_8_text_file_are_kept(client: Client, tmp_path: Path) -> None:
    """Reading it as text would change them, also within a quoted context."""
    path = tmp_path / "f.csv"
    path.write_bytes(b'question|context\nwhat?|"a\r\nb"\n')
    with path.open() as text:
        assert done(client, client.submit(text)).results()["context"].tolist() == ["a\r\nb"]


def test_text_read_in_pieces_is_complete(client: Client) -> None:
    text = "question|context\n" + "".join(f"wé{n}?|wörd{n} it is\n" for n in range(40_000))
    job = client.submit(io.StringIO(text))
    assert job.status().request_counts.total == 40_000
    assert job.status().input["bytes"] == len(text.encode())


@pytest.mark.parametrize(
    "data",
    [
        [{"question": "q\ud800?", "context": "c"}, {"question": "q?", "context": "word it is"}],
        pd.DataFrame({"question": pd.Series(["q\ud800?", "q?"], dtype="object"), "context": ["c", "word it is"]}),
        io.StringIO("question|context\nq\ud800?|c\nq?|word it is\n"),
    ],
    ids=["records", "DataFrame", "text"],
)
def test_half_a_surrogate_pair_is_an_error_of_its_row(client: Client, data: Any) -> None:
    results = done(client, client.submit(data)).results()
    assert results["error_code"].fillna("").tolist() == ["bad_encoding", ""]
    assert results["answer"].tolist()[1] == "word"


def test_a_missing_field_is_an_error_of_its_row(client: Client) -> None:
    results = done(client, client.submit([{"question": "q?"}, *RECORDS])).results()
    assert results["error_code"].fillna("").tolist() == ["missing_field", "", ""]


@pytest.mark.parametrize(
    "rows",
    [
        lambda: (row for row in RECORDS),
        lambda: map(dict, RECORDS),
        lambda: dict(enumerate(RECORDS)).values(),
        lambda: deque(RECORDS),
        lambda: tuple(RECORDS),
        lambda: np.array(RECORDS, dtype=object),
        lambda: {name: (value for value in values) for name, values in COLUMNS.items()},
        lambda: {name: dict(enumerate(values)).values() for name, values in COLUMNS.items()},
    ],
)
def test_rows_may_be_any_iterable(client: Client, rows: Callable[[], Any]) -> None:
    job = done(client, client.submit(rows()))
    assert [prediction["question"] for prediction in job.predictions()] == COLUMNS["question"]


def test_what_a_generator_of_rows_raises_is_what_the_caller_gets(client: Client) -> None:
    with pytest.raises(ZeroDivisionError):
        client.submit({"question": 1 / 0} for _ in RECORDS)


# Refused data: a pattern of its message and of its remedy


class _Private: ...


async def _rows_to_await() -> AsyncIterator[Any]:
    yield RECORDS[0]


def _broken() -> Iterator[Any]:
    yield RECORDS[0]
    raise OSError("disk")


REFUSED: dict[str, tuple[Any, str, str]] = {
    "nothing": (None, "cannot submit None", "Give a path, an open file, a DataFrame"),
    "a number": (5, "cannot submit an int", "Give a path"),
    "a list of text": (["a"], "cannot submit a list with a str in it", "Give rows as dicts"),
    "an empty list": ([], "a list without a row", ""),
    "an empty generator": ((row for row in ()), "a generator without a row", ""),
    "an empty dict": ({}, "a dict without a column", "the right one"),
    "rows that are none": ([None], "cannot submit a list with None in it", "Give rows as dicts"),
    "a private object": (_Private(), "cannot submit a Private", "Give a path"),
    "rows to await": (_rows_to_await(), "an async_generator, which is read with await", "async for"),
    "rows from a broken disk": (_broken(), "the rows cannot be read: disk", "where they come from"),
    "a single record": ({"question": "q", "context": "c"}, "a dict whose values are not lists", r"\[row\]"),
    "columns of two lengths": (COLUMNS | {"x": [1]}, "columns of different lengths: 'question' 2", "Give a path"),
    "a series": (FRAME["question"], "cannot submit a Series that is not a table", "a DataFrame"),
    "text in place of a name": (CSV, "text with several lines", r"io\.StringIO\(text\)"),
    "no such file": ("/nothing/here.csv", "no such file", "Check the name"),
    "types in one column": (
        [RECORDS[0] | {"x": 1}, RECORDS[1] | {"x": "a"}],
        "the column 'x' holds values of several types: int and str",
        r"astype\(str\)",
    ),
    "text among bytes": (FRAME.assign(x=pd.Series(["a", b"b"], dtype="object")), "several types: str and bytes", "one"),
    "days among times": (
        FRAME.assign(x=pd.Series([dt.date(2026, 1, 1), dt.datetime(2026, 1, 1, 5, tzinfo=dt.UTC)], dtype="object")),
        "several types: date and datetime", "one",
    ),
    "types among questions": ([RECORDS[0], {"question": 1, "context": "c"}], "'question' holds .* str and int", ""),
    "questions that are numbers": (
        pd.DataFrame({"question": [1], "context": ["c"]}), "'question' is of type int64",
        "other columns with question and context",
    ),
    "what no table holds": (FRAME.assign(x=[1j, 2j]), "the column 'x' holds values that no table can hold", "leave"),
    "an unusual column": (
        pa.table(COLUMNS | {"x": pa.nulls(2, pa.month_day_nano_interval())}), "'x' is of type month_day_nan", "Con",
    ),
    "two columns of a name": (
        pd.DataFrame([["q", "c", "d"]], columns=["question", "context", "context"]), "one name: 'context'", "Rename",
    ),
    "columns of several levels": (
        pd.DataFrame([["q", "c"]], columns=pd.MultiIndex.from_tuples([("a", "question"), ("a", "context")])),
        "columns have several levels", "Join them",
    ),
    "a column named by a date": (FRAME.assign(x=1).rename(columns={"x": dt.date(2026, 1, 1)}), "a date", "Name col"),
    "no rows": (FRAME[:0], "columns and no rows", ""),
    "no columns": (pd.DataFrame(), "no columns", ""),
    "no such column": (
        FRAME.rename(columns={"question": "q"}), r"no column 'question'\. Columns found: 'q'", "question=",
    ),
    "a closed file": (None, "a closed file", "Open it"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "message", "remedy"), REFUSED.values(), ids=REFUSED)
def test_other_data_is_refused_with_a_remedy(client: Client, data: Any, message: str, remedy: str) -> None:
    if message == "a closed file":
        data = io.BytesIO()
        data.close()
    with pytest.raises(InputError, match=message) as caught:
        client.submit(data)
    assert re.search(remedy, caught.value.remedy or "")
    assert "--" not in str(caught.value)
    assert client.jobs() == []


def test_a_lazy_table_is_refused_with_the_method_that_collects_it(client: Client) -> None:
    class LazyFrame:
        def collect(self) -> None: ...

    with pytest.raises(InputError, match="LazyFrame, which has no rows yet") as caught:
        client.submit(LazyFrame())
    assert "collect()" in (caught.value.remedy or "")


def test_a_storage_that_cannot_be_created_is_an_error_of_the_api(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for storage in (tmp_path / "file" / "storage", "/proc/nothing", "ftp://host/x"):
        with pytest.raises((StorageUnreachable, UsageError)) as caught:
            Client(storage=storage)
        assert "--" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message", "remedy"),
    [
        ({"top_n": 3}, "submit has no option top_n", "Did you mean top_k"),
        ({"xyz": 3}, "submit has no option xyz", "There are: answers, context"),
        ({"top_k": "3"}, "top_k must be int, not '3'", ""),
        ({"top_k": 3.0}, "top_k must be int", ""),
        ({"top_k": True}, "top_k must be int", ""),
        ({"question": None}, "question must be str, not None", ""),
        ({"omit_context": "no"}, "omit_context must be bool", ""),
        ({"top_k": 30}, "cannot exceed n_best", ""),
        ({"read": {"question": "q"}}, r"read must be ReadOptions\(...\), not a dict", ""),
        ({"options": ReadOptions()}, r"options must be Options", ""),
        ({"metadata": {"a": 1}}, "metadata must be text: 'a' is 1", "str"),
        ({"metadata": ["a"]}, "metadata must be a dict", ""),
        ({"model": 5}, "model must be str", ""),
        ({"key": 5}, "key must be str", ""),
        ({"key": " "}, "the key is empty", ""),
        ({"delimiter": ";;"}, "it must be one character", "delimiter=','"),
        ({"id": "no"}, "there is no column 'no'", "Name it with id, or go without ids: id=''"),
        ({"format": "xml"}, "unknown format", "csv"),
    ],
)
def test_an_invalid_option_is_refused_by_name(client: Client, options: Any, message: str, remedy: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        client.submit(FRAME, **options)
    assert remedy in (caught.value.remedy or "")
    assert "--" not in str(caught.value)
    assert client.jobs() == []


def test_options_are_keywords_or_objects_or_both(client: Client) -> None:
    frame = FRAME.rename(columns={"question": "q"})
    for job in (
        client.submit(frame, question="q", top_k=3, no_answer_threshold=1, metadata={"team": "a"}),
        client.submit(
            frame, read=ReadOptions(question="q"), options=Options(top_k=2), top_k=3, no_answer_threshold=1.0
        ),
    ):
        assert job.status().options["top_k"] == 3
        assert job.status().options["no_answer_threshold"] == 1
    assert client.jobs(metadata={"team": "a"})[0].status().metadata == {"team": "a"}


def test_every_option_is_a_keyword() -> None:
    assert typing.get_type_hints(Keywords).keys() == OPTIONS.keys()
    assert typing.get_type_hints(AnswerKeywords).keys() == ANSWER_OPTIONS.keys()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"delimiter": "|"}, "answer has no option delimiter"),
        ({"kee": "a"}, r"(?s)answer has no option kee.*Did you mean key\?"),
        ({"key": 7}, "key must be str"),
        ({"model": ["a"]}, "model must be str"),
        ({"top_k": "3"}, "top_k must be"),
        ({"metadata": {"team": 1}}, "metadata must be text"),
    ],
)
def test_a_wrong_option_of_an_answer_is_refused(client: Client, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        client.answer("Who?", "Ann.", **wrong)


@pytest.mark.parametrize("path", ["models/roberta", "./roberta", "~/roberta", "../roberta/"])
def test_a_path_in_place_of_a_model_name_is_refused_with_the_name(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    with pytest.raises(UsageError, match="is a path") as caught:
        client.submit(FRAME, model=path)
    assert "model='roberta'" in (caught.value.remedy or "")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models" / "roberta").mkdir(parents=True)
    (tmp_path / "models" / "roberta" / "reader.json").write_text('{"name": "roberta-large"}')
    with pytest.raises(UsageError) as caught:
        client.submit(FRAME, model="models/roberta")
    assert "model='roberta-large'" in (caught.value.remedy or "")


@pytest.mark.parametrize(
    ("remedy", "python"),
    [
        (Remedy("Name them: ", Set(question="q", context="c")), "Name them: question='q', context='c'"),
        (Remedy("or none: ", Set(id="")), "or none: id=''"),
        (Remedy("Leave out ", Set("format"), "."), "Leave out format."),
        (Remedy("Read it with: ", Set(header=False)), "Read it with: header=False"),
        (Remedy(Call("list"), " lists the jobs."), "Client.jobs() lists the jobs."),
        (Remedy("then: ", Call("repair", "a-job"), ". More."), "then: Client.job('a-job').wait(). More."),
        (Remedy(Call("delete", "a-job", ("cancel",))), "Client.job('a-job').delete(cancel=True)"),
        (Remedy(Call("logs", "a-job")), "producer logs a-job"),
        ("Install it: pip install --upgrade x", "Install it: pip install --upgrade x"),
    ],
)
def test_remedies_are_in_python(remedy: str, python: str) -> None:
    assert in_keywords(remedy) == python


# Jobs


def test_jobs_are_found_by_id_status_metadata_and_limit(client: Client) -> None:
    two = done(client, client.submit(FRAME, metadata={"n": "1", "all": "yes"}))
    one, three = (client.submit(FRAME, metadata={"n": str(n), "all": "yes"}) for n in (0, 2))
    assert {job.id for job in client.jobs()} == {one.id, two.id, three.id}
    assert client.jobs(status="completed") == [two]
    assert set(client.jobs(status=["queued", "running"])) == {one, three}
    assert client.jobs(metadata={"n": "2", "all": "yes"}) == [three]
    assert client.jobs(metadata={"n": "9"}) == []
    assert client.jobs(status="queued", limit=1) == [three]
    assert len(client.jobs(limit=2)) == 2
    assert client.jobs(limit=0) == []
    assert client.job(one.id) == one
    with pytest.raises(UsageError, match="no job has the status 'complete'") as caught:
        client.jobs(status="complete")
    assert "completed" in (caught.value.remedy or "")


@pytest.mark.parametrize("job", ["nothing", "", "../x", None, 5])
def test_a_job_that_does_not_exist_is_unknown(client: Client, job: Any) -> None:
    with pytest.raises(UnknownJob) as caught:
        client.job(job)
    assert "Client.jobs()" in (caught.value.remedy or "")


def test_leaving_a_client_closes_it(client: Client) -> None:
    with client as same:
        assert same is client
    assert client._backend.queue.closed  # type: ignore[attr-defined]


def test_a_job_shows_its_state_with_zoned_times_and_in_html(client: Client) -> None:
    job = client.submit([*RECORDS, {"question": "<b>?", "context": None}], metadata={"a": "b"})
    waiting = job.status()
    assert waiting.created.tzinfo is dt.UTC
    assert waiting.created.timestamp() == pytest.approx(waiting.created_at)
    assert (waiting.started, waiting.ended, waiting.remaining) == (None, None, None)
    assert "no worker serves the model tiny" in job._repr_html_()
    done(client, job)
    ended = job.status()
    assert ended.ended
    assert ended.ended >= ended.created
    html = ended._repr_html_()
    assert "completed_with_errors" in html
    assert "3: 2 answered" in html
    assert "<script" not in job._repr_html_()
    assert json.loads(json.dumps(ended.to_json()))["status"] == "completed_with_errors"


def test_html_is_escaped(client: Client) -> None:
    job = client.submit(FRAME, model="<script>alert(1)<")
    assert "&lt;script&gt;" in job._repr_html_()
    assert "<script>" not in job._repr_html_()


# Waiting


def test_waiting_ends_with_the_job_and_shows_each_step(client: Client) -> None:
    job = done(client, client.submit(FRAME))
    seen: list[str] = []
    assert job.wait(progress=lambda state: seen.append(state.status)).status == "completed"
    assert seen == ["completed"]
    assert job.wait(progress=True).status == "completed"


def test_waiting_without_a_worker_ends_with_an_error(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    job = client.submit(FRAME)
    with caplog.at_level(logging.WARNING, "bulkqa.client"), pytest.raises(NoWorker) as caught:
        job.wait(patience=0)
    assert "no worker serves the model tiny" in caught.value.message
    assert "wait(patience=SECONDS)" in (caught.value.remedy or "")
    warnings = [record.getMessage() for record in caplog.records if "waits" in record.getMessage()]
    assert len(warnings) == 1
    assert warnings[0].startswith(f"job {job.id} waits: no worker serves the model tiny. Start one that has it:")
    assert warnings[0].endswith("submit it with another model.")
    assert done(client, job).wait().status == "completed", "the job is unharmed"


def test_patience_is_for_missing_workers_not_for_slow_ones(client: Client) -> None:
    client._backend.queue.announce(WorkerInfo("w", "tiny", "d1", "int8", 1, "0"))
    with pytest.raises(TimedOut) as caught:
        client.submit(FRAME).wait(timeout=0, patience=0)
    assert isinstance(caught.value, TimeoutError)
    assert "still queued" in caught.value.message


def test_patience_starts_again_after_a_worker_and_each_change_is_logged_once(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Steps by hand, ten seconds apart: no worker, a worker, no worker."""
    now = [0.0]
    monkeypatch.setattr("producer.jobs.follow.time.monotonic", lambda: now[0])
    job = client.submit(FRAME)
    unserved = job.status()
    served = replace(unserved, reason=None)
    steps = [unserved, unserved, served, unserved, unserved, unserved]
    seen: list[int] = []

    def follow(*_: Any) -> Iterator[Any]:
        for number, step in enumerate(steps):
            seen.append(number)
            yield step
            now[0] += 10

    monkeypatch.setattr("producer.jobs.follow.follow", follow)
    with pytest.raises(NoWorker):
        job.wait(patience=15)
    assert seen == [0, 1, 2, 3, 4, 5]
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [f"job {job.id} waits"] * 2


@pytest.mark.parametrize(
    "arguments", [{"timeout": -1}, {"timeout": "5"}, {"patience": float("nan")}, {"patience": True}]
)
def test_seconds_are_numbers(client: Client, arguments: Any) -> None:
    with pytest.raises(UsageError, match="must be a number of seconds"):
        client.submit(FRAME).wait(**arguments)


def test_a_bar_is_drawn_on_a_terminal_and_a_table_in_a_notebook(
    client: Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    state = done(client, client.submit(FRAME)).status()
    with bar() as show:
        show(state)
    assert capsys.readouterr() == ("", ""), "nothing is drawn in a log"

    shown: list[Any] = []

    class Handle:
        def update(self, state: Any) -> None:
            shown.append(state)

    class ZMQInteractiveShell: ...

    def display(state: Any, display_id: bool) -> Handle:
        shown.append(state)
        return Handle()

    ipython = type(sys)("IPython")
    ipython.get_ipython = ZMQInteractiveShell  # type: ignore[attr-defined]
    ipython.display = type(sys)("IPython.display")  # type: ignore[attr-defined]
    ipython.display.display = display
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", ipython.display)
    with bar() as show:
        show(state)
        show(state)
    assert shown == [state, state]


# Verbs of the command


def test_what_the_command_does_beside_jobs(client: Client) -> None:
    checked = client.check(FRAME.assign(question=["", "who?"]))
    assert (checked.rows, checked.rejected) == (2, 1)
    with pytest.raises(InputError, match="no column 'q'"):
        client.check(FRAME, question="q")
    first = done(client, client.submit(FRAME))
    assert (checked.reused, client.check(FRAME, reuse=[first.id]).reused) == (None, 0), "no model is named in its parts"
    with pytest.raises(UsageError, match="top_k was 1, now 2"):
        client.check(FRAME, reuse=[first.id], top_k=2)
    second = done(client, client.submit(FRAME.assign(context=["other0 it is", "word1 too"])))
    changes, summary = first.diff(second)
    assert [(change["row"], change["second"]["answer"]) for change in changes] == [(0, "other0")]
    assert (summary.same, summary.changed) == (1, 1)
    assert first.verify().problems == ()
    assert {event.event for event in first.logs()} == {"submitted", "attempts_done", "published"}
    assert first.notifications().state == "none"
    assert [usage.job for usage in client.du()] == sorted([first.id, second.id])
    assert client.gc(older_than=3600) == {}
    assert client.gc(older_than=0).keys() == {first.id, second.id}
    assert client.jobs() == []


def test_what_works_on_the_storage_says_so_on_a_server() -> None:
    with Client(server="http://localhost:9") as asking:
        job = Job("a-job", asking)
        for call in (asking.du, lambda: asking.gc(1.0), job.verify, job.logs):
            with pytest.raises(UsageError, match="works on the storage itself"):
                call()


# Other processes


def test_a_client_and_its_jobs_are_pickled_without_what_came_from_the_environment(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BULKQA_REDIS_URL", "redis://:not-pickled@localhost:9")
    with Client("data") as client:
        manifest = job_of(client._direct("a test").storage, settings, rows=2)
        finish(manifest.id, client._direct("a test").storage, MemoryQueue(), settings)
        job, text = client.job(manifest.id), pickle.dumps(client.job(manifest.id))
        assert b"not-pickled" not in text
        monkeypatch.chdir("/")
        again = pickle.loads(text)  # noqa: S301
        assert (again, again.predictions()) == (job, job.predictions())
    monkeypatch.setenv("BULKQA_API_TOKEN", "a-token-that-is-not-pickled")
    with Client(server="http://localhost:9") as asking:
        assert b"not-pickled" not in pickle.dumps(asking)
        assert repr(pickle.loads(pickle.dumps(asking))) == repr(asking)  # noqa: S301


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # the child of this one takes no lock
def test_a_fork_has_connections_of_its_own() -> None:
    """Two processes that write to one connection would read each other's answers."""
    ports: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # keeps connections

        def do_GET(self) -> None:
            ports.append(self.client_address[1])
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"[]")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    with Client(server=f"http://127.0.0.1:{server.server_port}") as asking:
        assert asking.workers() == []
        child = os.fork()
        if not child:
            os._exit(0 if asking.workers() == [] else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert asking.workers() == []
    server.shutdown()
    server.server_close()
    thread.join()
    assert ports[0] == ports[2] != ports[1]


# asyncio


def test_waits_leave_the_threads_of_the_application_alone(client: Client) -> None:
    async def main() -> int:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        asynchronous = AsyncClient()
        asynchronous._backend = client._backend
        job = await asynchronous.submit(FRAME)
        waits = [asyncio.create_task(job.wait(patience=None)) for _ in range(50)]
        assert (await job.status()).status == "queued"
        answer = await asyncio.to_thread(lambda: 42)
        assert not any(wait.done() for wait in waits)
        await job.cancel()
        assert {state.status for state in await asyncio.gather(*waits)} == {"cancelled"}
        return answer

    assert asyncio.run(main()) == 42


def test_the_same_for_asyncio(client: Client) -> None:
    async def main() -> list[str]:
        async with AsyncClient() as asynchronous:
            asynchronous._backend = client._backend
            job = await asynchronous.submit(FRAME.set_axis(["a", "b"], axis=0), top_k=2, metadata={"x": "y"})
            with pytest.raises(NoWorker):
                await job.wait(patience=0)
            assert (await job.status()).status == "queued"
            await asyncio.to_thread(done, client, client.job(job.id))
            seen: list[str] = []
            assert (await job.wait(progress=lambda state: seen.append(state.status))).status == "completed"
            assert seen == ["completed"]
            assert await asynchronous.jobs(status="completed") == [await asynchronous.job(job.id)]
            assert len(await job.predictions()) == (await job.table()).num_rows == 2
            assert (await job.results(long=True)).index.tolist() == (await job.results()).index.tolist()
            answers: list[str] = (await job.results())["answer"].to_dict()
            await job.delete()
            assert await asynchronous.jobs() == []
            with pytest.raises(UnknownJob):
                await asynchronous.job(job.id)
            assert await asynchronous.workers() is not None
            return answers

    assert asyncio.run(main()) == {"a": "word0", "b": "word1"}


def test_a_cancelled_wait_does_not_change_the_job(client: Client) -> None:
    async def main() -> str:
        asynchronous = AsyncClient()
        asynchronous._backend = client._backend
        job = await asynchronous.submit(FRAME)
        started = asyncio.Event()
        waiting = asyncio.create_task(job.wait(progress=lambda _: started.set(), patience=None))
        await started.wait()
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting
        assert waiting.cancelled()
        return (await job.status()).status

    assert asyncio.run(main()) == "queued"


def test_both_clients_have_the_same_methods_with_the_same_arguments() -> None:
    import inspect

    from bulkqa import AsyncJob

    def methods(kind: type) -> set[str]:
        return {name for name in vars(kind) if not name.startswith("_") and callable(vars(kind)[name])}

    for kind, async_kind in ((Client, AsyncClient), (Job, AsyncJob)):
        assert methods(kind) == methods(async_kind)
        for name in methods(kind):
            method, async_method = getattr(kind, name), getattr(async_kind, name)
            parameters, async_parameters = (inspect.signature(each).parameters for each in (method, async_method))
            assert list(map(str, parameters.values())) == list(map(str, async_parameters.values())), name
            assert inspect.iscoroutinefunction(async_method)


# Importing


def test_importing_loads_nothing_heavy_until_it_is_used() -> None:
    code = """
import sys
from bulkqa import Client, errors
heavy = [name for name in ("pandas", "pyarrow", "numpy", "pydantic", "redis", "rich", "celery") if name in sys.modules]
assert not heavy, heavy
from bulkqa import AsyncClient, Options, ReadOptions
assert "pandas" not in sys.modules
assert Options().top_k == 1 and ReadOptions().question == "question"
assert issubclass(errors.NoWorker, errors.BulkqaError)
import bulkqa
assert {"Client", "Options", "ReadOptions", "errors"} <= set(dir(bulkqa))
try: bulkqa.nothing
except AttributeError: print("right")
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert process.stdout == "right\n", process.stderr


def test_without_pandas_there_are_predictions_and_tables(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    job = done(client, client.submit(RECORDS))
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert (
        job.table()["answer"].to_pylist()
        == [prediction["answer"] for prediction in job.predictions()]
        == ["word0", "word1"]
    )
    with pytest.raises(UsageError, match="pandas is not installed") as caught:
        job.results()
    assert "pip install 'bulkqa[pandas]'" in (caught.value.remedy or "")


def test_all_errors_are_in_one_tree() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert all(issubclass(kind, BulkqaError) for kind in kinds)
    assert all(kind.__name__ in (errors.__doc__ or "") for kind in kinds)


@pytest.mark.slow
def test_a_script_may_have_modules_named_as_the_packages_of_bulkqa(tmp_path: Path) -> None:
    """The folder of a script comes first on its path."""
    for name in ("worker", "producer", "contract"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("own = True\n")
    script = tmp_path / "script.py"
    script.write_text(
        "from bulkqa import Client, errors\nimport worker\nassert worker.own\n"
        f"print(Client({str(tmp_path / 'storage')!r}).jobs())\n"
    )
    process = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (process.stdout, process.stderr) == ("[]\n", "")
    script.write_text("import producer\nassert producer.own\nfrom bulkqa import Client\n")
    process = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert f"ImportError: bulkqa needs its package 'producer', but {tmp_path}" in process.stderr
