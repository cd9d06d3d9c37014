"""Jobs over HTTP: a real server in front of real workers, asked as a program and as a browser would."""

from __future__ import annotations

import io
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import openpyxl
import psutil
import pyarrow.parquet as pq
import pytest

from contract.format import layout
from contract.ledger import records
from tests.acceptance.cluster import Cluster, cluster, until, write_rows, year
from tests.acceptance.serving import serving
from tests.preloaded import Commands

TOKEN = "a-token-of-24-characters"  # noqa: S105


def sent(client: httpx.Client, file: Path | bytes, name: str = "rows.csv", **fields: str) -> httpx.Response:
    data = file if isinstance(file, bytes) else file.read_bytes()
    return client.post("/v1/jobs", files={"file": (name, data)}, data=fields)


def ended(client: httpx.Client, job: str) -> dict:
    """The last of the events of a job."""
    with client.stream("GET", f"/v1/jobs/{job}/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        kinds, last = [], ""
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            kinds += [value] if name == "event" else []
            last = value if name == "data" else last
    assert kinds[-1] == "end"
    assert set(kinds[:-1]) <= {"progress"}
    return json.loads(last)


def problem(answer: httpx.Response) -> tuple[int, str]:
    """Its status and code; that it is a problem as RFC 9457 has them, whose remedy is in the words of HTTP."""
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert document["status"] == answer.status_code
    assert {"type", "title", "detail", "code", "remedy", "remedy_parts", "set"} <= document.keys()
    told = f"{document['detail']} {document['remedy']}"
    assert "--" not in told.replace("worker start --model DIR", "")  # which no request can do
    return answer.status_code, document["code"]


def test_a_job_from_its_upload_to_its_answers(shared: Cluster, server: httpx.Client, tmp_path: Path):
    file = write_rows(tmp_path / "rows.csv", 40)
    file.write_text(file.read_text() + "r40||no question here|1\n")
    answer = sent(server, file, top_k="2", metadata=json.dumps({"team": tmp_path.name}))
    assert answer.status_code == 202, answer.text
    job = answer.json()["id"]
    assert answer.headers["location"] == f"/v1/jobs/{job}"
    final = ended(server, job)
    assert final == server.get(f"/v1/jobs/{job}").json()
    assert final["status"] == "completed_with_errors"
    assert final["request_counts"]["total"] == 41
    assert final["metadata"] == {"team": tmp_path.name}
    assert final["output_uri"] == f"/v1/jobs/{job}/results"

    told = json.loads(shared.producer("status", job, "--json").stdout)
    assert final.keys() == told.keys()
    assert final["request_counts"] == told["request_counts"]

    whole = server.get(f"/v1/jobs/{job}/results").json()["predictions"]
    assert [row["row"] for row in whole] == list(range(41))
    assert [row["answer"] for row in whole[:40]] == [str(year(number)) for number in range(40)]
    lines = server.get(f"/v1/jobs/{job}/results", params={"format": "jsonl"}).text.splitlines()
    assert [json.loads(line) for line in lines] == whole
    assert server.get(f"/v1/jobs/{job}/results", params={"format": "csv"}).text.startswith("row|")
    table = pq.read_table(io.BytesIO(server.get(f"/v1/jobs/{job}/results", params={"format": "parquet"}).content))
    assert table.num_rows == 41

    errors = server.get(f"/v1/jobs/{job}/errors")
    assert "empty_question" in errors.text
    listed = server.get("/v1/jobs", params={"metadata": f"team={tmp_path.name}"}).json()["jobs"]
    assert [one["id"] for one in listed] == [job]
    same = server.get(f"/v1/jobs/{job}/diff", params={"with": job}).json()
    assert (same["changes"], same["summary"]["same"]) == ([], 41)
    assert server.delete(f"/v1/jobs/{job}").json()["job"] == job
    assert problem(server.get(f"/v1/jobs/{job}")) == (404, "unknown_job")


def test_rows_come_a_page_at_a_time_and_filtered(server: httpx.Client, tmp_path: Path):
    job = sent(server, write_rows(tmp_path / "rows.csv", 60)).json()["id"]
    ended(server, job)
    seen, offset = [], 0
    while offset is not None:
        found = server.get(f"/v1/jobs/{job}/rows", params={"offset": offset, "limit": 25}).json()
        seen += found["predictions"]
        offset = found["next"]
    assert seen == server.get(f"/v1/jobs/{job}/results").json()["predictions"]
    found = server.get(f"/v1/jobs/{job}/rows", params={"text": "NUMBER 17 ", "status": "answered"}).json()
    assert [row["row"] for row in found["predictions"]] == [17]
    low = server.get(f"/v1/jobs/{job}/rows", params={"below": 0.5, "limit": 500}).json()["predictions"]
    sure = server.get(f"/v1/jobs/{job}/rows", params={"above": 0.5, "status": "answered", "limit": 500}).json()
    rest = server.get(f"/v1/jobs/{job}/rows", params={"rest": 0.5, "limit": 500}).json()
    both = [row["row"] for part in (sure, rest) for row in part["predictions"]]
    assert sorted(both) == list(range(60)), "each row is on one side"
    spread = server.get(f"/v1/jobs/{job}/scores").json()
    assert (spread["rows"], spread["read"], sum(spread["answered"])) == (60, 60, 60)
    ranked, place = [], 0
    while place is not None:
        found = server.get(f"/v1/jobs/{job}/rows", params={"order": "score", "offset": place, "limit": 25}).json()
        ranked += found["predictions"]
        place = found["next"]
    assert sorted(ranked, key=lambda row: row["row"]) == seen
    assert [row["score"] for row in ranked] == sorted(row["score"] for row in ranked)
    assert [row["row"] for row in low] == [row["row"] for row in seen if row["score"] < 0.5]
    wanted = {"text": "number 1", "above": 0.5}
    matching = [row for row in seen if row["score"] >= 0.5 and "number 1" in row["context"]]
    assert 0 < len(matching) < 60
    assert server.get(f"/v1/jobs/{job}/matches", params=wanted).json()["count"] == len(matching)
    exported = server.get(f"/v1/jobs/{job}/results", params=wanted).json()["predictions"]
    assert exported == matching
    sheet = server.get(f"/v1/jobs/{job}/results", params={"format": "csv", "bom": True, **wanted}).content
    assert sheet.startswith(b"\xef\xbb\xbfrow|")
    assert sheet.count(b"\n") == len(matching) + 1
    book = server.get(f"/v1/jobs/{job}/results", params={"format": "xlsx", **wanted})
    assert book.headers["content-disposition"] == f'attachment; filename="{job}.xlsx"'
    cells = list(openpyxl.load_workbook(io.BytesIO(book.content)).active.iter_rows(values_only=True))
    assert [row[0] for row in cells[1:]] == [row["row"] for row in matching]


def test_a_question_is_answered_at_once_and_no_job_is_left(shared: Cluster, server: httpx.Client):
    before = set(records.jobs(shared.storage))
    asked = {"question": "When was the mill founded?", "context": "The mill was founded by the town in 1532."}
    answer = server.post("/v1/answer", json=asked)
    assert answer.status_code == 200, answer.text
    assert [row["answer"] for row in answer.json()["predictions"]] == ["1532"]
    several = server.post("/v1/answer", json={"rows": [asked, asked], "top_k": 2}).json()["predictions"]
    assert [row["answer"] for row in several] == ["1532", "1532"]
    assert several[0]["alternatives"]
    until(lambda: set(records.jobs(shared.storage)) <= before, "the jobs' removal")
    assert problem(server.post("/v1/answer", json={"question": "alone?"})) == (422, "usage")


@pytest.fixture(scope="module")
def alone(
    tmp_path_factory: pytest.TempPathFactory, commands: Commands, object_store: None
) -> Iterator[tuple[Cluster, httpx.Client]]:
    """A cluster without workers and jobs, and a client of a server that holds twenty connections."""
    with (
        cluster(tmp_path_factory.mktemp("alone"), commands) as running,
        serving(running, BULKQA_API_CONNECTIONS="20") as client,
    ):
        yield running, client


def test_nobody_answers_without_a_worker(alone: tuple[Cluster, httpx.Client]):
    running, client = alone
    answer = client.post("/v1/answer", json={"question": "When?", "context": "In 1532."})
    assert problem(answer) == (503, "no_worker")
    assert "retry-after" in answer.headers
    assert records.jobs(running.storage) == []
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").json() == {"status": "ok", "workers": 0}


def test_the_same_key_finds_the_first_job(server: httpx.Client, tmp_path: Path):
    file = write_rows(tmp_path / "rows.csv", 3).read_bytes()
    first, again = (
        server.post("/v1/jobs", files={"file": ("rows.csv", file)}, headers={"Idempotency-Key": tmp_path.name})
        for _ in range(2)
    )
    assert (first.status_code, again.status_code) == (202, 200)
    assert first.json()["id"] == again.json()["id"]
    other = server.post(
        "/v1/jobs", files={"file": ("rows.csv", b"question|context\na|b\n")}, data={"key": tmp_path.name}
    )
    assert problem(other) == (422, "usage")


def test_a_file_of_the_storage_is_named_by_its_url_and_no_other_is_read(
    shared: Cluster, server: httpx.Client, tmp_path: Path
):
    shared.storage.create("inputs/rows.csv", write_rows(tmp_path / "rows.csv", 3).read_bytes())
    (tmp_path / "secret.csv").write_text("question|context\nsecret|secret\n")
    for url in ("inputs/rows.csv", f"{shared.storage.url}/inputs/rows.csv"):
        assert server.post("/v1/jobs", json={"url": url}).status_code == 202
    for url in ("storage.json", "inputs/../storage.json", "../secret.csv", str(tmp_path / "secret.csv"),
                "file:///etc/passwd", "http://localhost/x", 5, None):  # fmt: skip
        assert problem(server.post("/v1/jobs", json={"url": url})) == (422, "usage"), url
    for url in ("inputs/", "inputs/.", "inputs/rows.csv/x", "inputs/" + "a" * 5000, "inputs/\0", "inputs/\ud800"):
        body = json.dumps({"url": url})
        headers = {"Content-Type": "application/json"}
        assert problem(server.post("/v1/jobs", content=body, headers=headers)) == (422, "usage"), url
    missing = server.post("/v1/jobs", json={"url": "inputs/none.csv"})
    assert problem(missing) == (404, "unknown_input")
    assert str(shared.home) not in missing.text


@pytest.mark.parametrize(
    ("file", "fields", "code"),
    [
        (b"", {}, "empty_file"),
        (b"a|b\n1|2\n", {}, "missing_column"),
        (b"%PDF-1.7 ", {}, "unsupported_format"),
        (b"question|context\n1|2\n", {"top_k": "none"}, "usage"),
        (b"question|context\n1|2\n", {"top_q": "3"}, "usage"),
        (b"question|context\n1|2\n", {"metadata": "{"}, "usage"),
        (b"question|context\n1|2\n", {"model": "../model"}, "usage"),
    ],
)
def test_what_submit_refuses_is_refused_and_leaves_nothing(
    shared: Cluster, server: httpx.Client, file: bytes, fields: dict[str, str], code: str
):
    before = shared.storage.list(layout.JOBS)
    answer = sent(server, file, **fields)
    assert problem(answer) == (422, code)
    assert shared.storage.list(layout.JOBS) == before
    assert "Traceback" not in answer.text


def test_unknown_jobs_tell_nothing_of_the_server(everybodys: Cluster, server: httpx.Client):
    for job in ("20260101-000000-00000000", "..", "%2e%2e", "..%2f..%2fetc", "A", "x" * 300):
        for path in ("", "/results", "/errors", "/rows", "/events"):
            answer = server.get(f"/v1/jobs/{job}{path}")
            assert answer.status_code in (404, 422), (job, path, answer.text)
            assert str(everybodys.folder) not in answer.text


def test_limits_on_bytes_jobs_and_requests(running: Cluster, tmp_path: Path):
    limits = {"BULKQA_API_UPLOAD_BYTES": "5000", "BULKQA_API_JOBS": "1", "BULKQA_API_REQUESTS": "20"}
    file = write_rows(tmp_path / "rows.csv", 1)
    with serving(running, **limits) as client:
        assert problem(sent(client, b"x" * 6000)) == (413, "too_large")
        chunks = (b"x" * 1000 for _ in range(9))  # without a length that says so
        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        body = (block for block in (head, *chunks))
        assert problem(client.post("/v1/jobs", content=body, headers=headers)) == (413, "too_large")
        assert sent(client, file).status_code == 202
        until(lambda: problem_code(sent(client, file)) == "too_many_jobs", "the count of jobs")
        refused = until(lambda: refused_of(client.get("/v1/workers")), "the limit of requests")
        assert problem(refused) == (429, "too_many_requests")
        assert int(refused.headers["retry-after"]) >= 1


def test_connections_that_say_nothing_keep_nobody_out(alone: tuple[Cluster, httpx.Client]):
    _, client = alone
    with ExitStack() as open_sockets:
        address = (client.base_url.host, client.base_url.port)
        for _ in range(100):
            open_sockets.enter_context(socket.create_connection(address))
        for path in ("/healthz", "/v1/jobs", "/v1/workers"):
            assert httpx.get(f"{client.base_url}{path}", timeout=60).status_code == 200
        kept = [each for each in process_of(client).net_connections() if each.status == psutil.CONN_ESTABLISHED]
        assert len([each for each in kept if each.laddr.port == client.base_url.port]) <= 20


@pytest.mark.skipif(sys.platform != "linux", reason="the limit of another process is set")
def test_a_full_tmpdir_is_a_problem_that_names_it(running: Cluster, tmp_path: Path):
    """The kernel lets the server write no larger file, as a full disk would."""
    with serving(running) as client:
        process_of(client).rlimit(psutil.RLIMIT_FSIZE, (1 << 20, 1 << 20))
        answer = sent(client, b"question|context\n" + b"a?|b\n" * (1 << 20))
        assert problem(answer) == (507, "no_room")
        assert "TMPDIR" in answer.json()["remedy"]
        assert sent(client, write_rows(tmp_path / "rows.csv", 1)).status_code == 202


def process_of(client: httpx.Client) -> psutil.Process:
    """The server that a client talks to."""
    return next(
        child
        for child in psutil.Process().children(recursive=True)
        if any(each.laddr and each.laddr.port == client.base_url.port for each in child.net_connections())
    )


def test_only_uploads_are_read_whole(alone: tuple[Cluster, httpx.Client]):
    """A body without end, under the name of a form: the server stops reading, and holds none of it."""
    _, client = alone
    port = client.base_url.port
    assert port
    process = process_of(client)
    assert client.get("/healthz").status_code == 200
    before = process.memory_info().rss
    for path, most in (("/v1/answer", 4 << 20), ("/login", 4 << 10)):
        with socket.create_connection((client.base_url.host, port)) as connection:
            head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
            connection.sendall(f"{head}Content-Type: multipart/form-data; boundary=b\r\n\r\n".encode())
            block = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
            sent_bytes = 0
            with suppress(ConnectionError):
                while sent_bytes < 1 << 30:
                    connection.sendall(block)
                    sent_bytes += len(block)
            assert connection.recv(12) in (b"HTTP/1.1 413", b"HTTP/1.1 400")
        assert sent_bytes < most + (16 << 20), "what the kernel holds comes on top"
    assert process.memory_info().rss - before < 32 << 20


def problem_code(answer: httpx.Response) -> str:
    return answer.json().get("code", "")


def refused_of(answer: httpx.Response) -> httpx.Response | None:
    return answer if answer.status_code == 429 else None


def test_a_token_is_asked_for_everywhere_and_the_page_logs_in(running: Cluster):
    with serving(running, BULKQA_API_TOKEN=f"an-old-token-of-old,{TOKEN}") as client:
        assert problem(client.get("/v1/jobs")) == (401, "no_token")
        assert problem(client.get("/openapi.json")) == (401, "no_token")
        wrong = {"Authorization": "Bearer another-token-of-24-char"}
        assert problem(client.get("/v1/jobs", headers=wrong)) == (403, "wrong_token")
        for token in (TOKEN, "an-old-token-of-old"):
            assert client.get("/v1/jobs", headers={"Authorization": f"Bearer {token}"}).status_code == 200
        assert client.get("/login").status_code == 200
        assert problem(client.post("/login", files={}, data={"token": "wrong"})) == (403, "wrong_token")
        answer = client.post("/login", data={"token": TOKEN})
        assert answer.status_code == 303
        cookie = answer.headers["set-cookie"]
        assert TOKEN not in cookie
        assert all(word in cookie for word in ("HttpOnly", "SameSite=strict"))
        assert client.get("/v1/jobs").status_code == 200
        other = {"Origin": "http://elsewhere.example"}
        assert problem(client.post("/v1/answer", json={}, headers=other)) == (403, "other_site")


def test_pages_of_other_sites_do_nothing(server: httpx.Client):
    for headers in ({"Origin": "http://elsewhere.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert problem(server.post("/v1/answer", json={}, headers=headers)) == (403, "other_site")
    assert problem(server.get("/v1/jobs", headers={"Host": "rebound.example"})) == (403, "wrong_host")
    policy = server.get("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_another_address_needs_a_token(shared: Cluster):
    command = [sys.executable, "-m", "producer", "serve", "--host", "0.0.0.0", "--port", "0"]
    done = subprocess.run(command, env=shared.env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "BULKQA_API_TOKEN" in done.stderr


def test_an_upload_that_breaks_off_makes_no_job(shared: Cluster, server: httpx.Client):
    before = shared.storage.list(layout.JOBS)
    host, port = server.base_url.host, server.base_url.port
    assert port
    with socket.create_connection((host, port)) as connection:
        head = f"POST /v1/jobs HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Length: 100000\r\n"
        head += "Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n"
        connection.sendall(
            head.encode() + b'Content-Disposition: form-data; name="file"; filename="a"\r\n\r\nquestion|'
        )
    assert {job["id"] for job in server.get("/v1/jobs").json()["jobs"]} <= set(before)
    assert shared.storage.list(layout.JOBS) == before


def test_a_cancelled_job_ends_and_is_removed(server: httpx.Client, tmp_path: Path):
    job = sent(server, write_rows(tmp_path / "rows.csv", 5), model="nobody-serves-this").json()["id"]
    assert problem(server.delete(f"/v1/jobs/{job}")) == (409, "not_ended")
    assert server.post(f"/v1/jobs/{job}/cancel").status_code == 202
    assert ended(server, job)["status"] == "cancelled"
    assert server.delete(f"/v1/jobs/{job}").status_code == 200


def test_while_redis_is_away_it_says_so_and_comes_back(running: Cluster, tmp_path: Path):
    with serving(running, BULKQA_REDIS_URL="redis://localhost:1/0") as client:
        answer = sent(client, write_rows(tmp_path / "rows.csv", 1))
        assert problem(answer) == (503, "unreachable")
        assert int(answer.headers["retry-after"]) > 0
        assert problem(client.get("/readyz"))[0] == 503
        assert client.get("/healthz").status_code == 200
        assert client.get("/v1/jobs").json()["jobs"] == []


def test_one_command_serves_and_answers(tmp_path: Path, running: Cluster):
    """With --local it starts Redis and a worker of its own."""
    with serving(running, "--local", "--storage", str(tmp_path / "local"), BULKQA_REDIS_URL="") as client:
        until(lambda: client.get("/readyz").json().get("workers"), "its worker")
        asked = {"question": "When was the mill founded?", "context": "The mill was founded by the town in 1532."}
        assert client.post("/v1/answer", json=asked).json()["predictions"][0]["answer"] == "1532"
