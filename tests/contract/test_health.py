"""Signs of life: one process never speaks for another, and a file that cannot be touched costs nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from contract import health
from contract.health import HealthFile, health_files, read_health


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health.tempfile, "gettempdir", lambda: str(tmp_path))


def gone() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_two_processes_have_a_file_each_and_a_dead_one_is_told(tmp_path: Path):
    worker = health_files(None, "worker")[0]
    worker.touch()
    other = worker.path.with_name(f"sweeper-{gone()}")
    other.touch()
    assert {each.name: (each.healthy, each.dead) for each in read_health()} == {
        worker.path.name: (True, False),
        other.name: (False, True),
    }
    os.utime(worker.path, (1, 1))
    assert not read_health()[1].healthy


def test_who_starts_removes_what_the_dead_left_and_who_ends_what_it_has(tmp_path: Path):
    first = health_files(None, "worker")[0]
    first.touch()
    dead = first.path.with_name(f"worker-{gone()}")
    dead.touch()
    health_files(None, "sweeper")[0].touch()
    assert [each.name for each in read_health()] == [f"sweeper-{os.getpid()}", f"worker-{os.getpid()}"]
    first.remove()
    assert [each.name for each in read_health()] == [f"sweeper-{os.getpid()}"]


def test_a_link_is_not_followed_and_a_file_that_cannot_be_touched_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    target, link = tmp_path / "target", tmp_path / "link"
    target.touch()
    os.utime(target, (1, 1))
    link.symlink_to(target)
    through = HealthFile(link)
    through.touch()
    through.touch()
    assert target.stat().st_mtime == 1
    assert len(caplog.records) == 1
    assert "cannot be touched" in caplog.text


def test_a_folder_that_is_missing_is_made(tmp_path: Path):
    HealthFile(tmp_path / "a" / "b").touch()
    assert read_health(tmp_path / "a" / "b")[0].healthy
    assert read_health(tmp_path / "nowhere") == []


@pytest.mark.parametrize("named", [True, False])
def test_each_process_of_a_command_has_a_file_and_one_that_freezes_is_told(tmp_path: Path, named: bool):
    given = tmp_path / "health" if named else None
    files = health_files(given, "worker", 3)
    for file in files:
        file.touch()
    assert [each.healthy for each in read_health(given)] == [True] * 3
    os.utime(files[1].path, (1, 1))
    assert sorted(each.healthy for each in read_health(given)) == [False, True, True]
    health_files(given, "worker", 1)[0].touch()  # another start, of one process
    if named:
        assert [each.name for each in read_health(given)] == ["health"]


def test_files_that_only_look_alike_stay(tmp_path: Path):
    for name in ("health.log", "health.1x", "ahealth.1", "health.12"):
        (tmp_path / name).touch()
    health_files(tmp_path / "health", "worker")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ahealth.1", "health.1x", "health.log"]
