"""The wheel in an empty environment answers, and what fails while setting up is told."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from scripts import install, release
from tests.acceptance.cluster import REPO


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Wheel and sdist."""
    pytest.importorskip("build", reason="needs the package build")
    return release.build(tmp_path_factory.mktemp("dist") / "it")


@pytest.mark.timeout(600)
@pytest.mark.xdist_group("install")
def test_the_wheel_in_an_empty_environment_answers_the_sample_file(built: tuple[Path, Path], tmp_path: Path) -> None:
    """In a folder whose name has a space, and which holds files with the names of our packages."""
    release.contents(*built)
    (folder := tmp_path / "some where").mkdir()
    (folder / "elsewhere").mkdir()
    for name in ("worker.py", "contract.py", "producer.py"):
        (folder / "elsewhere" / name).write_text("raise SystemExit('not mine')\n")
    answers = release.try_out(built[0], sys.executable, folder)
    assert answers[:3] == ["1874", "rapeseed oil", "Ingrid Aas"]
    assert len(answers) == 12
    completion = release.run(folder / "env" / "bin" / "producer", "--show-completion", "bash")
    assert "_PRODUCER_COMPLETE" in completion


@pytest.mark.xdist_group("install")
def test_an_image_can_leave_the_model_out_of_the_wheel(tmp_path: Path) -> None:
    pytest.importorskip("hatchling", reason="needs the package build")
    command = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(tmp_path), str(REPO)]
    env = os.environ | {"WHEEL_WITHOUT_MODEL": "1"}
    subprocess.run(command, env=env, check=True, capture_output=True, timeout=100)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.stat().st_size < 1 << 20


# --- The lock ----------------------------------------------------------------------------------------------------


def pins(path: str) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==([\w.]+)", (REPO / path).read_text(), re.M))


@pytest.mark.parametrize("name", ["local", "dev"])
def test_lists_with_hashes_agree_with_the_constraints(name: str) -> None:
    listed = pins(f"requirements/{name}.txt")
    assert listed.items() <= pins("constraints.txt").items()
    text = (REPO / "requirements" / f"{name}.txt").read_text()
    blocks = re.split(r"^(?=[\w.-]+==)", text, flags=re.M)[1:]
    assert len(blocks) == len(listed)
    assert all("--hash=sha256:" in block for block in blocks)
    assert "://" not in text  # whatever index the one who made it used


@pytest.mark.parametrize("name", ["local", "dev"])
def test_the_lists_have_what_pyproject_asks_for(name: str) -> None:
    """Whoever adds a dependency says `make lock`."""
    project = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
    extras, wanted, asked = project["optional-dependencies"], set(), [name]
    while asked:
        for requirement in extras[asked.pop()]:
            if own := re.match(r"bulkqa\[(.*)\]", requirement):
                asked += own[1].split(",")
            else:
                wanted.add(requirement)
    names = {re.split(r"[\s\[<>=;]", each)[0] for each in (*wanted, *project["dependencies"])}
    assert names <= pins(f"requirements/{name}.txt").keys()


# --- Bad input ---------------------------------------------------------------------------------------------------


def make(*words: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *words], cwd=cwd, env=os.environ | env, capture_output=True, text=True, timeout=100, check=False
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The files that setting up looks at, in a folder of the test's own."""
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    target = tmp_path / "checkout"
    target.mkdir()
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "hatch_build.py", "README.md", "LICENSE"):
        shutil.copy(REPO / name, target)
    for name in ("scripts", "requirements"):
        shutil.copytree(REPO / name, target / name)
    return target


@pytest.mark.parametrize("version", ["2.7.18", "3.10.4", "3.15.0"])
def test_a_python_that_is_too_old_or_too_new_gets_one_line(version: str, checkout: Path) -> None:
    python = checkout / "python"
    python.write_text(f'#!/bin/sh\nif [ "$1" = -V ]; then echo Python {version}; else exit 1; fi\n')
    python.chmod(0o755)
    done = make("demo", f"PYTHON={python}", cwd=checkout)
    first, *more = done.stderr.splitlines()
    assert done.returncode != 0
    assert f"Python {version}" in first
    assert "3.11, 3.12, 3.13 or 3.14" in first
    assert "make demo PYTHON=/path/to/python3" in first
    assert not [line for line in more if not line.startswith("make")]
    assert not (checkout / ".venv").exists()


def path_of(folder: Path, *programs: str) -> str:
    """A PATH with these programs alone."""
    folder.mkdir()
    for program in programs:
        if found := shutil.which(program):
            (folder / program).symlink_to(found)
    return str(folder)


SHELL = ("make", "sh", "touch", "mkdir", "grep", "uname", "env")


@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_without_a_network_the_package_that_could_not_be_had_is_named_and_nothing_is_half_done(
    installer: str, checkout: Path
) -> None:
    if installer == "uv" and shutil.which("uv") is None:
        pytest.skip("uv is not installed: the other way is tried")
    path = path_of(checkout.parent / "bin", *SHELL, *([installer] if installer == "uv" else []))
    nowhere = "http://127.0.0.1:9/simple/"
    env = dict.fromkeys(("PIP_INDEX_URL", "UV_DEFAULT_INDEX"), nowhere) | {"UV_HTTP_RETRIES": "0", "PIP_RETRIES": "0"}
    env |= {"PIP_CONFIG_FILE": os.devnull, "PIP_EXTRA_INDEX_URL": "", "UV_NO_CACHE": "1", "PIP_NO_CACHE_DIR": "1"}
    done = make("setup", "EXTRAS=local", f"PYTHON={sys.executable}", cwd=checkout, PATH=path, PIP_FIND_LINKS="", **env)
    assert done.returncode != 0
    assert re.search(r"^make setup: [\w-]+ could not be downloaded: is there a network", done.stderr, re.M), done.stderr
    assert "install.log" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(checkout.glob(".venv/.installed-*"))
    assert not list(checkout.glob(".venv/lib/*/site-packages/celery"))
    assert not list(checkout.glob(".venv/.half-done"))


def test_a_folder_that_cannot_be_written_to_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(install.Failed, match="cannot be written to: clone into a folder of your own"):
        install.check(1)


def test_a_disk_without_room_is_told_before_anything_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install, "VENV", tmp_path / ".venv")
    with pytest.raises(install.Failed, match=r"has [\d]+ MB free and about \d+ are needed: make room, or clone"):
        install.check(1 << 40)


def test_a_disk_that_fills_up_meanwhile_is_told() -> None:
    said = "Collecting numpy\nERROR: Could not install packages due to an OSError: [Errno 28] No space left on device"
    assert install.reason(said) == "the disk is full: make room, and run make again"


def test_a_system_without_an_embedded_server_hears_what_to_install_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install.platform, "machine", lambda: "riscv64")
    which = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: None if name.endswith("-server") else which(name))
    with pytest.raises(install.Failed, match=r"riscv64: install the package redis-server or valkey-server first"):
        install.check(1)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    install.check(1)


def test_a_python_that_cannot_make_environments_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "uv" else f"/usr/bin/{name}")
    monkeypatch.setattr(install.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(install.Failed, match=r"install its venv \(Debian: python3-venv\), or uv"):
        install.check(1)


def test_an_environment_that_is_broken_or_was_left_in_the_middle_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its Python was removed, or the folder was moved. Or the disk filled up, or the power went: a package may be there
    by half, and pip would take it for whole."""
    monkeypatch.setattr(install, "VENV", venv := tmp_path / ".venv")
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to("/nowhere/python3")
    uv = tmp_path / "uv"  # pip is not wanted here, and takes seconds
    uv.write_text('#!/bin/sh\nexec "$4" -m venv --without-pip "$5"\n')
    uv.chmod(0o755)
    install.make_environment(str(uv))
    assert subprocess.run([venv / "bin" / "python", "-c", ""], check=False).returncode == 0
    (left := venv / "half").touch()
    install.make_environment(str(uv))
    assert left.exists()
    install.half_done().touch()
    install.make_environment(str(uv))
    assert not left.exists()
