"""The guides to other engines, to transformers' callers and to Haystack's: their code, with the real engines.

These are in an environment of their own, `.venv-engines` (`make engines` makes it): they are large, and want other
versions than ours.
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

DOCS = REPO / "docs"
PYTHON = REPO / ".venv-engines" / "bin" / "python"
QUIET = {"HAYSTACK_TELEMETRY_ENABLED": "False", "RAY_USAGE_STATS_ENABLED": "0", "SPARK_LOCAL_IP": "127.0.0.1"} | {
    "PYSPARK_PYTHON": str(PYTHON)
}

needs_engines = pytest.mark.skipif(not PYTHON.exists(), reason="make engines installs them")


def blocks(guide: str) -> dict[str, str]:
    """The code of a guide by heading, examples as asserts."""
    parts = re.split(r"^## (.*)$", (DOCS / guide).read_text(), flags=re.M)
    headings = ["", *parts[1::2]]
    return {heading: "\n".join(code(text)) for heading, text in zip(headings, parts[::2], strict=True)}


def code(text: str) -> list[str]:
    found = []
    for kind, block in re.findall(r"^```(python|pycon)\n(.*?)^```", text, re.M | re.S):
        if kind == "python":
            found.append(block)
        else:
            for example, expected in re.findall(r"^>>> (.*)\n(.*)$", block, re.M):
                found.append(f"assert ({example}) == ({expected}), ({example})\n")
    return found


def run(python: Path, text: str, folder: Path) -> None:
    (folder / "script.py").write_text(text)
    done = subprocess.run(
        [str(python), "script.py"],
        cwd=folder,
        env=os.environ | QUIET | {"PYTHONPATH": str(REPO)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]


def test_the_line_that_changes_for_callers_of_transformers(tmp_path: Path) -> None:
    run(Path(sys.executable), blocks("from-transformers.md")[""], tmp_path)


@needs_engines
def test_a_pipeline_of_haystack(tmp_path: Path) -> None:
    again = (
        "stored = pipeline.dumps()\n"
        "loaded = Pipeline.loads(stored, allowed_modules=['bulkqa.haystack'])\n"
        "same = loaded.run({'retriever': {'query': query}, 'reader': {'query': query}})\n"
        "nothing = ExtractiveReader().run(query, [Document(content=None), Document(content=' ')])['answers']\n"
        "assert [each.data for each in nothing] == [None], nothing\n"
        "assert ExtractiveReader().run(query, [])['answers'] == []\n"
        "empty = [each for each in answers if each.data is None]\n"
        "assert len(empty) == 1 and len(answers) == 3 and sum(each.score for each in answers) <= 1\n"
        "wrong = ExtractiveReader().run('Who wrote it?', [Document(content='The Seine is 777 km long.')])['answers']\n"
        "assert wrong[0].data is None, wrong\n"
    )
    run(PYTHON, blocks("from-haystack.md")[""] + again, tmp_path)


@needs_engines
@pytest.mark.slow
@pytest.mark.parametrize("engine", ["polars", "Dask", "Ray Data", "Spark"])
def test_rows_in_arrow_go_both_ways(engine: str, tmp_path: Path) -> None:
    if engine == "Spark" and not shutil.which("java"):
        pytest.skip("there is no Java")
    guide = blocks("engines.md")
    run(PYTHON, guide[""] + guide[engine], tmp_path)
