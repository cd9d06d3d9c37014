"""The README's session, replayed: every command in a console block must print what is written there.

What may differ from run to run is masked: job ids, rates, and scores, which depend on the processor's kernels.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from contract.settings import Settings
from tests.acceptance.cluster import REPO

README = (REPO / "README.md").read_text()


def console_blocks() -> list[tuple[str, str]]:
    """(command, output) of all console blocks, in order."""
    found = []
    for block in re.findall(r"^```console\n(.*?)^```", README, re.M | re.S):
        for command, output in re.findall(r"^\$ (.*?)\n(.*?)(?=^\$ |\Z)", block, re.M | re.S):
            found.append((command, output))
    return found


def masked(text: str) -> str:
    text = re.sub(r"\b20\d{6}-\d{6}-[0-9a-f]{8}\b", "JOB", text)
    text = re.sub(r"[\d,]+ rows/s", "N rows/s", text)
    text = re.sub(r'("(?:raw_|null_)?score": )-?[\d.]+', r"\1S", text)
    return re.sub(r"│ [01]\.\d\d ", "│ S.SS ", text)


def test_every_command_of_the_readme_prints_what_the_readme_says(tmp_path: Path) -> None:
    shutil.copytree(REPO / "samples", tmp_path / "samples")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    jobs: dict[str, str] = {}
    for command, output in console_blocks():
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


def test_the_table_of_settings_is_complete_and_true() -> None:
    rows = dict(re.findall(r"^\| `BULKQA_(\w+)` \| `(.*?)` \|", README, re.M))
    fields = {name.upper(): field for name, field in Settings.model_fields.items()}
    assert list(rows) == list(fields)
    for name, field in fields.items():
        if name != "MODEL_DIR":
            assert rows[name] == str(field.default), name


def test_the_table_of_commands_names_all_of_them() -> None:
    from typer.main import get_command

    from producer import cli as producer_cli
    from worker import cli as worker_cli

    named = {tuple(shlex.split(row)[:2]) for row in re.findall(r"^\| `((?:producer|worker) .*?)` \|", README, re.M)}
    for program, app in (("producer", producer_cli.app), ("worker", worker_cli.app)):
        commands = get_command(app).commands  # type: ignore[attr-defined]
        shown = {(program, name) for name, command in commands.items() if not command.hidden}
        assert {pair for pair in named if pair[0] == program} == shown


def _jobs(text: str) -> list[str]:
    return re.findall(r"\b20\d{6}-\d{6}-[0-9a-f]{8}\b", text)
