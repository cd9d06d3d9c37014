"""Questions that are answered at once, by the lanes of the workers, beside the chunks that they score.

Real Redis, real worker processes, a real server.
"""

from __future__ import annotations

import asyncio
import json
import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import redis

from bulkqa import AsyncClient, Client, errors
from contract.format import layout
from contract.format.part import Footer
from contract.ledger import records
from contract.ledger.stored import read_footer
from contract.queue import WorkerInfo
from contract.queue.url import read_url
from producer.jobs.answer import MOST_WAITING
from tests.acceptance.cluster import REPO, Cluster, check, child_of, until, write_rows
from tests.acceptance.serving import serving

pytestmark = pytest.mark.timeout(240)

MILL = {"question": "When was the mill founded?", "context": "The mill was founded by the town in 1532."}
POISON = {"PYTHONPATH": f"{REPO / 'tests' / 'acceptance' / 'poison'}:{REPO}", "POISON": "abort", "BULKQA_LEASE": "2"}


def ask(running: Cluster, timeout: float = 20.0, **keywords: object) -> dict[str, object]:
    with running.client() as client:
        return client.answer(**(MILL | keywords), timeout=timeout)  # type: ignore[arg-type]


def left(running: Cluster) -> list[str]:
    """What is stored of questions."""
    return running.storage.list(layout.QUESTIONS)


def long_job(running: Cluster) -> str:
    """A job of one chunk that takes a few seconds, under way."""
    context = "The mill was built in 1731 from oak. " * 12_000
    rows = "".join(f"When was mill {number} built?|{context}\n" for number in range(2))
    (running.folder / "long.csv").write_text(f"question|context\n{rows}")
    job = running.submit("long.csv", max_row_bytes=1 << 20)
    until(lambda: running.attempts(job), "the chunk to be taken")
    return job


def test_an_answer_is_that_of_a_job_to_the_byte_and_leaves_nothing(shared: Cluster, server: httpx.Client) -> None:
    rows = [
        MILL | {"id": "mill"},
        {"question": "Who sings?", "context": "Nobody knows this. " * 400},
        {"question": " ", "context": "An empty question."},
    ]
    file = shared.folder / "rows.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    job = shared.submit(file, top_k=2, doc_stride=64)
    shared.finish(job)
    before = records.jobs(shared.storage)

    answer = server.post("/v1/answer", json={"rows": rows, "top_k": 2, "doc_stride": 64}).json()

    lines = server.get(f"/v1/jobs/{job}/results", params={"format": "jsonl"}).text.splitlines()
    assert [json.dumps(row) for row in answer["predictions"]] == [json.dumps(json.loads(line)) for line in lines]
    assert [row["status"] for row in answer["predictions"]][2] == "error"
    assert answer["job"] is None
    assert answer["model"]["name"] == "minilm-l6-qa"
    assert records.jobs(shared.storage) == before
    until(lambda: not left(shared), "the question's removal")


def test_python_asks_one_question_beside_the_jobs(shared: Cluster, server: httpx.Client) -> None:
    before = records.jobs(shared.storage)
    direct = ask(shared, top_k=2)
    assert (direct["answer"], len(direct["alternatives"])) == ("1532", 1)  # type: ignore[arg-type]
    assert left(shared) == []
    with Client(server=str(server.base_url)) as client:
        assert client.answer(**MILL, top_k=2) == direct
        with pytest.raises(errors.UsageError, match="top_k"):
            client.answer(**MILL, top_k=0)

    async def at_once() -> list[dict[str, object]]:
        async with AsyncClient(server=str(server.base_url)) as client:
            return await asyncio.gather(*(client.answer(**MILL, top_k=2) for _ in range(40)))

    assert asyncio.run(at_once()) == [direct] * 40
    assert records.jobs(shared.storage) == before


def test_a_question_does_not_wait_for_the_chunk_that_its_worker_scores(running: Cluster) -> None:
    running.worker()
    running.ready()
    job = long_job(running)
    answers = [ask(running, question=f"When was mill {n} founded?")["answer"] for n in range(5)]
    assert answers == ["1532"] * 5
    assert running.parts(job) == 0, "the chunk was to be under way still"
    records.request_cancel(running.storage, job)


def test_a_chunk_counts_its_own_windows_alone(running: Cluster) -> None:
    running.worker(threads=2)
    running.ready()
    job = running.submit(write_rows(running.folder / "in.csv", 200), chunk_rows=200)
    with ThreadPoolExecutor(4) as pool:
        for _ in pool.map(lambda n: ask(running, question=f"When was mill {n} founded?"), range(40)):
            pass
    running.finish(job)
    check(running, job, 200)
    footer = read_footer(running.storage, job, 0)
    assert isinstance(footer, Footer)
    assert footer.windows == 200


def test_a_question_that_kills_its_worker_costs_no_row_and_gets_its_error(running: Cluster) -> None:
    running.worker(**POISON)
    running.ready()
    job = running.submit(write_rows(running.folder / "in.csv", 120), chunk_rows=60)
    until(lambda: running.attempts(job), "the first chunk to be taken")
    # It becomes a job as soon as its process is replaced, not after half of this time.
    answer = ask(running, 600.0, question="POISON When was the mill founded?")
    assert answer["error"]["code"] == "worker_crash"  # type: ignore[index]
    assert running.finish(job)["status"] == "completed"
    check(running, job, 120)
    assert left(running) == []


def test_a_question_that_runs_out_of_memory_is_left_to_a_job(running: Cluster) -> None:
    running.worker(**POISON | {"POISON": "memory"})
    running.ready()
    answer = ask(running, 60.0, question="POISON When was the mill founded?")
    assert answer["error"] == {"code": "inference_error", "message": "out of memory, even when scored alone"}
    assert left(running) == []


def test_a_worker_that_is_gone_with_a_question_is_replaced_by_a_job(running: Cluster) -> None:
    worker = running.worker()
    running.ready()
    child = child_of(worker)
    child.send_signal(signal.SIGSTOP)  # with the call in which it waits for a question
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(ask, running, 30.0)
        until(lambda: left(running), "the question")
        child.kill()
        assert answer.result()["answer"] == "1532"
    assert left(running) == []


def test_too_many_questions_are_refused_at_once(running: Cluster) -> None:
    worker = running.worker()
    running.ready()
    child_of(worker).send_signal(signal.SIGSTOP)
    with serving(running) as client:
        places = [running.queue.ask("minilm-l6-qa", f"{n}", MOST_WAITING) for n in range(2 * MOST_WAITING)]
        assert places[-1] == "full"
        answer = client.post("/v1/answer", json=MILL)
        assert (answer.status_code, answer.json()["code"]) == (429, "busy")
        assert answer.headers["retry-after"] == "1"
        assert left(running) == []
        child_of(worker).send_signal(signal.SIGCONT)
        # Its list has room again once it has passed over what nobody asked.
        until(lambda: client.post("/v1/answer", json=MILL).status_code == 200, "an answer")


def test_a_client_has_so_many_questions_at_once_and_is_refused_more(running: Cluster) -> None:
    for number in range(9):  # of workers that never answer: their lists have room
        running.queue.announce(
            WorkerInfo(f"w{number}", "minilm-l6-qa", "d1", "int8", 1, "0", storage=running.namespace)
        )
    with serving(running) as client, ThreadPoolExecutor(40) as pool:
        pending = [pool.submit(client.post, "/v1/answer", json=MILL | {"timeout": 8}) for _ in range(40)]
        answers = [each.result() for each in pending]
    codes = Counter(answer.json()["code"] for answer in answers)
    assert codes == {"timed_out": 32, "busy": 8}
    assert all("of this client" in answer.json()["detail"] for answer in answers if answer.status_code == 429)
    assert left(running) == []


def test_what_others_write_to_redis_asks_nothing(running: Cluster, tmp_path: Path) -> None:
    running.worker()
    running.ready()
    (tmp_path / "outside.json").write_text(json.dumps(MILL))
    with redis.Redis.from_url(read_url(running.redis_url).client) as client:
        key = f"{running.prefix}questions:minilm-l6-qa"
        for name in ("", "../../outside", f"{0:013d}-{'0' * 16}", "x" * 100_000, json.dumps(MILL), b"\xff\xfe"):
            client.lpush(key, name)
        assert ask(running)["answer"] == "1532"
        client.delete(key)
        client.hset(key, "of", "another type")
        assert ask(running)["answer"] == "1532"
    assert left(running) == []


def test_a_worker_that_is_stopped_finishes_its_questions(running: Cluster) -> None:
    first = running.worker()
    running.ready()
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(ask, running, 60.0, question=f"When was mill {n} founded?") for n in range(40)]
        until(lambda: any(answer.done() for answer in answers), "the first answer")
        running.worker()
        first.send_signal(signal.SIGTERM)
        assert first.wait(60) == 0
        assert [answer.result()["answer"] for answer in answers] == ["1532"] * 40
    assert records.jobs(running.storage) == []
