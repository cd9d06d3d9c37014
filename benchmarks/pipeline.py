"""`bulkqa.pipeline` against transformers' question-answering pipeline: which answers differ, and which is right.

The same checkpoint at fp32, the same rows, the defaults of both; then the reader that ships. The environment is that of
`benchmarks.peers`. Each in a process of its own, in turns: rows/s, memory, seconds to the first answer.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import common
from benchmarks.common import CHECKPOINT, SHIPPED, SQUAD
from benchmarks.peers import EVALUATION, environment, run
from contract import squad
from worker.evaluate import load_squad

#: Rows besides the evaluation.
MORE = 371


def rows_of(count: int) -> list[dict[str, Any]]:
    """The evaluation, and rows of another set."""
    drawn = random.Random(7).sample([each for each in load_squad(SQUAD) if each.answers], MORE)
    examples = [*load_squad(EVALUATION), *drawn]
    rows = [{"question": e.question, "context": e.context, "answers": list(e.answers)} for e in examples if e.answers]
    return rows[:: max(1, len(rows) // count)]


def right(answers: list[str], rows: list[dict[str, Any]]) -> list[float]:
    """Exact match of each answer."""
    return [squad.exact_match(answer, row["answers"]) for answer, row in zip(answers, rows, strict=True)]


def compared(theirs: list[str], ours: list[str], rows: list[dict[str, Any]]) -> str:
    """How many answers differ, and which of them match a reference."""
    exact = list(zip(right(theirs, rows), right(ours, rows), strict=True))
    differ = [pair for pair, one, other in zip(exact, theirs, ours, strict=True) if one != other]
    only_theirs, only_ours = (sum(pair == wanted for pair in differ) for wanted in ((1.0, 0.0), (0.0, 1.0)))
    return f"{len(differ)} differ: only ours right {only_ours}, only theirs {only_theirs}"


def main() -> None:
    args = common.arguments(__doc__ or "", rows=838, threads=2)
    if not (CHECKPOINT.exists() and EVALUATION.exists() and SQUAD.exists()):
        print("The checkpoint or its evaluation is not beside the repository: nothing is measured.")
        return
    rows, python = rows_of(40 if args.quick else args.rows), environment()
    runs: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        file = Path(name) / "rows.json"
        file.write_text(json.dumps(rows))
        common.python("-m", "benchmarks.models", "small", name, "fp32")
        for what, how, model in (
            ("transformers' pipeline", "defaults", CHECKPOINT),
            ("bulkqa.pipeline, fp32", "pipeline", Path(name) / "small-fp32"),
            ("bulkqa.pipeline, the reader that ships", "pipeline", SHIPPED),
            ("as a worker does, the reader that ships", "ours", SHIPPED),
        ):
            with_ours = how != "defaults"
            runs[what] = run(Path(sys.executable) if with_ours else python, how, model, file, args.threads)
    theirs = runs["transformers' pipeline"]
    lines = []
    for what, made in runs.items():
        exact = 100 * sum(right(made["answers"], rows)) / len(rows)
        f1 = 100 * sum(squad.f1(a, row["answers"]) for a, row in zip(made["answers"], rows, strict=True)) / len(rows)
        note = f"EM {exact:.1f}, F1 {f1:.1f}; {made['rss'] / 2**20:,.0f} MiB; first answer after {made['first']:.2f} s"
        if made is not theirs:
            note += f"; {compared(theirs['answers'], made['answers'], rows)}"
        lines.append(common.Line(what, len(rows) / made["seconds"], "rows/s", note=note))
    common.report("Against transformers' pipeline, call by call", lines, args, rows=len(rows), threads=args.threads)


if __name__ == "__main__":
    main()
