"""The steps before a release, in the order of RELEASING.md: `python scripts/release.py`, in a clean checkout.

Builds the wheel and the sdist into `dist`, checks their contents, and answers the sample file with the wheel in an
empty environment outside the checkout, on each given Python (by default the one that runs this). Uploads nothing, and
prints which steps are left. A test does the same with `build`, `contents` and `try_out`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
MODEL = ("reader.json", "model.onnx", "tokenizer.json", "README.md")
OTHERS = ("PYTHONPATH", "VIRTUAL_ENV", "WHEEL_WITHOUT_MODEL")  # would change the build, or its imports
LIMIT = 100 << 20  # of a file on PyPI


class Failed(Exception):
    """A step of the checklist that did not pass."""


def run(*command: str | Path, cwd: Path = REPO, timeout: float = 900.0) -> str:
    """The output of a command. Raises Failed with it if the command fails."""
    env = {name: value for name, value in os.environ.items() if name not in OTHERS}
    env = {name: value for name, value in env.items() if not name.startswith("BULKQA_")}
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=timeout, check=False)
    if done.returncode:
        raise Failed(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


# The steps


def version() -> str:
    """The version in pyproject.toml. Raises Failed if the changelog begins with another."""
    named = str(tomllib.loads((REPO / "pyproject.toml").read_text())["project"]["version"])
    heading = re.search(r"^## +\[?([\w.]+)", (REPO / "CHANGELOG.md").read_text(), re.M)
    if heading is None or heading[1] != named:
        raise Failed(f"pyproject.toml says {named}, CHANGELOG.md begins with {heading and heading[1]}")
    return named


def clean() -> None:
    """Raise Failed if the checkout has uncommitted changes."""
    if changed := run("git", "status", "--porcelain"):
        raise Failed(f"not committed:\n{changed}")


def build(target: Path) -> tuple[Path, Path]:
    """Build the sdist, and from it the wheel, which lacks what the sdist lacks."""
    shutil.rmtree(target, ignore_errors=True)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", target, REPO)
    (wheel,), (sdist,) = target.glob("*.whl"), target.glob("*.tar.gz")
    return wheel, sdist


def contents(wheel: Path, sdist: Path) -> None:
    """Raise Failed unless both have the model, the wheel has no tests and samples, and neither is too large."""
    inside = zipfile.ZipFile(wheel).namelist()
    missing = {f"worker/models/minilm-l6-qa/{name}" for name in MODEL} - set(inside)
    foreign = {name.partition("/")[0] for name in inside} - {"bulkqa", "contract", "producer", "worker"}
    if missing or any(not name.endswith(".dist-info") for name in foreign):
        raise Failed(f"{wheel.name} lacks {sorted(missing)} and has {sorted(foreign)}")
    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    needed = {f"models/minilm-l6-qa/{name}" for name in MODEL} | {"LICENSE", "Makefile", "samples/questions.csv"}
    if needed - packed:
        raise Failed(f"{sdist.name} lacks {sorted(needed - packed)}")
    for file in (wheel, sdist):
        if file.stat().st_size > LIMIT:
            raise Failed(f"{file.name} is larger than {LIMIT >> 20} MiB")


def try_out(wheel: Path, python: str, folder: Path) -> list[str | None]:
    """The answers to the sample file, by the wheel in an empty environment in `folder`.

    Installs the dependencies of the lock, and checks that they satisfy the wheel.
    """
    env = folder / "env"
    locked = ["--require-hashes", "--no-deps", "-r", REPO / "requirements" / "local.txt"]
    if uv := shutil.which("uv"):
        run(uv, "venv", "--quiet", "--python", python, env)
        install = [uv, "pip", "install", "--quiet", "--python", env / "bin" / "python"]
        run(*install, *locked)
        run(*install, "--no-deps", wheel)
        run(uv, "pip", "check", "--python", env / "bin" / "python")
    else:
        run(python, "-m", "venv", env)
        install = [env / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-compile"]
        run(*install, *locked)
        run(*install, "--no-deps", wheel)
        run(env / "bin" / "python", "-m", "pip", "check")
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    shutil.copy(REPO / "samples" / "questions.csv", elsewhere)
    versions = {run(env / "bin" / program, "--version", cwd=elsewhere) for program in ("producer", "worker")}
    if versions != {f"bulkqa {wheel.name.split('-')[1]}\n"}:
        raise Failed(f"--version prints {versions}")
    arguments = ["run", "questions.csv", "-o", "answers.json", "--no-answer-threshold", "0"]
    run(env / "bin" / "producer", *arguments, cwd=elsewhere)
    document = json.loads((elsewhere / "answers.json").read_text())
    return [prediction["answer"] for prediction in document["predictions"]]


def main(pythons: list[str]) -> None:
    """Every step, with a line of output for each."""
    clean()
    print(f"bulkqa {version()}: the checkout is clean, the changelog begins with it")
    wheel, sdist = build(REPO / "dist")
    contents(wheel, sdist)
    print(f"built {wheel.name} and {sdist.name}: the model is in both")
    for python in pythons:
        with tempfile.TemporaryDirectory() as folder:
            answers = try_out(wheel, python, Path(folder))
        print(
            f"{run(python, '-V').strip()}: {len(answers)} rows of the sample file, {sum(map(bool, answers))} answered"
        )
    for file in (wheel, sdist):
        print(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}  {file.stat().st_size / 1e6:.1f} MB")
    print("Continue with RELEASING.md, from step 5 on.")


if __name__ == "__main__":
    try:
        main(sys.argv[1:] or [sys.executable])
    except Failed as error:
        sys.exit(f"release: {error}")
