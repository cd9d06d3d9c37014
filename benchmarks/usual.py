"""Against the usual script: rows a second and peak memory, same rows, same threads, each in a process of its own.

With a BERT-base shape 200 rows would take the script some minutes. It gets every second of the 200 by length, whose
mean length is the same within 2 %. With fewer rows the script is faster for each row, because it touches less memory
and pads less, so the ratio is too small.
"""

from __future__ import annotations

import json
import os
import random
import tempfile
from pathlib import Path

from benchmarks import common
from benchmarks.common import Line, Run

#: A shape, rows, targets by precision, rounds, and runs of bulkqa in each round.
Plan = tuple[str, int, dict[str, float | None], int, int]


def measure(
    folder: Path, shape: str, rows: int, precisions: list[str], rounds: int, runs: int, threads: int
) -> tuple[dict, str]:
    """Runs by name, those of the script under "usual", `runs` of bulkqa in each round; and the source of the rows."""
    made = [p for p in precisions if not (shape == "small" and p == "int8")]
    if not (folder / f"{shape}.onnx").exists():
        common.python("-m", "benchmarks.models", shape, str(folder), ",".join(made), "plain")
    pairs, source = common.squad_pairs(200)
    step = 200 // rows
    pairs = sorted(pairs, key=lambda pair: len("".join(pair)), reverse=True)[step // 2 :: step]
    random.Random(7).shuffle(pairs)
    file = folder / "rows.json"
    file.write_text(json.dumps(pairs))
    vocabulary = str(common.SHIPPED / "tokenizer.json")
    by_name: dict[str, list[Run]] = {}
    for _ in range(rounds):
        script = ("-m", "benchmarks.usual_script", str(folder / f"{shape}.onnx"), vocabulary, str(file), str(threads))
        by_name.setdefault("usual", []).append(common.python(*script))
        for precision in precisions:
            model = folder / f"{shape}-{precision}" if precision in made else common.SHIPPED
            engine = ("-m", "benchmarks.engine", str(model), str(file), str(threads))
            by_name.setdefault(precision, []).extend(common.python(*engine) for _ in range(runs))
    return by_name, source


def speed(runs: list[Run], rows: int) -> float:
    return common.median([rows / float(run.out) for run in runs])


def memory(runs: list[Run]) -> float:
    return common.median([run.rss / 2**20 for run in runs])


def main() -> None:
    args = common.arguments(__doc__ or "", threads=len(os.sched_getaffinity(0)))
    plans: list[Plan] = [("small", 200, {"fp32": 4.5, "int8": 12.0}, 2, 1)]
    if args.quick:
        plans = [("small", 25, {"int8": None}, 1, 1)]  # the target is for 200
    else:
        plans += [("base", 100, {"int8": 10.0}, 1, 1)]
    lines: list[Line] = []
    for shape, rows, targets, rounds, runs in plans:
        with tempfile.TemporaryDirectory(prefix="bench-") as name:
            by_name, source = measure(Path(name), shape, rows, list(targets), rounds, runs, args.threads)
        usual = by_name["usual"]
        lines.append(
            Line(
                f"{shape}: the usual script, {rows} rows",
                speed(usual, rows),
                "rows/s",
                note=f"{memory(usual):,.0f} MiB",
            )
        )
        for precision, target in targets.items():
            ours = by_name[precision]
            ratio = speed(ours, rows) / speed(usual, rows)
            what = f"{speed(ours, rows):.4g} rows/s, {memory(ours):,.0f} MiB"
            against = f"{shape}: {precision} against the script"
            lines.append(
                common.at_least(against, ratio, target, "times", what)
                if target
                else common.Line(against, ratio, "times", note=what)
            )
        if shape == "small" and rows == 200:
            share = memory(usual) / memory(by_name["int8"])
            lines.append(common.at_least("small: peak memory of the script against int8, 200 rows", share, 15, "times"))
    common.report("Against the usual script", lines, args, threads=args.threads, rows_from=source)


if __name__ == "__main__":
    main()
