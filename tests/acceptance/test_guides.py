"""The guides in docs/: every message that they quote exists, every command that they show works."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.main import get_command

from producer import cli as producer_cli
from tests.acceptance.cluster import REPO
from worker import cli as worker_cli

DOCS = REPO / "docs"
_SOURCE = "".join(
    path.read_text() for room in ("contract", "producer", "worker") for path in (REPO / room).rglob("*.py")
)
#: As a reader of the code sees its messages: texts that follow each other are one, and what is filled in is nothing.
_MESSAGES = re.sub(r"\s+", " ", re.sub(r'"\s*\n\s*f?"', "", re.sub(r"\{[^{}\n]*\}", "", _SOURCE)))


def quoted(guide: str) -> list[str]:
    """What is in the first column of its tables of messages."""
    found = []
    for head, body in re.findall(r"^\| (it says) \|.*\n\|[-|]+\n((?:\|.*\n)+)", guide, re.M):
        assert head
        found += [re.match(r"\| (.*?) \|", line)[1] for line in body.splitlines()]  # type: ignore[index]
    return found


@pytest.mark.parametrize("message", quoted((DOCS / "troubleshooting.md").read_text()))
def test_every_message_of_the_guide_to_troubles_is_one_of_ours(message: str):
    assert message in _MESSAGES


def test_every_command_and_setting_that_a_guide_names_exists():
    readme = (REPO / "README.md").read_text()
    apps = {"producer": producer_cli.app, "worker": worker_cli.app}
    known = {f"{program} {name}" for program, app in apps.items() for name in get_command(app).commands}  # type: ignore[attr-defined]
    for guide in DOCS.glob("*.md"):
        text = guide.read_text()
        for name in re.findall(r"`(BULKQA_\w+)", text):
            assert f"`{name}`" in readme, (guide.name, name)
        for program, verb in re.findall(r"(?:`|^\$ )(producer|worker) ([a-z]+)\b", text, re.M):
            assert f"{program} {verb}" in known, (guide.name, program, verb)


def shell(command: str, folder: Path) -> str:
    env = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=env, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_commands_of_the_guide_to_scores_do_what_it_says(tmp_path: Path):
    (tmp_path / "samples").symlink_to(REPO / "samples")
    commands = re.findall(r"^\$ (.*)$", (DOCS / "scores.md").read_text(), re.M)
    assert commands[-1] == "producer diff FIRST SECOND"  # two jobs of the reader's own
    outputs = [shell(command, tmp_path) for command in commands[:-1]]
    answers = pq.read_table(tmp_path / "answers.parquet").sort_by("score")["answer"].to_pylist()
    assert all(answer in outputs[1] for answer in answers[:3])
    found = json.loads(outputs[-1])["evaluation"]
    assert (found["rows"], found["exact_match"]) == (2, 100.0)
    assert {"from", "to", "count", "mean_score", "exact_match"} <= set(found["bins"][0])
    jobs = [path.name for path in (tmp_path / "bulkqa-data" / "jobs").iterdir()]
    assert " the same" in shell(" ".join(["producer diff", *sorted(jobs)[:2]]), tmp_path)
