"""Against the question-answering pipeline of transformers 4.57, the last with that pipeline: rows/s, memory, F1.

The same checkpoint, rows and threads, each in a process of its own, in turns. The pipeline has an environment of its
own (`.venv-peers`, made at the first run: some 900 MB with torch), because its transformers is older than ours. bulkqa
runs the same checkpoint at fp32, and the model that ships. Needs the checkpoint and SQuAD-format rows beside the
repository; without them it says so.
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
    """The Python of the pipeline's environment, which is made if it does not exist."""
    python = ENVIRONMENT / "bin" / "python"
    if not (ENVIRONMENT / "made").exists():
        print(f"making {ENVIRONMENT.name}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], check=True)
        packages = ("transformers==4.57.*", f"torch=={torch_version()}", "numpy")
        subprocess.run([str(python), "-m", "pip", "install", "-q", *packages], check=True)
        (ENVIRONMENT / "made").touch()
    return python


def rows_of(count: int) -> list[dict[str, Any]]:
    """Rows of the evaluation, drawn from all of it."""
    rows = [
        {"question": example.question, "context": example.context, "answers": list(example.answers)}
        for example in load_squad(EVALUATION)
        if example.answers
    ]
    random.Random(7).shuffle(rows)
    return rows[:count]


def run(python: Path, how: str, model: Path, file: Path, threads: int) -> dict[str, Any]:
    command = [str(python), str(Path(__file__).with_name("peers_script.py")), how, str(model), str(file), str(threads)]
    environment_ = os.environ | {"PYTHONPATH": str(REPO) if how in ("ours", "pipeline") else "", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, env=environment_, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    args = common.arguments(__doc__ or "", rows=200, threads=len(os.sched_getaffinity(0)))
    if not (CHECKPOINT.exists() and EVALUATION.exists()):
        print("The checkpoint or its evaluation is not beside the repository: nothing is measured.")
        return
    count = 40 if args.quick else args.rows
    rows, theirs = rows_of(count), environment()
    by_name: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        file = Path(name) / "rows.json"
        file.write_text(json.dumps(rows))
        common.python("-m", "benchmarks.models", "small", name, "fp32")
        ours = Path(sys.executable)
        for _ in range(1 if args.quick else ROUNDS):
            for what, python, how, model in (
                ("transformers' pipeline, one row at a time", theirs, "1", CHECKPOINT),
                ("transformers' pipeline, batches of 16", theirs, "16", CHECKPOINT),
                ("bulkqa, fp32", ours, "ours", Path(name) / "small-fp32"),
                ("bulkqa, int8 as shipped (distilled weights of its own)", ours, "ours", SHIPPED),
            ):
                by_name.setdefault(what, []).append(run(python, how, model, file, args.threads))
    lines, first = [], 0.0
    for what, runs in by_name.items():
        rate = common.median([count / run_["seconds"] for run_ in runs])
        first = first or rate
        f1 = sum(squad.f1(a, row["answers"]) for a, row in zip(runs[0]["answers"], rows, strict=True)) / count
        memory = common.median([run_["rss"] / 2**20 for run_ in runs])
        note = f"{rate / first:.2f} times; F1 {100 * f1:.1f}; {memory:,.0f} MiB peak"
        lines.append(common.Line(what, rate, "rows/s", note=note))
    about = {"rows": f"{count} of the evaluation", "threads": args.threads, "torch": torch_version()}
    common.report("Against transformers 4.57", lines, args, **about)


def torch_version() -> str:
    """The version of our torch, without the suffix for its variant."""
    return version("torch").partition("+")[0]


if __name__ == "__main__":
    main()
