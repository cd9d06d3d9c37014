"""Lines of a log: in JSON each is one object, whatever is written; in text nothing acts on a terminal."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests import REPO

HOSTILE = "a\x1b[2J\u202e\x9b\udce9"
_LOUD = f"""
import logging, sys, threading, warnings
from contract import command, logs
from contract.errors import UsageError
log = logging.getLogger("any")

def app():
    logs.set_up("KIND", "INFO")
    log.info("plain %s", {HOSTILE!r}, extra={{"job": {HOSTILE!r}}})
    log.info("two\\nlines")
    warnings.warn("a warning")
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()
    END

sys.modules["loud"] = sys.modules["loud.cli"] = sys.modules["__main__"]
command.main("loud")
"""


def logged(tmp_path: Path, kind: str, end: str) -> subprocess.CompletedProcess[str]:
    file = tmp_path / "loud.py"
    file.write_text(_LOUD.replace("KIND", kind).replace("END", end))
    command = [sys.executable, str(file)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, cwd=REPO, env={"PYTHONPATH": str(REPO)}
    )


@pytest.mark.parametrize(
    ("end", "status", "last"),
    [
        ("pass", 0, "uncaught: division by zero"),
        ("raise UsageError('wrong', 'Do it right.')", 2, "loud: wrong Do it right."),
        ("raise OSError('disk')", 1, "loud: disk"),
        ("raise KeyError('bug')", 1, "uncaught: 'bug'"),
    ],
)
def test_every_line_is_json(tmp_path: Path, end: str, status: int, last: str) -> None:
    done = logged(tmp_path, "json", end)
    assert done.returncode == status
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [lines[0]["message"], lines[0]["job"]] == [f"plain {HOSTILE}", HOSTILE]
    assert lines[1]["message"] == "two lines"
    assert "a warning" in lines[2]["message"]
    assert "ZeroDivisionError" in lines[3]["exception"]
    assert lines[-1]["message"] == last
    assert done.stderr.replace("\n", "").isprintable()


def test_text_acts_on_no_terminal(tmp_path: Path) -> None:
    done = logged(tmp_path, "text", "raise UsageError('wrong')")
    assert r"INFO plain a\x1b[2J\u202e\x9b\xe9" in done.stderr
    assert done.stderr.endswith("loud: wrong\n")
