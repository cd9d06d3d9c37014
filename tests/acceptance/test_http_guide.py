"""docs/http.md: its commands do what it says, in its order."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.acceptance.cluster import REPO, Cluster

GUIDE = (REPO / "docs" / "http.md").read_text()
COMMANDS = re.findall(r"^\$ (.*)$", GUIDE, re.MULTILINE)


def test_every_command_of_the_guide_works(shared: Cluster, server: httpx.Client, tmp_path: Path):
    for name in ("samples", "README.md"):
        (tmp_path / name).symlink_to(REPO / name)
    script = "\n".join(COMMANDS).replace("localhost:8321", f"localhost:{server.base_url.port}")
    done = subprocess.run(
        ["bash", "-euc", script],
        cwd=tmp_path,
        env=shared.env,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    answers = json.loads((tmp_path / "answers.json").read_text())["predictions"]
    assert answers[0]["answer"] == "1874"
    assert '"answer":"1874"' in done.stdout
    assert "event: end" in done.stdout
    assert '"status":422' in done.stdout


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`(?:GET|POST|DELETE) (/[^`?\s]+)", GUIDE))))
def test_every_path_of_the_guide_is_in_the_document(path: str, server: httpx.Client):
    known = server.get("/openapi.json").json()["paths"]
    assert path.replace("JOB", "{job}") in known
