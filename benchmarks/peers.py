"""Against the question-answering pipeline of transformers 4.57, whose last line it is: rows a second, memory, F1.

The same checkpoint, rows and threads, each in a process of its own, in turns. The pipeline has an environment of its
own (`.venv-peers`, made at the first run: some 900 MB with torch), since its transformers is older than ours. Ours at
fp32 of the same checkpoint, and the reader that ships. Needs the checkpoint and SQuAD-format rows beside the
repository, else it says so.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks import common
from benchmarks.common import CHECKPOINT, REPO, SHIPPED
from contract import squad
from worker.evaluate import load_squad

EVALUATION = REPO.parent / "shared" / "data" / "eval.json"
ENVIRONMENT = REPO / ".venv-peers"
ROUNDS = 2


def environment() -> Path:
    """The Python of the pipeline's environment, which is made if it is not there."""
    python = ENVIRONMENT / "bin" / "python"
    if not (ENVIRONMENT / "made").exists():
        print(f"making {ENVIRONMENT.name}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], check=True)
        packages = ("transformers==4.57.*", f"torch=={torch_version()}", "numpy")
        subprocess.run([str(python), "-m", "pip", "install", "-q", *packages], check=True)
        (ENVIRONMENT / "made").touch()
    return python


def rows_of(count: int) -> list[dict[str, Any]]:
    """So many rows of the evaluation, spread over all of it."""
    rows = [
        {"question": example.question, "context": example.context, "answers": list(example.answers)}
        for example in load_squad(EVALUATION)
        if example.answers
    ]
    random.Random(7).shuffle(rows)
    return rows[:count]


def run(python: Path, how: str, model: Path, file: Path, threads: int) -> dict[str, Any]:
    command = [str(python), str(Path(__file__).with_name("peers_script.py")), how, str(model), str(file), str(threads)]
    environment_ = os.environ | {"PYTHONPATH": str(REPO) if how == "ours" else "", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, env=environment_, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    given = common.arguments(__doc__ or "", rows=200, threads=len(os.sched_getaffinity(0)))
    if not (CHECKPOINT.exists() and EVALUATION.exists()):
        print("The checkpoint of the reader or its evaluation does not lie beside the repository: nothing is measured.")
        return
    count = 40 if given.quick else given.rows
    rows, theirs = rows_of(count), environment()
    found: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        file = Path(name) / "rows.json"
        file.write_text(json.dumps(rows))
        common.python("-m", "benchmarks.models", "small", name, "fp32")
        ours = Path(sys.executable)
        for _ in range(1 if given.quick else ROUNDS):
            for what, python, how, model in (
                ("transformers' pipeline, a row at a time", theirs, "1", CHECKPOINT),
                ("transformers' pipeline, batches of 16", theirs, "16", CHECKPOINT),
                ("bulkqa, fp32", ours, "ours", Path(name) / "small-fp32"),
                ("bulkqa, int8 as it ships: weights of its own, distilled", ours, "ours", SHIPPED),
            ):
                found.setdefault(what, []).append(run(python, how, model, file, given.threads))
    lines, first = [], 0.0
    for what, runs in found.items():
        rate = common.middle([count / one["seconds"] for one in runs])
        first = first or rate
        f1 = sum(squad.f1(a, row["answers"]) for a, row in zip(runs[0]["answers"], rows, strict=True)) / count
        memory = common.middle([one["rss"] / 2**20 for one in runs])
        note = f"{rate / first:.2f} times; F1 {100 * f1:.1f}; {memory:,.0f} MiB at its highest"
        lines.append(common.Line(what, rate, "rows/s", note=note))
    about = {"rows": f"{count} of the evaluation", "threads": given.threads, "torch": torch_version()}
    common.report("Against transformers 4.57", lines, given, **about)


def torch_version() -> str:
    """That of ours, without the word for what it was built for."""
    return version("torch").partition("+")[0]


if __name__ == "__main__":
    main()
