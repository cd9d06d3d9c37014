"""The guides in docs/: every command that they show works. (Messages that they quote: tests/test_project.py.)"""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import openpyxl
import pyarrow.parquet as pq
import pytest
from typer.main import get_command

from contract.format import layout
from contract.ledger import records
from contract.ledger.stored import load_manifest
from contract.storage import open_storage
from producer import cli as producer_cli
from tests import s3
from tests.acceptance.cluster import REPO, Cluster, check, cluster, end, sentences, write_rows
from tests.acceptance.test_readme import masked
from tests.preloaded import Commands
from worker import cli as worker_cli

DOCS = REPO / "docs"


def test_every_command_and_setting_that_a_guide_names_exists():
    settings = (DOCS / "settings.md").read_text()
    apps = {"producer": producer_cli.app, "worker": worker_cli.app}
    known = {f"{program} {name}" for program, app in apps.items() for name in get_command(app).commands}  # type: ignore[attr-defined]
    for guide in DOCS.glob("*.md"):
        text = guide.read_text()
        for name in re.findall(r"`(BULKQA_\w+)", text):
            assert f"`{name}`" in settings, (guide.name, name)
        for program, verb in re.findall(r"(?:`|^\$ )(producer|worker) ([a-z]+)\b", text, re.M):
            assert f"{program} {verb}" in known, (guide.name, program, verb)


Shell: TypeAlias = Callable[..., str]


@pytest.fixture
def shell(programs: Path, tmp_path: Path) -> Shell:
    """What commands print, in the test's folder."""

    def run(command: str, **env: str) -> str:
        env = os.environ | env | {"PATH": f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}"}
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr
        return done.stdout

    return run


def commands(guide: str) -> list[str]:
    return re.findall(r"^\$ (.*)$", (DOCS / guide).read_text(), re.M)


@pytest.mark.parametrize("guide", sorted(path.name for path in DOCS.glob("*.md")))
def test_every_command_of_a_guide_is_run_or_it_says_why_not(guide: str):
    text = (DOCS / guide).read_text()
    for before, language, block in re.findall(r"^([^\n]*\n)```(\w*)\n(.*?)^```", text, re.M | re.S):
        if language == "":
            assert before.startswith("<!-- not run here: "), block
        else:
            assert language in ("console", "python", "pycon", "json", "jsonc"), block
    if commands(guide):
        assert f'"{guide}"' in Path(__file__).read_text() or guide in ("http.md", "bad-rows.md")


@pytest.mark.parametrize("guide", ["one-machine.md", "upgrading.md", "forecast.md"])
def test_the_commands_of_a_guide_work_where_a_worker_runs(guide: str, running: Cluster, shell: Shell):
    (running.folder / "samples").symlink_to(REPO / "samples")
    (running.folder / "tmp").mkdir()
    env = running.env | {"TMPDIR": str(running.folder / "tmp")}
    running.worker(no_health_file="1", TMPDIR=env["TMPDIR"])
    running.ready()
    said = shell("\n".join(commands(guide)), **env)
    assert "minilm-l6-qa" in said


def test_a_lost_storage_comes_back_from_a_copy_and_jobs_under_way_go_on(running: Cluster, shell: Shell):
    """As `backup.md` does it, with a copy in which one job has ended and another had only some of its parts."""
    running.worker()
    ended, under_way = (running.submit(write_rows(running.folder / "rows.csv", 60), chunk_rows=5) for _ in range(2))
    for job in (ended, under_way):
        running.finish(job)
    answers = running.storage.read(layout.predictions(under_way))
    end(running.workers[0])
    for key in [layout.report(under_way), layout.predictions(under_way), *(layout.part(under_way, n) for n in (2, 7))]:
        running.storage.delete(key)
    shell("\n".join(commands("backup.md")), **running.env)
    running.worker()
    running.finish(under_way)
    check(running, ended, 60)
    check(running, under_way, 60)
    assert running.storage.read(layout.predictions(under_way)) == answers


def test_the_commands_of_the_guide_to_object_storage_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, s3_endpoint: str, starts: Commands, shell: Shell
):
    for name, value in (s3.environment(s3_endpoint) | {"BULKQA_TEST_STORAGE": "s3"}).items():
        monkeypatch.setenv(name, value)
    (tmp_path / "samples").symlink_to(REPO / "samples")
    with cluster(tmp_path, starts=starts) as running:
        bucket = open_storage(f"s3://{s3.BUCKET}")
        for name in ("questions.csv", "2026-11/part-0.csv", "2026-11/part-1.csv"):
            bucket.create(f"inputs/{name}", (REPO / "samples" / "questions.csv").read_bytes())
        running.worker()
        running.ready()
        script = "\n".join(commands("object-storage.md")).replace("my-bucket", s3.BUCKET)
        shell(script, **running.env)
        assert bucket.exists("answers.parquet")
        assert bucket.exists("answers/_SUCCESS")
        rows = sorted(load_manifest(running.storage, job).rows for job in records.jobs(running.storage))
        assert rows == [12, 12, 12, 24, 24]


def test_the_commands_of_the_guide_to_models_make_one_that_answers(tmp_path: Path, shell: Shell):
    checkpoint = REPO.parent / "shared" / "model"
    if not checkpoint.exists():
        pytest.skip("the trained checkpoint is not there: ../shared/model")
    pytest.importorskip("torch", reason="torch is not installed: extra [build]")
    (tmp_path / "my-checkpoint").symlink_to(checkpoint)
    (tmp_path / "samples").symlink_to(REPO / "samples")
    said = shell("\n".join(commands("models.md")), OMP_NUM_THREADS="1")  # beside other tests more threads only spin
    assert "changed_answers" in said
    assert (tmp_path / "models" / "mine" / "reader.json").exists()
    listed = re.findall(r"^\| `([\w.]+)` \|", (DOCS / "models.md").read_text(), re.M)[:4]
    assert {path.name for path in (tmp_path / "models" / "mine").iterdir()} == set(listed)


def test_the_commands_of_the_guide_to_passages_do_what_it_says(tmp_path: Path, shell: Shell):
    (tmp_path / "samples").symlink_to(REPO / "samples")
    make, run, results, top = commands("passages.md")
    shell(f"{make}\n{run}")
    (job,) = [path.name for path in (tmp_path / "bulkqa-data" / "jobs").iterdir()]
    shown = re.findall(r"^\{.*\}$", (DOCS / "passages.md").read_text(), re.M)
    found = shell(results.replace("JOB", job)).splitlines()
    assert [masked(line) for line in found] == [masked(line) for line in shown]
    shell(top)


def test_the_commands_of_the_guide_to_documents_give_the_answers_that_it_shows(
    tmp_path: Path, shell: Shell, programs: Path
):
    """commands("documents.md") and its Python."""
    (tmp_path / "samples").symlink_to(REPO / "samples")
    first, *others = commands("documents.md")
    done = subprocess.run(
        [*shlex.split(first.replace("producer", f"{programs}/producer", 1))],
        cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr  # one document is a scan
    guide = (DOCS / "documents.md").read_text()
    table = guide[guide.index("row ┃") : guide.index("... and")]
    assert done.stdout[: done.stdout.index("... and")].split() == table.split()
    (job,) = (path.name for path in (tmp_path / "bulkqa-data" / "jobs").iterdir())
    for command in others:
        shell(f"{command.replace('JOB', job)} || [ $? = 3 ]")
    wide = (tmp_path / "answers.csv").read_text().splitlines()
    assert [line.partition(",")[0] for line in wide[1:]] == sorted(
        path.name for path in (REPO / "samples/contracts").iterdir()
    )
    assert openpyxl.load_workbook(tmp_path / "answers.xlsx").sheetnames == ["answers", "excerpts"]
    assert len(list((tmp_path / "pages").iterdir())) == 6


@pytest.mark.timeout(240)
def test_the_commands_of_the_guide_to_trust_split_a_job_and_the_next(tmp_path: Path, shell: Shell):
    """commands("trust.md"), with verdicts that this test fills in: the lowest answers of the sample are wrong. Some
    rows ask for what their context does not say."""
    asking_more(tmp_path / "rows.csv", 360, 40)
    asking_more(tmp_path / "monday.csv", 60, 10)
    run, sample, judge, trust, *others = commands("trust.md")
    jobs = tmp_path / "bulkqa-data" / "jobs"
    names: dict[str, str] = {}

    def said(command: str) -> str:
        for word, job in names.items():
            command = command.replace(word, job)
        before = {path.name for path in jobs.iterdir()} if jobs.exists() else set()
        output = shell(command)
        if command.startswith("producer run "):
            (job,) = {path.name for path in jobs.iterdir()} - before
            names[("JOB", "MONDAY", "STRICT")[len(names)]] = job
        return output

    said(run)
    said(sample)
    scores = [float(row["score"]) for row in cells(tmp_path / "labels.csv")]
    verdicts = ["wrong" if score < sorted(scores)[20] else "right" for score in scores]
    filled(tmp_path / "labels.csv", "verdict", verdicts)
    said(judge)
    shown = said(trust)
    assert as_shown(shown, names) == as_shown("\n".join(block_of(trust)), names), shown
    above, below = re.findall(r"producer results .*", shown)
    said(above)
    said(below)
    threshold = float(above.split("--above ")[1].split()[0])
    done, rest = (cells(tmp_path / name) for name in ("trusted.csv", "to-review.csv"))
    assert sorted(int(row["row"]) for row in done + rest) == list(range(400))
    assert min(float(row["score"]) for row in done) >= threshold
    next_file, take, look, probable, labels, evaluate, tasks, again, strict, compare, better = others
    (tmp_path / "to-review.csv").unlink()
    for command in (next_file, take, look):
        said(command)
    done, rest = cells(tmp_path / "done.csv"), cells(tmp_path / "to-review.csv")
    assert sorted(int(row["row"]) for row in done + rest) == list(range(70))
    assert {row["trusted"] for row in done} == {"true"}
    assert min(float(row["score"]) for row in done) >= threshold
    said(probable)
    table = pq.read_table(tmp_path / "answers.parquet")
    assert table.sort_by("margin")["probability"].to_pylist() == sorted(table["probability"].to_pylist())
    said(labels)
    assert f"rows             {verdicts.count('right')} " in said(evaluate)
    said(tasks)
    exported = json.loads((tmp_path / "tasks.json").read_text())
    (tmp_path / "export.json").write_text(json.dumps(exported))
    said(again)
    said(strict)
    said(compare)
    sides = [(row["left"], row["right"]) for row in sheet(tmp_path / "compare.xlsx")]
    assert sides
    filled(tmp_path / "compare.xlsx", "verdict", ["left" if left == "(no answer)" else "right" for left, _ in sides])
    shown = said(better)
    assert as_shown(shown, names) == as_shown("\n".join(block_of(better)), names), shown


def asking_more(path: Path, rows: int, more: int) -> None:
    """Rows whose answers are known, and some whose context has no answer."""
    write_rows(path, rows, padding=1)
    with path.open("a") as file:
        for number in range(rows, rows + more):
            file.write(f"r{number}|Who paid for the roof of number {number}?|{sentences(number, 1)}|\n")


def block_of(command: str) -> list[str]:
    """What the guide to trust shows as the output of a command."""
    shown = (DOCS / "trust.md").read_text().partition(f"$ {command}\n")[2]
    return shown.partition("```")[0].splitlines()


def as_shown(output: str, names: dict[str, str]) -> list[str]:
    """The lines of an output without its numbers, jobs by the names that the guide gives them."""
    for word, job in names.items():
        output = output.replace(job, word)
    return [re.sub(r"[\d.,]+", "", line) for line in output.splitlines()]


def cells(path: Path) -> list[dict[str, str]]:
    text = path.read_text("utf-8-sig")
    return list(csv.DictReader(text.splitlines(), delimiter="|" if "|" in text.partition("\n")[0] else ","))


def sheet(path: Path) -> list[dict[str, str]]:
    header, *rows = openpyxl.load_workbook(path).active.values
    return [dict(zip(header, row, strict=True)) for row in rows]


def filled(path: Path, column: str, values: list[str]) -> None:
    """Fill in a column of a file as a spreadsheet does."""
    if path.suffix == ".xlsx":
        book = openpyxl.load_workbook(path)
        place = [cell.value for cell in book.active[1]].index(column) + 1
        for row, value in enumerate(values, 2):
            book.active.cell(row, place, value)
        book.save(path)
        return
    rows = cells(path)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(row | {column: value} for row, value in zip(rows, values, strict=True))


def test_the_commands_of_the_guide_to_reuse_score_only_what_is_new(tmp_path: Path, running: Cluster, shell: Shell):
    """commands("reuse.md"): the job that is tried again was cancelled before a worker came."""
    rows = write_rows(tmp_path / "rows.csv", 30).read_text()
    (tmp_path / "edited.csv").write_text(rows.replace("number 7 ", "numbered 7 ", 1))
    run, forecast, again, status, verify, retry = commands("reuse.md")
    shell(run)
    assert re.search(r"reused +29 of 30 rows", shell(forecast))
    said = shell(again)
    assert re.search(r"reused: +29 rows from other jobs, 1 scored", said), said
    old, new = sorted(path.name for path in (tmp_path / "bulkqa-data" / "jobs").iterdir())
    found = json.loads(shell(status.replace("NEW", new)))
    assert (found["reused"], found["scored"], found["reused_others"]) == (29, 1, 0)
    assert "no problems" in shell(verify.replace("NEW", new))
    assert old in shell(f"producer logs {new}")

    job = running.submit(tmp_path / "rows.csv")
    shell(f"producer cancel {job}; producer repair {job}", **running.env)
    other = shell(retry.replace("FAILED", job), **running.env).strip()
    running.worker()
    running.finish(other)
    check(running, other, 30)
    assert other in shell(f"producer logs {job}", **running.env)
    third = running.submit(tmp_path / "rows.csv", reuse=(other,))
    running.finish(third)
    said = shell(f"producer verify {third} --rescore 5", **running.env)
    assert "no problems" in said
    assert "5 reused rows scored again" in said


def test_the_commands_of_the_guide_to_scores_do_what_it_says(tmp_path: Path, shell: Shell):
    (tmp_path / "samples").symlink_to(REPO / "samples")
    *first, last = commands("scores.md")
    assert last == "producer diff FIRST SECOND"  # two jobs of the reader's own
    outputs = [shell(command) for command in first]
    answers = pq.read_table(tmp_path / "answers.parquet").sort_by("score")["answer"].to_pylist()
    assert all(answer in outputs[1] for answer in answers[:3])
    found = json.loads(outputs[-1])["evaluation"]
    assert (found["rows"], found["exact_match"]) == (2, 100.0)
    assert {"from", "to", "count", "mean_score", "exact_match"} <= set(found["bins"][0])
    jobs = [path.name for path in (tmp_path / "bulkqa-data" / "jobs").iterdir()]
    assert " the same" in shell(" ".join(["producer diff", *sorted(jobs)[:2]]))
