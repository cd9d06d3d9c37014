"""Write the lock anew: `make lock` after a change of dependencies, `make lock UPGRADE=1` for newer versions.

One resolution for all Pythons and systems that bulkqa runs on, in `constraints.txt`; and of that, with the hashes of
their files, what `make demo` installs (`requirements/local.txt`) and what tests need (`requirements/dev.txt`). torch
has no hash: which of its variants is right depends on the machine. Needs uv.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).parents[1]
LOCK = Path("constraints.txt")
HASHED = {"local": ("local",), "dev": ("dev",)}
EVERYTHING = ("local", "cloud", "pandas", "web", "dev", "e2e", "build", "bench")
ABOUT = "# Made by `make lock`, which says how to renew it; not to be edited."


def compile_to(target: Path, extras: tuple[str, ...], *more: str) -> None:
    """Have uv choose versions for the extras and the build backend, and write them without naming an index."""
    command = ["uv", "pip", "compile", "pyproject.toml", "--universal", "--group", "backend", "--quiet", "--no-header"]
    command += ["--no-annotate", "--output-file", str(target), "--custom-compile-command", "make lock"]
    for extra in extras:
        command += ["--extra", extra]
    subprocess.run([*command, *more], cwd=REPO, check=True, stdout=subprocess.DEVNULL)
    path = REPO / target
    path.write_text(f"{ABOUT}\n{path.read_text()}")


def main() -> None:
    """Compile the constraints, and from them the lists with hashes."""
    upgrade = ["--upgrade"] if os.environ.get("UPGRADE") else []
    compile_to(LOCK, EVERYTHING, *upgrade)
    for name, extras in HASHED.items():
        compile_to(Path("requirements") / f"{name}.txt", extras, "--generate-hashes", "--constraints", str(LOCK))


if __name__ == "__main__":
    try:
        main()
    except FileNotFoundError:
        sys.exit("uv is needed for this, and is not installed: pip install uv")
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)
