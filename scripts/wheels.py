"""Checks that every package of the lock has a wheel for every Python and system in docs/one-machine.md.

`python scripts/wheels.py`. For systems that are not at hand: it installs nothing, and builds nothing from source. Needs
uv. macOS on Intel is not among them: onnxruntime has no wheels for it any more.
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
    """The packages without a wheel, by uv; empty if there are none."""
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
    message = " ".join(done.stderr.split())
    packages = re.findall(r"(?:Because|And because) ([\w.-]+==[\w.]+) has no wheels", message)
    return ", ".join(packages) or message


def main(listed: list[str]) -> int:
    """Print a table for each list. Returns how many cells lack a wheel."""
    bad = 0
    for name in listed:
        print(f"[{name}]".ljust(16) + "".join(python.rjust(8) for python in PYTHONS))
        for title, platform in PLATFORMS.items():
            missing = {python: lacking(python, platform, name) for python in PYTHONS}
            print(title.ljust(16) + "".join(("-" if missing[python] else "all").rjust(8) for python in PYTHONS))
            for python, packages in missing.items():
                if packages:
                    bad += 1
                    print(f"    {python}: {packages[:300]}")
    return bad


if __name__ == "__main__":
    sys.exit(min(1, main(sys.argv[1:] or ["local", "dev"])))
