"""The sessions of the README and of the guide to bad rows, replayed: every command prints what is written there.

What differs from run to run is masked: job ids, rates, and scores, which depend on the processor's kernels.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.cluster import REPO


def console_blocks(document: str) -> list[tuple[str, str]]:
    """(command, output) of all console blocks, in order."""
    sessions = []
    for block in re.findall(r"^```console\n(.*?)^```", (REPO / document).read_text(), re.M | re.S):
        sessions += re.findall(r"^\$ (.*?)\n(.*?)(?=^\$ |\Z)", block, re.M | re.S)
    return sessions


def masked(text: str) -> str:
    text = re.sub(r"\b20\d{6}-\d{6}-[0-9a-f]{8}\b", "JOB", text)
    text = re.sub(r"[\d,]+ rows/s", "N rows/s", text)
    text = re.sub(r'("(?:(?:raw_|null_)?score|margin)":) ?-?[\d.]+', r"\1S", text)
    return re.sub(r"│ [01]\.\d\d ", "│ S.SS ", text)


@pytest.mark.parametrize("document", ["README.md", "docs/bad-rows.md"])
def test_every_command_of_a_session_prints_what_the_document_says(
    document: str, tmp_path: Path, programs: Path
) -> None:
    """Those of the README are started anew."""
    shutil.copytree(REPO / "samples", tmp_path / "samples")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    if document != "README.md":
        path = os.pathsep.join([str(programs), path])
    jobs: dict[str, str] = {}
    for command, output in console_blocks(document):
        for written, real in jobs.items():
            command = command.replace(written, real)
        done = subprocess.run(
            ["bash", "-c", command],
            check=False,
            cwd=tmp_path,
            env=os.environ | {"PATH": path},
            capture_output=True,
            text=True,
            timeout=60,
        )
        said = done.stdout or done.stderr
        jobs |= dict(zip(_jobs(output), _jobs(said), strict=True))
        assert masked(said) == masked(output), command


def _jobs(text: str) -> list[str]:
    return re.findall(r"\b20\d{6}-\d{6}-[0-9a-f]{8}\b", text)
