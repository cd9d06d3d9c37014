"""How an interrupted command ends, wherever Python was at that moment; and one whose streams were closed."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from contract import command
from producer.cli import bars
from tests import REPO

_MAIN = "from contract import command; command.main('made')"


def run_command(folder: Path, body: str) -> tuple[int, str]:
    """Exit status and output of a command with that body."""
    (folder / "made").mkdir()
    (folder / "made" / "__init__.py").touch()
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    head = "import os, signal, sys\nfrom contract.command import check_interrupt, interrupt_on_signals\n\ndef app():\n"
    (folder / "made" / "cli.py").write_text(f"{head}{lines}\n")
    run = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(folder)!r}); {_MAIN}"]
    done = subprocess.run(run, capture_output=True, text=True, timeout=60, check=False, preexec_fn=_reset_signals)
    return done.returncode, done.stdout


def _reset_signals() -> None:
    """Tests may run where signals are ignored, as under nohup."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_an_interrupted_command_exits_with_130(tmp_path: Path, number: str) -> None:
    body = f"interrupt_on_signals()\nprint('data')\nos.kill(os.getpid(), signal.{number})\nprint('more')"
    assert run_command(tmp_path, body) == (130, "data\n")


@pytest.mark.parametrize("caught", ["raise", "sys.exit(130)"])
def test_the_exit_status_is_the_same_for_an_interrupt_in_generated_code(tmp_path: Path, caught: str) -> None:
    """CPython would end the process by SIGINT at its exit."""
    body = f"try:\n    exec('os.kill(os.getpid(), signal.SIGINT)')\nexcept KeyboardInterrupt:\n    {caught}"
    assert run_command(tmp_path, body) == (130, "")


def test_an_interrupt_that_python_dropped_is_raised_at_the_next_check(tmp_path: Path) -> None:
    body = """\
class Held:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        print('dropped')

interrupt_on_signals()
held = Held()
del held
print('it goes on')
check_interrupt()
print('and on')"""
    assert run_command(tmp_path, body) == (130, "it goes on\n")


def test_without_an_interrupt_a_check_does_nothing(tmp_path: Path) -> None:
    assert run_command(tmp_path, "check_interrupt()\nsys.exit(3)") == (3, "")


def test_long_loops_check_at_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading a file, counting, following a job: before the step is used."""
    monkeypatch.setattr(command, "_interrupted", True)
    with bars.reading("rows.csv") as read, bars.counting("parts") as counted:
        for step in (lambda: read(None), lambda: counted(1, 2), lambda: bars.follow("job", [None])):  # type: ignore
            with pytest.raises(KeyboardInterrupt):
                step()


# Closed streams, as cron, systemd and daemons leave them


def closed(tmp_path: Path, what: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, its streams redirected by a shell: `<&-`."""
    (tmp_path / "q.csv").write_text("question|context\nWhen?|In 1788.\n")
    text = f"exec {shlex.join([sys.executable, '-m', 'producer', *arguments])} {what}"
    env = os.environ | {"PYTHONPATH": str(REPO)}
    return subprocess.run(
        ["sh", "-c", text], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_closed_stdin_is_named(tmp_path: Path) -> None:
    done = closed(tmp_path, "<&-", "check", "-")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("producer: standard input is closed\n")


@pytest.mark.slow
@pytest.mark.parametrize(("what", "said"), [(">&-", True), ("<&- >&-", True), ("<&- >&- 2>&-", False), ("2>&-", False)])
def test_without_stdout_or_stderr_the_work_is_done(tmp_path: Path, what: str, said: bool) -> None:
    done = closed(tmp_path, what, "check", "q.csv")
    assert done.returncode == 0
    closed_stdout = ["standard output is closed: nothing is printed there"] if said else []
    assert [line for line in done.stderr.splitlines() if not line.startswith("forecast: ")] == closed_stdout
    assert ("1 in 1 chunk" in done.stdout) is (what == "2>&-")
    assert (tmp_path / "q.csv").read_text().endswith("In 1788.\n"), "no output went to where the input was open"


def test_an_error_has_its_status_without_stderr(tmp_path: Path) -> None:
    assert closed(tmp_path, ">&- 2>&-", "check", "nothing.csv").returncode == 2
