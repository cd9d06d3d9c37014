"""The same commands and the same Python on a machine that shares storage and Redis with the workers, and on one that
shares nothing and asks a server. Every test here runs both ways."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bulkqa import Client
from contract.errors import InputError, TimedOut, UnknownJob, Unreachable, UsageError
from producer.jobs.verify import verify_job
from producer.results.columns import InputColumns
from tests.acceptance.cluster import REPO, Cluster, until, write_rows
from tests.acceptance.serving import serving
from tests.documents.small import contracts
from tests.s3 import free_port

pytestmark = pytest.mark.timeout(240)

#: For jobs that wait.
NOBODY = ("--model", "nobody-serves-this")
TOKEN = "a-token-of-this-test-and-no-other"  # noqa: S105
ROWS = pd.DataFrame(
    {
        "question": ["When was the mill built?", "Who keeps the light?", ""],
        "context": ["The mill was built in 1731.", "The light is kept by Ingrid Aas.", "Nothing is asked of this."],
        "when": pd.to_datetime(["2026-01-01", "2026-02-01", None]),
        "kind": pd.Categorical(["a", "b", "a"]),
    },
    index=pd.Index([7, 11, 13], name="number"),
)


class Way:
    """How a user's machine comes to jobs. `tag` tells this test's jobs from those of others."""

    def __init__(self, cluster: Cluster, server: httpx.Client | None, folder: Path) -> None:
        self.cluster = cluster
        self.server = server
        self.env = dict(cluster.env)
        if server:
            for name in ("BULKQA_STORAGE_URL", "BULKQA_REDIS_URL"):
                del self.env[name]
            self.env |= {"BULKQA_SERVER": str(server.base_url), "BULKQA_API_TOKEN": TOKEN}
        self.folder = folder  # what lies elsewhere is not there for who runs a command here
        self.folder.mkdir()
        self.tag = os.urandom(6).hex()

    def client(self) -> Client:
        if self.server:
            return Client(server=str(self.server.base_url), token=TOKEN)
        return Client(self.cluster.env["BULKQA_STORAGE_URL"], self.cluster.redis_url)

    def producer(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = self.cluster.producer(*arguments, env=self.env, cwd=self.folder)
        assert "Traceback" not in done.stderr, done.stderr
        assert done.returncode == code, done.stderr
        return done

    def asked(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self.producer(*arguments, "--json", code=code).stdout)


@pytest.fixture(scope="session")
def guarded(everybodys: Cluster) -> Iterator[httpx.Client]:
    """A server that requires a token."""
    with serving(everybodys, BULKQA_API_TOKEN=TOKEN) as client:
        yield client


@pytest.fixture(params=["shared", "server"])
def way(request: pytest.FixtureRequest, shared: Cluster) -> Way:
    """With the worker of all tests. Nobody serves the model `NOBODY`."""
    server = request.getfixturevalue("guarded") if request.param == "server" else None
    return Way(shared, server, shared.folder / "home")


def test_a_file_is_submitted_and_waited_for_and_its_answers_are_written(way: Way) -> None:
    write_rows(way.folder / "in.csv", 40)
    done = way.producer("submit", "in.csv", "--wait", "-o", "out.json", "--metadata", f"team={way.tag}")
    job = done.stdout.strip()
    predictions = json.loads((way.folder / "out.json").read_text())["predictions"]
    assert [one["row"] for one in predictions] == list(range(40))
    assert all(one["context"][one["start"] : one["end"]] == one["answer"] for one in predictions)
    assert verify_job(way.cluster.storage, job).problems == ()
    assert way.asked("status", job[:17])["request_counts"]["answered"] == 40
    assert [one["id"] for one in way.asked("list", "--metadata", f"team={way.tag}")] == [job]
    assert way.asked("list", "--metadata", "team=b") == []
    assert "completed: 40 answered" in done.stderr


def test_a_file_is_forecast_sampled_and_taken_up(way: Way) -> None:
    """The report keeps the forecast beside what the job took."""
    write_rows(way.folder / "in.csv", 40)
    told = way.asked("forecast", "in.csv", "--deadline", "8h", "--price", "0.04")
    assert (told["rows"], told["windows"], told["complete"], told["workers_needed"]) == (40, 40, True, 1)
    assert told["seconds_low"] <= told["seconds"] <= told["seconds_high"], "also if all earlier jobs took longer"
    assert told["workers"] > 0
    with way.client() as client:
        assert client.forecast(way.folder / "in.csv", workers=3).workers == 3

    label = f"team={way.tag}"
    done = way.producer("submit", "in.csv", "--sample", "10", "--wait", "--metadata", label)
    job = done.stdout.strip()
    assert f"continue:    producer submit in.csv --wait --metadata {label} --reuse {job}" in done.stderr
    report = way.asked("status", job)
    assert (report["sample"]["of"], report["sample"]["rest"]["windows"]) == (40, 30)
    assert report["forecast"]["windows"] == 10
    assert report["forecast"]["actual_seconds"] > 0

    whole = way.producer("submit", "in.csv", "--wait", "--metadata", label, "--reuse", job).stdout.strip()
    report = way.asked("status", whole)
    assert (report["reused"], report["scored"], report["forecast"]["windows"]) == (10, 30, 30)
    history = way.asked("forecast", "--history")
    assert {job, whole} <= {each["job"] for each in history}


def test_bad_rows_are_written_beside_the_answers_and_every_format_is_the_same(way: Way) -> None:
    done = way.producer("submit", str(REPO / "samples/bad_rows.csv"), "--wait", "-o", "out.jsonl", code=3)
    job = done.stdout.strip()
    lines = [json.loads(line) for line in (way.folder / "out.jsonl").read_text().splitlines()]
    assert [one["row"] for one in lines] == list(range(11))
    errors = way.producer("check", "out.errors.csv", "--json", code=3)
    assert json.loads(errors.stdout)["rows"] == 7
    for kind in ("json", "csv", "parquet"):
        way.producer("results", job, "-o", f"again.{kind}", code=3)
    assert json.loads((way.folder / "again.json").read_text())["predictions"] == lines
    assert pq.read_table(way.folder / "again.parquet")["row"].to_pylist() == list(range(11))
    way.producer("results", job, "-o", "folder", "--output-layout", "parts", "--format", "parquet", code=3)
    assert sorted(path.name for path in (way.folder / "folder").iterdir()) == [
        "_SUCCESS",
        "_errors.csv",
        "part-00000.parquet",
    ]
    assert pq.read_table(way.folder / "folder").num_rows == 11
    shared = way.cluster.producer("results", job, "-o", "shared.csv")
    assert shared.returncode == 3
    assert (way.folder / "again.csv").read_bytes() == (way.cluster.folder / "shared.csv").read_bytes()


def test_answers_are_followed_while_they_come(way: Way) -> None:
    write_rows(way.folder / "in.csv", 60)
    job = way.producer("submit", "in.csv").stdout.strip()
    command = [sys.executable, "-m", "producer", "results", job, "--follow"]
    with subprocess.Popen(command, env=way.env, cwd=way.folder, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        rows = [json.loads(line)["row"] for line in process.stdout]
    assert process.returncode == 0
    assert rows == list(range(60))


def test_a_frame_comes_back_with_its_index_and_types(way: Way) -> None:
    with way.client() as client:
        job = client.submit(ROWS, top_k=2, metadata={"from": way.tag})
        seen: list[str] = []
        final = job.wait(progress=lambda now: seen.append(now.status))
        found = job.results()
        again = client.job(job.id)
        assert again == job
        assert [one.id for one in client.jobs(metadata={"from": way.tag})] == [job.id]
        assert [one.id for one in client.jobs(limit=1)] == [job.id]
    assert (final.status, final.options["top_k"]) == ("completed_with_errors", 2)
    assert seen[-1] == final.status
    pd.testing.assert_index_equal(found.index, ROWS.index)
    assert list(found["answer"].fillna("")) == ["1731", "Ingrid Aas", ""]
    pd.testing.assert_series_equal(found["when"], ROWS["when"])
    pd.testing.assert_series_equal(found["kind"], ROWS["kind"])


def test_jobs_are_listed_in_the_order_that_is_asked_for(way: Way) -> None:
    write_rows(way.folder / "in.csv", 5)
    ours = ("--metadata", f"test={way.tag}")
    jobs = [way.producer("submit", "in.csv", *ours, *NOBODY).stdout.strip() for _ in range(3)]
    assert [one["id"] for one in way.asked("list", *ours, "--since", "1h", "--reverse")] == jobs[::-1]
    assert [one["id"] for one in way.asked("list", *ours, "--limit", "2")] == jobs[1:]
    assert way.asked("list", *ours, "--since", "2040-01-01", "--status", "completed") == []
    assert "submitted" in way.producer("list").stdout


def test_a_key_finds_its_job_and_another_file_under_it_is_refused(way: Way) -> None:
    write_rows(way.folder / "in.csv", 5)
    first = way.producer("submit", "in.csv", "--key", way.tag)
    second = way.producer("submit", "in.csv", "--key", way.tag)
    assert first.stdout == second.stdout
    assert "submitted 5 rows" in first.stderr
    assert "found by its key: 5 rows" in second.stderr
    write_rows(way.folder / "in.csv", 6)
    refused = way.producer("submit", "in.csv", "--key", way.tag, code=2)
    assert "belongs to job" in refused.stderr


def test_a_job_is_kept_for_as_long_as_is_asked(way: Way) -> None:
    (way.folder / "in.csv").write_text("question|context\nWhat is it?|It is a mill.\n")
    job = way.producer("submit", "in.csv", "--expire", "2h", "--wait").stdout.strip()
    found = way.asked("status", job)
    assert found["expires_at"] == pytest.approx(found["finished_at"] + 7200)
    assert "kept until" in way.producer("status", job).stdout
    with way.client() as client:
        other = client.submit(str(way.folder / "in.csv"), expire="30d").wait()
        assert other.expires_at == pytest.approx((other.finished_at or 0.0) + 30 * 24 * 3600)
    refused = way.producer("submit", "in.csv", "--expire", "soon", code=2)
    assert "30d" in refused.stderr


def test_a_job_is_cancelled_and_removed(way: Way) -> None:
    write_rows(way.folder / "in.csv", 5)
    job = way.producer("submit", "in.csv", *NOBODY).stdout.strip()
    refused = way.producer("delete", job, code=2)
    assert "has not ended" in refused.stderr
    assert "cancel" in refused.stderr
    assert way.asked("cancel", job)["status"] in ("cancelling", "cancelled")
    assert way.asked("status", job, "--watch", code=5)["request_counts"]["cancelled"] == 5
    assert way.asked("delete", job) == {"job": job, "bytes": pytest.approx(10_000, abs=9_999)}
    gone = way.producer("status", job, code=2)
    assert "there is no job" in gone.stderr


def test_rows_that_come_again_are_reused_and_failed_rows_tried_again(way: Way) -> None:
    rows = write_rows(way.folder / "in.csv", 8).read_text()
    label = f"run={way.tag}"
    first = way.producer("submit", "in.csv", "--wait", "--metadata", label).stdout.strip()
    (way.folder / "edited.csv").write_text(rows.replace("number 3 ", "numbered 3 ", 1))
    made = way.asked("forecast", "edited.csv", "--reuse", first)
    assert (made["reused"], made["rows"], made["windows"]) == (7, 8, 1)
    done = way.producer("submit", "edited.csv", "--wait", "--reuse", f"latest:{label}", "--reuse", first)
    assert f"7 of 8 rows take their outcome from job {first}" in done.stderr
    status = way.asked("status", done.stdout.strip())
    assert (status["reused"], status["scored"], status["reused_others"]) == (7, 1, 0)
    with way.client() as client:
        job = client.submit(way.folder / "in.csv", reuse=[first])
        assert job.wait(60).reused == 8
        with pytest.raises(UsageError, match="no row with a processing error"):
            job.retry()
        stopped = client.submit(way.folder / "in.csv", model=NOBODY[1])
        with pytest.raises(UsageError, match="has not ended"):
            stopped.retry()
        stopped.cancel()
        stopped.wait(60)
        again = stopped.retry()
        assert again.status().model.name == NOBODY[1]
        assert way.asked("cancel", again.id)["status"] in ("cancelling", "cancelled")
    assert (
        "other options: top_k was 1, now 2"
        in way.producer("submit", "in.csv", "--reuse", first, "--top-k", "2", code=2).stderr
    )


def test_two_jobs_are_compared(way: Way) -> None:
    text = "question|context\nWho keeps the light?|The light is kept by {}.\nWhat\u2028is it?|It is\u2028a mill.\n"
    jobs = []
    for name in ("Ingrid Aas", "Olav Moe"):
        (way.folder / "in.csv").write_text(text.format(name))
        jobs.append(way.producer("submit", "in.csv", "--wait").stdout.strip())
    found = way.asked("diff", *jobs)
    assert [one["first"]["answer"] for one in found["changes"]] == ["Ingrid Aas"]
    assert (found["summary"]["changed"], found["summary"]["same"]) == (1, 1)
    assert "1 the same, 1 changed" in way.producer("diff", *jobs).stdout
    assert way.asked("diff", jobs[0], jobs[0])["summary"]["same"] == 2


def test_workers_are_shown(way: Way) -> None:
    until(lambda: not [one for one in way.cluster.queue.workers() if one.job], "the worker to say that it is idle")
    (one,) = way.asked("workers")
    assert one["model"] == "minilm-l6-qa"
    assert "idle" in way.producer("workers").stdout


def test_what_cannot_be_read_is_refused_and_leaves_nothing(way: Way) -> None:
    (way.folder / "in.csv").write_text("a|b\n1|2\n")
    refused = way.producer("submit", "in.csv", code=2)
    assert "question" in refused.stderr
    missing = way.producer("submit", "none.csv", code=2)
    assert "none.csv" in missing.stderr
    with way.client() as client:
        before = client.jobs()
        with pytest.raises(InputError) as error:
            client.submit(b"a|b\n1|2\n")
        assert error.value.code == "missing_column"
        with pytest.raises(UsageError):
            client.submit(ROWS, top_k=0)
        with pytest.raises(UnknownJob):
            client.job("20200101-000000-00000000")
        assert client.jobs() == before


def test_who_stops_waiting_ends_no_job(way: Way) -> None:
    write_rows(way.folder / "in.csv", 5)
    job = way.producer("submit", "in.csv", *NOBODY).stdout.strip()
    late = way.producer("status", job, "--watch", "--timeout", "0.5", code=130)
    assert f"follow it again with: producer status {job} --watch" in late.stderr
    with way.client() as client, pytest.raises(TimedOut):
        client.job(job).wait(timeout=0.5)
    assert way.asked("status", job)["status"] == "queued"


# What only a server has


def test_a_server_that_goes_and_comes_is_waited_for(running: Cluster) -> None:
    write_rows(running.folder / "in.csv", 5)
    with serving(running) as first:
        url = str(first.base_url).rstrip("/")
        env = {name: value for name, value in os.environ.items() if not name.startswith("BULKQA_")}
        job = running.producer("submit", "in.csv", "--server", url, env=env).stdout.strip()
        command = [sys.executable, "-m", "producer", "status", job, "--watch", "--json", "--server", url]
        pipe = subprocess.PIPE
        watching = subprocess.Popen(command, env=env, stdout=pipe, stderr=pipe, text=True)
        assert watching.stderr
        assert "no worker serves" in watching.stderr.readline()
    went = time.monotonic()
    while "does not answer" not in watching.stderr.readline():
        assert watching.poll() is None
    assert time.monotonic() - went < 10
    with serving(running, "--port", url.rpartition(":")[2]):
        running.worker()
        said, _ = watching.communicate(timeout=90)
        assert watching.returncode == 0
    assert json.loads(said)["status"] == "completed"


def test_the_wrong_address_or_token_is_told(shared: Cluster, guarded: httpx.Client) -> None:
    url = str(guarded.base_url)
    for env, what in (({}, "requires a token"), ({"BULKQA_API_TOKEN": "x" * 20}, "is not one of this server")):
        refused = shared.producer("list", "--server", url, env=os.environ | env)
        assert refused.returncode == 2
        assert what in refused.stderr
        assert "Set BULKQA_API_TOKEN" in refused.stderr
    gone = shared.producer("list", "--server", f"http://127.0.0.1:{free_port()}")
    assert gone.returncode == 6
    assert "does not answer" in gone.stderr
    for wrong in ("localhost:1", "ftp://host/", "http://u:p@host/"):
        refused = shared.producer("list", "--server", wrong)
        assert refused.returncode == 2, refused.stderr
        assert "u:p" not in refused.stderr
    both = shared.producer("list", "--server", url, "--storage", "here")
    assert (both.returncode, "--storage" in both.stderr) == (2, True)
    kept = shared.producer("du", env=shared.env | {"BULKQA_SERVER": url})
    assert (kept.returncode, "BULKQA_SERVER" in kept.stderr) == (2, True)


def test_columns_that_are_none_or_of_another_table_are_refused(server: httpx.Client) -> None:
    table = b"question|context\na?|b\n"
    other = InputColumns(pa.table({"question": pa.array([], pa.string())})).to_bytes()
    long = InputColumns(
        pa.table({n: pa.array([], pa.string()) for n in ("question", "context")}), pa.table({"i": [1, 2]})
    )
    before = [job["id"] for job in server.get("/v1/jobs").json()["jobs"]]
    for kept in (b"", b"garbage", other[:-9], other, long.to_bytes()):
        files = {"file": ("in.csv", table), "columns": ("columns.arrow", kept)}
        answer = server.post("/v1/jobs", files=files)
        assert (answer.status_code, answer.json()["code"]) == (422, "unreadable"), answer.text
        assert "the columns beside the table" in answer.json()["detail"]
    listed = server.get("/v1/jobs").json()
    assert ([job["id"] for job in listed["jobs"]], listed["damaged"]) == (before, [])


class _Stranger(BaseHTTPRequestHandler):
    """A server that is none of ours, and says yes to everything."""

    def do_GET(self) -> None:
        body = b'{"hello": "there"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def test_a_server_that_is_none_of_ours_is_told_from_one(shared: Cluster) -> None:
    with HTTPServer(("127.0.0.1", 0), _Stranger) as stranger:
        thread = threading.Thread(target=stranger.serve_forever)
        thread.start()
        try:
            for verb in ("list", "status"):
                given = ("20200101-000000-00000000",) if verb == "status" else ()
                done = shared.producer(verb, *given, "--server", f"http://127.0.0.1:{stranger.server_port}")
                assert done.returncode == 2, done.stderr
                assert "does not answer as bulkqa" in done.stderr
        finally:
            stranger.shutdown()
            thread.join()


def test_a_pipe_is_sent_whose_size_nobody_knows_and_a_closed_client_says_that_it_is(running: Cluster) -> None:
    with serving(running) as server:
        client = Client(server=str(server.base_url))
        read, write = os.pipe()
        with os.fdopen(write, "wb") as sink, os.fdopen(read, "rb") as source:
            sink.write(b"question|context\na?|b\n")
            sink.close()
            job = client.submit(source)
        assert job.status().request_counts.total == 1
    with pytest.raises(Unreachable):
        job.status()
    client.close()
    with pytest.raises(UsageError, match="closed"):
        job.status()


def test_questions_are_asked_of_a_folder_of_documents_five_of_which_are_broken(way: Way) -> None:
    folder = contracts(way.folder / "contracts")
    (way.folder / "questions.csv").write_text("id|question\nbuilt|When was it built?\nsold|Who was it sold to?\n")
    asked = ("--documents", "contracts", "--questions", "questions.csv")
    done = way.producer("submit", *asked, "--wait", "-o", "out.jsonl", code=3)
    lines = [json.loads(line) for line in (way.folder / "out.jsonl").read_text().splitlines()]
    assert [(one["document"], one["id"]) for one in lines] == [
        (path.name, id_) for path in sorted(folder.iterdir()) for id_ in ("built", "sold")
    ]
    assert [one["answer"] for one in lines[:30:2]] == [str(1800 + number) for number in range(15)]
    assert {one["answer"] for one in lines[1:30:2]} == {"Ingrid Aas"}
    assert [one["page"] for one in lines[:2]] == [1, 2]
    assert [one["error"]["code"] for one in lines[30::2]] == [
        *["unreadable_document"] * 3,
        "no_text",
        "unreadable_document",
    ]
    name = done.stdout.strip()
    assert verify_job(way.cluster.storage, name).problems == ()
    head, first, *_, last = way.producer("results", name, "--wide", "--format", "csv", code=3).stdout.splitlines()
    assert head.split(",")[:4] == [
        "document",
        "When was it built?",
        "When was it built? (score)",
        "When was it built? (page)",
    ]
    assert (first.split(",")[1], first.split(",")[4]) == ("1800", "Ingrid Aas")
    assert last.startswith("19.txt,,,,,,,unreadable_document")
    way.producer("results", name, "--format", "html", "-o", "pages", code=3)
    pages = sorted(path.name for path in (way.folder / "pages").iterdir())
    assert pages == [f"{n + 1:04}-{path.name}.html" for n, path in enumerate(sorted(folder.iterdir()))] + ["index.html"]
    shown = (way.folder / "pages" / pages[0]).read_text()
    assert ">1800</mark>" in shown
    assert "The mill of Skar was built in " in shown
    with way.client() as client:
        questions = pd.DataFrame({"id": ["built", "sold"], "question": ["When was it built?", "Who was it sold to?"]})
        job = client.submit(documents=folder, questions=questions)
        job.wait(timeout=120)
        frame = job.results()
    assert frame["answer"].fillna("").tolist() == [one["answer"] or "" for one in lines]
    assert frame["document"].tolist() == [one["document"] for one in lines]
    assert frame["excerpt"][0].startswith("The mill of Skar")


def test_documents_are_sent_in_a_form_with_questions_as_text(guarded: httpx.Client, shared: Cluster) -> None:
    files = [("documents", (f"deep/{n}.txt", f"The mill was built in {1700 + n}.")) for n in range(3)]
    headers = {"Authorization": f"Bearer {TOKEN}"}
    sent = guarded.post("/v1/jobs", files=files, data={"questions": "When was it built?\n"}, headers=headers)
    assert sent.status_code == 202, sent.text
    job = sent.json()["id"]
    until(lambda: guarded.get(f"/v1/jobs/{job}", headers=headers).json()["status"] == "completed", "the end of the job")
    found = guarded.get(f"/v1/jobs/{job}/results?format=jsonl", headers=headers).text.splitlines()
    assert [(json.loads(line)["document"], json.loads(line)["answer"]) for line in found] == [
        (f"deep/{n}.txt", str(1700 + n)) for n in range(3)
    ]
    for wrong in (
        {"files": files},
        {"files": [("file", ("a.csv", "x")), *files], "data": {"questions": "Who?"}},
        {"files": [("file", ("a.csv", "x"))], "data": {"questions": "Who?"}},
        {"files": [("other", ("a.csv", "x"))], "data": {"questions": "Who?", "documents": "a.pdf"}},
        {"files": [("documents", (f"{n}.txt", "x")) for n in range(101)], "data": {"questions": "Who?"}},
    ):
        refused = guarded.post("/v1/jobs", headers=headers, **wrong)
        assert refused.status_code == 422 or refused.status_code == 400, refused.text
        assert "documents" in refused.json()["detail"]
