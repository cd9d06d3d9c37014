"""`worker health`: light, and the same whether a probe or the command's parser runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from worker import health
from worker.cli import app

HEAVY = ("typer", "click", "rich", "pydantic", "pydantic_settings", "contract.settings", "contract.command", "asyncio",
         "celery", "redis", "pyarrow", "numpy", "onnxruntime")  # fmt: skip

_PROBE = """
import sys
from worker.__main__ import main
try:
    main()
except SystemExit as ended:
    print(ended.code, *[name for name in {heavy!r} if name in sys.modules])
"""


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.delenv("BULKQA_HEALTH_FILE", raising=False)
    path = tmp_path / "health"
    path.touch()
    return path


@pytest.mark.parametrize("flags", [["--health-file", "FILE"], ["--json", "--health-file=FILE"], []])
def test_a_probe_imports_nothing_heavy(file: Path, flags: list[str]):
    command = [
        sys.executable,
        "-c",
        _PROBE.format(heavy=HEAVY),
        "health",
        *(f.replace("FILE", str(file)) for f in flags),
    ]
    env = os.environ | ({} if flags else {"BULKQA_HEALTH_FILE": str(file)})
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    *said, ended = done.stdout.splitlines()
    assert ended == "0", "its exit status, and no module after it"
    assert "health" in said[0]


@pytest.mark.parametrize("age", [0.0, 3600.0])
@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_probe_says_what_the_command_says(
    file: Path, age: float, flags: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    """Of a healthy process, of one that is not, and of none."""
    now = file.stat().st_mtime + age
    monkeypatch.setattr("contract.health.time.time", lambda: now)
    for first in (file, file.with_name("nowhere")):
        arguments = ["health", *flags, "--health-file", str(first)]
        status = health.answer(arguments)
        said = capsys.readouterr().out
        assert status == (0 if first == file and not age else 1)
        assert app(arguments, standalone_mode=False) == status
        assert capsys.readouterr().out == said
        if flags:
            assert [each["name"] for each in json.loads(said)] == (["health"] if first == file else [])
    monkeypatch.setenv("BULKQA_HEALTH_FILE", str(file))
    assert health.answer(["health"]) == (1 if age else 0)


@pytest.mark.parametrize(
    "arguments", [[], ["start"], ["health", "--help"], ["health", "--health-file"], ["health", "x"]]
)
def test_what_needs_a_parser_goes_to_it(arguments: list[str]):
    assert health.answer(arguments) is None
