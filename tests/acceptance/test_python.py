"""The guide to the Python API, replayed with a Redis and a worker; and its types, checked."""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.cluster import REPO, Cluster
from tests.acceptance.serving import serving

GUIDE = REPO / "docs" / "python.md"
_BLOCK = re.compile(r"^```(python|pycon)\n(.*?)^```", re.M | re.S)


def code() -> str:
    """All of it as one module, without what it prints."""
    parser = doctest.DocTestParser()
    found = []
    for kind, text in _BLOCK.findall(GUIDE.read_text()):
        found.append(
            text if kind == "python" else "".join(e.source for e in parser.get_examples(text) if not e.exc_msg)
        )
    return "\n".join(found)


@pytest.fixture(params=["shared", "server"])
def asked(request: pytest.FixtureRequest, running: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The environment of who asks: beside the storage, and on a machine that shares nothing."""
    for name in ("BULKQA_STORAGE_URL", "BULKQA_REDIS_URL"):
        monkeypatch.setenv(name, running.env[name])
    if request.param == "shared":
        yield
        return
    with serving(running) as server:
        monkeypatch.setenv("BULKQA_STORAGE_URL", "/nowhere")
        monkeypatch.setenv("BULKQA_SERVER", str(server.base_url))
        yield


@pytest.mark.usefixtures("asked")
def test_all_code_of_the_guide_does_what_the_guide_says(running: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    running.worker()
    running.ready()
    names: dict[str, Any] = {"__name__": "guide"}
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner()
    for number, (kind, text) in enumerate(_BLOCK.findall(GUIDE.read_text())):
        if kind == "python":
            exec(compile(text, f"block {number}", "exec", dont_inherit=True), names)  # noqa: S102 - our own
        else:
            runner.run(parser.get_doctest(text, names, f"block {number}", None, 0), clear_globs=False)
    said = capsys.readouterr().out
    assert runner.summarize(verbose=False).failed == 0, said
    assert "no worker serves the model a-model-that-nobody-serves" in said


def test_the_types_of_the_guide_are_right_in_strict_mode(tmp_path: Path) -> None:
    (tmp_path / "guide.py").write_text(code())
    (tmp_path / "wrong.py").write_text('from bulkqa import Client\nClient().submit("f.csv", top_k="3")\n')
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", str(REPO / "pyproject.toml")]
    env = os.environ | {"MYPYPATH": str(REPO)}

    def mypy(name: str) -> subprocess.CompletedProcess[str]:
        where = ["--cache-dir", str(tmp_path / "cache"), str(tmp_path / name)]
        return subprocess.run([*command, *where], env=env, cwd=REPO, capture_output=True, text=True, check=False)

    assert mypy("guide.py").returncode == 0, mypy("guide.py").stdout
    assert 'Argument "top_k"' in mypy("wrong.py").stdout
