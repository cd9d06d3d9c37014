"""Monday's answers are judged, and what they promise splits Tuesday's: on every surface."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import httpx
import pytest

from bulkqa import Client
from contract.errors import UsageError
from tests.acceptance.cluster import Cluster, sentences, year

pytestmark = pytest.mark.timeout(240)

#: Rows of a file; every fourth asks for what its context does not tell.
ROWS = 90


def write(path: Path, first: int, *, judged: bool) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter="|")
        writer.writerow(["id", "question", "context", *(["answers"] if judged else [])])
        for number in range(first, first + ROWS):
            asked = f"In which year was the place number {number} {'founded' if number % 4 else 'sold'}?"
            right = [str(year(number)) if number % 4 else ""]
            writer.writerow([f"r{number}", asked, sentences(number, 1), *(right if judged else [])])
    return path


@pytest.fixture(scope="module")
def monday(everybodys: Cluster, tmp_path_factory: pytest.TempPathFactory) -> str:
    file = write(tmp_path_factory.mktemp("monday") / "monday.csv", 0, judged=True)
    job = everybodys.submit(file)
    assert everybodys.finish(job)["status"] == "completed"
    return job


def test_the_promise_of_one_file_splits_the_next(shared: Cluster, server: httpx.Client, monday: str) -> None:
    write(shared.folder / "tuesday.csv", ROWS, judged=False)
    done = shared.producer("submit", "tuesday.csv", "--trust", monday[:-2], "--precision", "0.6", "-o", "out.jsonl")
    assert done.returncode == 0, done.stderr
    job = done.stdout.strip()
    status = json.loads(shared.producer("status", job, "--json").stdout)
    split = status["trusted"]
    rows = [json.loads(line) for line in (shared.folder / "out.jsonl").read_text().splitlines()]
    assert [row["trusted"] for row in rows] == [row["score"] >= split["threshold"] for row in rows]
    trusted = [row["row"] for row in rows if row["trusted"]]
    assert (split["job"], split["precision"], split["warning"]) == (monday, 0.6, None)
    assert (split["trusted"], split["rest"]) == (len(trusted), ROWS - len(trusted))
    assert 0 < len(trusted) < ROWS
    assert f"{len(trusted)} with a score of at least" in done.stderr
    assert f"to review    {ROWS - len(trusted)}: " in shared.producer("status", job).stdout

    kept = shared.producer("results", job, "--trusted", "--format", "csv")
    cells = list(csv.DictReader(io.StringIO(kept.stdout), delimiter="|"))
    assert [int(row["row"]) for row in cells] == trusted
    assert {row["trusted"] for row in cells} == {"true"}
    answer = server.get(f"/v1/jobs/{job}/results", params={"trusted": False, "format": "jsonl"})
    assert [json.loads(line) for line in answer.text.splitlines()] == [row for row in rows if not row["trusted"]]
    page = server.get(f"/v1/jobs/{job}/rows", params={"trusted": True, "limit": 500}).json()
    assert [row["row"] for row in page["predictions"]] == trusted
    with shared.client() as client:
        frame = client.job(job).results()
        assert str(frame["trusted"].dtype) == "bool"
        assert list(frame.index[frame["trusted"]]) == trusted


def test_a_client_of_a_server_and_what_is_refused(shared: Cluster, server: httpx.Client, monday: str) -> None:
    file = write(shared.folder / "wednesday.csv", 2 * ROWS, judged=False)
    with Client(server=str(server.base_url)) as client:
        job = client.submit(file, trust=monday, precision=0.6)
        state = job.wait(90)
        assert state.trusted is not None
        assert state.trusted.trusted + state.trusted.rest == ROWS
        assert "to review" in state._repr_html_()
        with pytest.raises(UsageError, match="max_answer_len was 30, now 40"):
            client.submit(file, trust=monday, precision=0.6, max_answer_len=40)
    with file.open("rb") as opened:
        refused = server.post("/v1/jobs", files={"file": opened}, data={"trust": monday, "precision": "0.99"})
    assert refused.status_code == 422
    assert f"job {monday} promises nothing for rows other than its own, at a precision of 99%" in refused.text
    own = server.get(f"/v1/jobs/{monday}/trust", params={"precision": 0.6}).json()
    page = server.get(f"/v1/jobs/{monday}/matches", params={"trusted": True, "precision": 0.6}).json()
    assert page["count"] == own["trusted"], "one that is not split has the sides of its own promise"
    rest = shared.producer("results", monday, "--untrusted", "--precision", "0.6", "--format", "jsonl")
    assert rest.stdout.count("\n") == own["rest"]
    never = server.get(f"/v1/jobs/{monday}/rows", params={"trusted": True, "precision": 0.999})
    assert (never.status_code, never.json()["code"]) == (422, "usage")
