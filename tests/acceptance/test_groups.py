"""One answer over several passages: submitted as a table and as lists, and the same groups for every way to ask."""

from __future__ import annotations

import csv
import json
from typing import Any

import httpx
import pytest

from bulkqa import Client
from contract.errors import UsageError
from producer.jobs.verify import verify_job
from tests.acceptance.cluster import Cluster

pytestmark = pytest.mark.timeout(240)

QUESTIONS = {"mill": "When was the mill at Torvik built?", "light": "Who keeps the light at Skarvholm?"}
PASSAGES = {
    "mill": ["The church at Torvik is white.", "The mill at Torvik was built in 1731 by two brothers."],
    "light": ["Ingrid Aas keeps the light at Skarvholm.", "The ferry leaves at nine.", "It rains in Skarvholm."],
}
#: The row with the answer: of the table, whose groups take turns, and of the lists.
ANSWERS = {"mill": ("1731", 2, 1), "light": ("Ingrid Aas", 1, 2)}


def scattered() -> list[dict[str, str]]:
    rows = []
    for place in range(3):
        for name, texts in PASSAGES.items():
            if place < len(texts):
                row = {"id": name, "question": QUESTIONS[name], "context": texts[place], "answers": ANSWERS[name][0]}
                rows.append(row)
    return rows


def answers(groups: list[dict[str, Any]]) -> dict[str, tuple[str, int]]:
    assert {group["status"] for group in groups} == {"answered"}
    return {group["id"]: (group["answer"], group["row"]) for group in groups}


@pytest.fixture(scope="module")
def jobs(everybodys: Cluster, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A job of the table, by id, and one of the lists."""
    folder = tmp_path_factory.mktemp("groups")
    with (folder / "table.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, scattered()[0], delimiter="|")
        writer.writeheader()
        writer.writerows(scattered())
    lists = [{"id": name, "question": QUESTIONS[name], "context": texts} for name, texts in PASSAGES.items()]
    (folder / "lists.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lists))
    found = {}
    for kind, file, flags in (("table", "table.csv", ("--group-by", "id")), ("lists", "lists.jsonl", ())):
        done = everybodys.producer("submit", str(folder / file), "--wait", *flags, "-o", str(folder / "out.json"))
        assert done.returncode == 0, done.stderr
        found[kind] = done.stdout.strip()
        assert f"producer results {found[kind]} --by group" in done.stderr
    return found


@pytest.mark.parametrize(("kind", "number"), [("table", 1), ("lists", 2)])
def test_every_way_to_ask_gives_the_same_groups(
    shared: Cluster, server: httpx.Client, jobs: dict[str, str], kind: str, number: int
) -> None:
    job = jobs[kind]
    printed = shared.producer("results", job, "--by", "group")
    assert printed.returncode == 0, printed.stderr
    groups = json.loads(printed.stdout)["groups"]
    assert answers(groups) == {name: (about[0], about[number]) for name, about in ANSWERS.items()}
    followed = shared.producer("results", job, "--by", "group", "--follow")
    assert [json.loads(line) for line in followed.stdout.splitlines()] == groups
    assert server.get(f"/v1/jobs/{job}/groups", params={"limit": 1}).json() == {
        "groups": groups[:1], "next": 1, "count": 2,
    }  # fmt: skip
    assert server.get(f"/v1/jobs/{job}/results", params={"by": "group"}).json() == {"groups": groups}
    assert server.get(f"/v1/jobs/{job}/results", params={"by": "group", "format": "csv"}).text.count("\n") == 3
    storage, redis = shared.env["BULKQA_STORAGE_URL"], shared.redis_url
    for client in (Client(storage, redis), Client(server=str(server.base_url))):
        with client:
            asked = client.job(job)
            assert asked.group_answers() == groups
            assert asked.groups()["answer"].tolist() == [group["answer"] for group in groups]
            assert asked.status().groups.answered == 2
    of_one = server.get(f"/v1/jobs/{job}/rows", params={"group": groups[0]["group"]}).json()["predictions"]
    assert len(of_one) == groups[0]["passages"]
    assert verify_job(shared.storage, job).problems == ()


def test_groups_are_counted_judged_and_compared(shared: Cluster, server: httpx.Client, jobs: dict[str, str]) -> None:
    status = shared.producer("status", jobs["table"]).stdout
    assert "2: 2 answered, 0 no answer" in status
    assert "EM 100.0, F1 100.0 over 2 groups with answers" in status
    elsewhere = {name: value for name, value in shared.env.items() if not name.endswith(("STORAGE_URL", "REDIS_URL"))}
    for env in (shared.env, elsewhere | {"BULKQA_SERVER": str(server.base_url)}):
        found = shared.producer("diff", jobs["table"], jobs["table"], "--by", "group", "--json", env=env)
        assert found.returncode == 0, found.stderr
        assert json.loads(found.stdout)["summary"]["same"] == 2


def test_a_form_names_the_column_as_the_command_does(server: httpx.Client) -> None:
    form = {"group_by": "question", "model": "nobody-serves-this"}
    text = "question|context\n" + "".join(f"{row['question']}|{row['context']}\n" for row in scattered())
    made = server.post("/v1/jobs", files={"file": text.encode()}, data=form)
    assert made.status_code == 202, made.text
    assert made.json()["groups"]["total"] == 2
    early = server.get(f"{made.headers['location']}/groups")
    assert (early.status_code, early.json()["code"]) == (409, "not_ended")


def test_a_job_without_groups_says_so_in_every_language(
    shared: Cluster, server: httpx.Client, jobs: dict[str, str]
) -> None:
    (shared.folder / "in.csv").write_text("question|context\nWho keeps the light?|The light is kept by Ingrid Aas.\n")
    job = shared.producer("submit", "in.csv", "--wait").stdout.strip()
    refused = shared.producer("results", job, "--by", "group")
    assert refused.returncode == 2
    assert "--group-by" in refused.stderr
    assert shared.producer("results", jobs["lists"], "--by", "group", "--wide").returncode == 2
    answer = server.get(f"/v1/jobs/{job}/groups")
    assert (answer.status_code, answer.json()["code"]) == (422, "usage")
    compared = server.get(f"/v1/jobs/{jobs['lists']}/diff", params={"with": job, "by": "group"})
    assert (compared.status_code, compared.json()["code"]) == (422, "usage")
    assert shared.producer("diff", jobs["lists"], job, "--by", "group", "--json").returncode == 2
    with Client(server=str(server.base_url)) as client, pytest.raises(UsageError, match="has no groups"):
        client.job(job).groups()
