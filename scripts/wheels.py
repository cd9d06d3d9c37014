"""Whether every package of the lock has a wheel for every Python and system that docs/one-machine.md names.

`python scripts/wheels.py`. For those that are not at hand: nothing is installed, nothing built from source. Needs uv.
Not named: macOS on Intel processors, for which onnxruntime has no wheels any more.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PLATFORMS = {
    "Linux x86-64": "x86_64-manylinux_2_28",
    "Linux aarch64": "aarch64-manylinux_2_28",
    "macOS 14 arm64": "aarch64-apple-darwin",
}


def lacking(python: str, platform: str, listed: str) -> str:
    """What uv says is missing, or nothing."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["uv", "pip", "install", "--dry-run", "--target", folder, "--only-binary", ":all:", "--no-deps"]
        command += ["--python-version", python, "--python-platform", platform, "--require-hashes"]
        done = subprocess.run(
            [*command, "-r", f"requirements/{listed}.txt"],
            cwd=REPO,
            env=os.environ | {"MACOSX_DEPLOYMENT_TARGET": "14.0"},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode == 0:
        return ""
    said = " ".join(done.stderr.split())
    named = re.findall(r"(?:Because|And because) ([\w.-]+==[\w.]+) has no wheels", said)
    return ", ".join(named) or said


def main(listed: list[str]) -> int:
    """A table for each list, and how many cells of it lack something."""
    bad = 0
    for name in listed:
        print(f"[{name}]".ljust(16) + "".join(python.rjust(8) for python in PYTHONS))
        for title, platform in PLATFORMS.items():
            found = {python: lacking(python, platform, name) for python in PYTHONS}
            print(title.ljust(16) + "".join(("-" if found[python] else "all").rjust(8) for python in PYTHONS))
            for python, what in found.items():
                if what:
                    bad += 1
                    print(f"    {python}: {what[:300]}")
    return bad


if __name__ == "__main__":
    sys.exit(min(1, main(sys.argv[1:] or ["local", "dev"])))
