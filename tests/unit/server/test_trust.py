"""The routes of verdicts: stored, read, undone and refused; the sample, and the promise that grows with them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from contract.format import layout
from contract.settings import Settings
from contract.storage import Storage, open_storage
from tests.making import finish, job_of
from tests.twins.queue import MemoryQueue

pytest.importorskip("starlette")

from producer.server.app import make_app


class Server:
    """The application, in this process, asked a request at a time."""

    def __init__(self, settings: Settings) -> None:
        self._transport = httpx.ASGITransport(make_app(settings), raise_app_exceptions=False)

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def once() -> httpx.Response:
            async with httpx.AsyncClient(transport=self._transport, base_url="http://localhost") as client:
                return await client.request(method, path, **options)

        return asyncio.run(once())

    def get(self, path: str, **query: Any) -> Any:
        answer = self.ask("GET", path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
def storage(settings: Settings) -> Storage:
    return open_storage(settings.storage_url, create=True)


@pytest.fixture
def server(storage: Storage, settings: Settings) -> Server:
    return Server(settings)


def made(
    storage: Storage, settings: Settings, lines: list[str], header: str = "question|context|score", **options: Any
) -> str:
    data, settings = "\n".join([header, *lines, ""]).encode(), settings.model_copy(update={"chunk_rows": 40})
    job = job_of(storage, settings, data).id
    finish(job, storage, MemoryQueue(), settings)
    return job


@pytest.fixture
def job(storage: Storage, settings: Settings) -> str:
    """200 answers, with scores from 0.505 to 1.5 down; row 7 has none."""
    lines = [f"what is {row}?|word{row} of a context|{1 - row / 400:.4f}" for row in range(200)]
    lines[7] = "nothing?|word7 of a context|0.5"
    return made(storage, settings, lines)


def test_a_sample_is_judged_and_promises(server: Server, job: str):
    path = f"/v1/jobs/{job}"
    sample = server.get(f"{path}/sample", rows=150, precision=0.8)
    assert sample == server.get(f"{path}/sample", rows=150, precision=0.8, seed=1)
    assert (len(sample["rows"]), len(set(sample["rows"])), sample["pool"]) == (150, 150, 150)
    assert sample["floor"] == 0.625
    for row in sample["rows"][:120]:
        verdict = {"row": row, "verdict": "right" if row < 120 else "wrong", "floor": sample["floor"]}
        posted = server.ask("POST", f"{path}/verdicts", json={"verdicts": [verdict], "by": "ann"})
        assert (posted.status_code, posted.json()) == (201, {"stored": 1})
    server.ask("POST", f"{path}/verdicts", json={"verdicts": [{"row": 0, "verdict": "skipped"}]})
    stored = server.get(f"{path}/verdicts")
    assert len(stored["verdicts"]) in (120, 121)
    assert [each["row"] for each in stored["verdicts"]][:100] == sample["rows"][:100]
    assert {each["by"] for each in stored["verdicts"]} <= {"ann", ""}
    promise = server.get(f"{path}/trust", precision=0.8)
    assert promise["job"] == job
    assert (promise["by"], promise["labels_sha256"]) == ("people", stored["digest"])
    assert promise["labels"] in (120, 121)
    assert [each["labels"] for each in promise["looks"]] == [60, 100]
    assert promise["next_look"] == 199, "there are no more answers"
    assert 0.6 < promise["threshold"] < 0.85
    assert promise["lower_bound"] >= 0.8
    assert promise["trusted"] + promise["rest"] == 200
    assert promise["trusted"] / 200 == promise["share"]
    assert promise["curve"][0].keys() == {"threshold", "lower_bound", "share", "labels", "wrong"}
    assert (promise["model"]["name"], promise["questions"]) == ("tiny", None)
    assert server.get(f"{path}/trust", precision=0.99)["threshold"] is None


def test_rows_of_a_sample_are_shown_in_its_order(server: Server, job: str):
    path = f"/v1/jobs/{job}/rows"
    page = server.get(path, row=[150, 3, 77, 3], around=5)
    assert [each["row"] for each in page["predictions"]] == [150, 3, 77, 3]
    assert (page["next"], page["predictions"][0]["context"]) == (None, "word150 of a")
    assert [each["row"] for each in server.get(path, row=[150, 3, 77], limit=1, offset=1)["predictions"]] == [3]
    assert server.ask("GET", path, params={"row": [3, 200]}).status_code == 422
    assert server.ask("GET", path, params={"row": [3] * 501}).status_code == 422


def test_what_is_undone_was_never_said(server: Server, job: str):
    path = f"/v1/jobs/{job}/verdicts"
    for verdict in ("wrong", "withdrawn"):
        assert server.ask("POST", path, json={"verdicts": [{"row": 3, "verdict": verdict}]}).status_code == 201
    assert server.get(path)["verdicts"] == []
    assert server.ask("GET", f"/v1/jobs/{job}/trust").status_code == 422


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"verdicts": [{"row": 200, "verdict": "right"}]}, "a verdict on row 200, and the 200 rows"),
        ({"verdicts": [{"row": 1, "verdict": "right", "answer": "x"}]}, "has 'word1' there"),
        ({"verdicts": [{"row": 1, "verdict": "perhaps"}]}, "verdicts.0.verdict: Input should be"),
        ({"verdicts": [{"row": "one", "verdict": "right"}]}, "verdicts.0.row"),
        ({"verdicts": [{"row": 1, "verdict": "right", "at": 5}]}, "verdicts.0.at: Extra inputs are not permitted"),
        ({"verdicts": [{"row": 1, "verdict": "span", "start": 0, "end": 99}]}, "no words from 0 to 99"),
        ({"verdicts": []}, "at least 1 item"),
        ({"verdicts": [{"row": 1, "verdict": "right"}] * 10_001}, "at most 10000 items"),
        ({"verdicts": [{"row": 1, "verdict": "right", "floor": 2}]}, "less than or equal to 1"),
        ({"rows": []}, "body.verdicts: Field required"),
    ],
)
def test_what_cannot_be_stored_is_refused_with_its_reason(
    body: Any, words: str, server: Server, job: str, storage: Storage
):
    answer = server.ask("POST", f"/v1/jobs/{job}/verdicts", json=body)
    assert answer.status_code == 422
    assert words in answer.json()["detail"]
    assert storage.list(layout.verdicts(job)) == []


def test_a_call_of_as_many_as_are_stored_at_once_fits(server: Server, job: str):
    verdict = {"row": 3, "verdict": "wrong", "answer": "word3", "note": "n" * 200, "floor": 0.123456, "by": "somebody"}
    body = json.dumps({"verdicts": [verdict] * 10_000})
    answer = server.ask("POST", f"/v1/jobs/{job}/verdicts", content=body, headers={"Content-Type": "application/json"})
    assert answer.json() == {"stored": 10_000}
    large = server.ask("POST", f"/v1/jobs/{job}/verdicts", content=b"x" * (4 << 20) + b"x")
    assert large.status_code == 413


def test_an_unfinished_job_cannot_be_judged_and_an_unknown_one_is_not_found(
    server: Server, storage: Storage, settings: Settings
):
    job = job_of(storage, settings).id
    body = {"verdicts": [{"row": 0, "verdict": "right"}]}
    for name, status, code in ((job, 409, "not_ended"), ("no-such-job", 404, "unknown_job")):
        for method, path in (("POST", "verdicts"), ("GET", "sample"), ("GET", "trust")):
            answer = server.ask(method, f"/v1/jobs/{name}/{path}", json=body if method == "POST" else None)
            assert (answer.status_code, answer.json()["code"]) == (status, code), path
    assert server.get(f"/v1/jobs/{job}/verdicts")["verdicts"] == []


def test_without_verdicts_the_reference_answers_promise(server: Server, storage: Storage, settings: Settings):
    lines = [f"what is {row}?|word{row} of it|{1 - row / 400:.4f}|word{row if row < 150 else 0}" for row in range(200)]
    job = made(storage, settings, lines, "question|context|score|answers")
    promise = server.get(f"/v1/jobs/{job}/trust", precision=0.9)
    assert (promise["by"], promise["labels"], promise["wrong"]) == ("references", 200, 50)
    assert promise["labels_sha256"] is None
    assert (promise["share"], promise["threshold"]) == (0.8, 0.6025)
    assert promise["next_look"] is None


def test_probabilities_are_of_rows_and_need_labels_enough(storage: Storage, settings: Settings, server: Server) -> None:
    job = made(storage, settings, [f"what?|word{row} of a context|0.5" for row in range(150)])
    path = f"/v1/jobs/{job}"
    refused = server.ask("GET", f"{path}/results", params={"probability": True})
    assert (refused.status_code, "100 judged answers, 15 of them wrong" in refused.json()["detail"]) == (422, True)
    kinds = {row: "wrong" if row < 50 else "right" for row in range(150)}
    body = {"verdicts": [{"row": row, "verdict": kind, "floor": 0.0} for row, kind in kinds.items()]}
    assert server.ask("POST", f"{path}/verdicts", json=body).status_code == 201
    calibration = server.get(f"{path}/calibration")
    assert (calibration["method"], calibration["labels"], calibration["wrong"]) == ("platt", 150, 50)
    found = server.get(f"{path}/results", probability=True)["predictions"]
    assert [row["probability"] for row in found] == pytest.approx([2 / 3] * 150, abs=0.02)
    refused = server.ask("GET", f"{path}/results", params={"probability": True, "by": "group"})
    assert (refused.status_code, "only rows have probabilities" in refused.json()["detail"]) == (422, True)
