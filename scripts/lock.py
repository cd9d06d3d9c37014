"""Writes the lock: `make lock` after a change of dependencies, `make lock UPGRADE=1` for newer versions.

`constraints.txt` is one resolution for all Pythons and systems that bulkqa runs on. Parts of it, with the hashes of
their files, are in `requirements/`: `local.txt` for `make demo`, `dev.txt` for tests, `producer.txt` and `worker.txt`
for the two images, and `backend.txt` for the wheel in them. torch has no hash: its right variant depends on the
machine. Needs uv.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).parents[1]
LOCK = Path("constraints.txt")
BACKEND = ("--group", "pyproject.toml:backend")
EVERYTHING = ("local", "cloud", "pandas", "web", "documents", "dev", "e2e", "build", "bench")
#: Lists with hashes: the extras of each, and the build backend if it is included.
HASHED = {
    "local": (("local",), BACKEND),
    "dev": (("dev",), BACKEND),
    "producer": (("web", "cloud", "documents"), ()),
    "worker": (("worker", "notify", "cloud"), ()),
    "backend": (None, BACKEND),
}
ABOUT = "# Made by `make lock`, which says how to renew it; not to be edited."


def compile_to(target: Path, extras: tuple[str, ...] | None, *more: str) -> None:
    """Have uv choose versions for bulkqa with these extras (None: without bulkqa), and write them without an index."""
    command = ["uv", "pip", "compile", "--universal", "--quiet", "--no-header", "--no-annotate"]
    command += ["--output-file", str(target), "--custom-compile-command", "make lock"]
    if extras is not None:
        command += ["pyproject.toml", *(word for extra in extras for word in ("--extra", extra))]
    subprocess.run([*command, *more], cwd=REPO, check=True, stdout=subprocess.DEVNULL)
    path = REPO / target
    path.write_text(f"{ABOUT}\n{path.read_text()}")


def main() -> None:
    """Compile the constraints, and from them the lists with hashes."""
    upgrade = ["--upgrade"] if os.environ.get("UPGRADE") else []
    compile_to(LOCK, EVERYTHING, *BACKEND, *upgrade)
    for name, (extras, backend) in HASHED.items():
        more = ("--generate-hashes", "--constraints", str(LOCK))
        compile_to(Path("requirements") / f"{name}.txt", extras, *backend, *more)


if __name__ == "__main__":
    try:
        main()
    except FileNotFoundError:
        sys.exit("uv is not installed: pip install uv")
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)
