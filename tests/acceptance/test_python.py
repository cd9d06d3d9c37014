"""The guides to the Python API, replayed with a Redis and a worker; and their types, checked."""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.cluster import REPO, Cluster

GUIDES = ("python.md", "from-hosted-batch.md")
_BLOCK = re.compile(r"^```(python|pycon)\n(.*?)^```", re.M | re.S)


def blocks(guide: str) -> list[tuple[str, str]]:
    """The kind and text of each block of code in a guide."""
    return _BLOCK.findall((REPO / "docs" / guide).read_text())


def code(guide: str) -> str:
    """All of it as one module, without what it prints."""
    parser = doctest.DocTestParser()
    found = []
    for kind, text in blocks(guide):
        found.append(
            text if kind == "python" else "".join(e.source for e in parser.get_examples(text) if not e.exc_msg)
        )
    return "\n".join(found)


@pytest.fixture(params=["shared", "server"])
def asked(request: pytest.FixtureRequest, shared: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of who asks, in a folder of their own: beside the storage, and on a machine that shares
    nothing."""
    monkeypatch.chdir(shared.folder)
    for name in ("BULKQA_STORAGE_URL", "BULKQA_REDIS_URL"):
        monkeypatch.setenv(name, shared.env[name])
    if request.param == "server":
        monkeypatch.setenv("BULKQA_STORAGE_URL", "/nowhere")
        monkeypatch.setenv("BULKQA_SERVER", str(request.getfixturevalue("server").base_url))


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize("guide", GUIDES)
def test_all_code_of_a_guide_does_what_the_guide_says(guide: str, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {"__name__": "guide"}
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner()
    for number, (kind, text) in enumerate(blocks(guide)):
        if kind == "python":
            exec(compile(text, f"block {number}", "exec", dont_inherit=True), names)  # noqa: S102 - our own
        else:
            runner.run(parser.get_doctest(text, names, f"block {number}", None, 0), clear_globs=False)
    said = capsys.readouterr().out
    assert runner.summarize(verbose=False).failed == 0, said
    assert guide != "python.md" or "no worker serves the model a-model-that-nobody-serves" in said


def test_the_types_of_the_guides_are_right_in_strict_mode(tmp_path: Path) -> None:
    for number, guide in enumerate(GUIDES):
        (tmp_path / f"guide{number}.py").write_text(code(guide))
    (tmp_path / "wrong.py").write_text('from bulkqa import Client\nClient().submit("f.csv", top_k="3")\n')
    command = [sys.executable, "-m", "mypy", "--strict", *map(str, sorted(tmp_path.glob("*.py")))]
    env = os.environ | {"MYPYPATH": str(REPO)}  # in the checkout, for its settings, and what mypy remembers of it
    done = subprocess.run(command, env=env, cwd=REPO, capture_output=True, text=True, check=False)
    complaints = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert [line for line in complaints if "wrong.py:" not in line] == []
    assert len(complaints) == 1, done.stdout + done.stderr
    assert 'Argument "top_k"' in complaints[0]
