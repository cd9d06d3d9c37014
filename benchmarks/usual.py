"""Against the usual script: rows a second and peak memory, same rows, same threads, each in a process of its own.

For the shape of BERT-base 200 rows would take the script some minutes. It gets every second of the 200 by length,
which are within 2 % as long on average. With fewer rows the script is faster a row, since it has less memory to touch
and pads less far, so the ratio is too small.
"""

from __future__ import annotations

import json
import os
import random
import tempfile
from pathlib import Path

from benchmarks import common
from benchmarks.common import Line, Run

#: A shape, rows, what is to be reached by precision, rounds, and runs of ours in each.
Plan = tuple[str, int, dict[str, float | None], int, int]


def measure(
    folder: Path, shape: str, rows: int, precisions: list[str], rounds: int, runs: int, threads: int
) -> tuple[dict, str]:
    """Runs by name, the script's under "usual", of ours `runs` in a round; and where the rows come from."""
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
    found: dict[str, list[Run]] = {}
    for _ in range(rounds):
        script = ("-m", "benchmarks.usual_script", str(folder / f"{shape}.onnx"), vocabulary, str(file), str(threads))
        found.setdefault("usual", []).append(common.python(*script))
        for precision in precisions:
            model = folder / f"{shape}-{precision}" if precision in made else common.SHIPPED
            engine = ("-m", "benchmarks.engine", str(model), str(file), str(threads))
            found.setdefault(precision, []).extend(common.python(*engine) for _ in range(runs))
    return found, source


def speed(runs: list[Run], rows: int) -> float:
    return common.middle([rows / float(run.out) for run in runs])


def memory(runs: list[Run]) -> float:
    return common.middle([run.rss / 2**20 for run in runs])


def main() -> None:
    given = common.arguments(__doc__ or "", threads=len(os.sched_getaffinity(0)))
    plans: list[Plan] = [("small", 200, {"fp32": 4.5, "int8": 12.0}, 2, 1)]
    if given.quick:
        plans = [("small", 25, {"int8": None}, 1, 1)]  # the target is for 200
    else:
        plans += [("base", 100, {"int8": 10.0}, 1, 1)]
    lines: list[Line] = []
    for shape, rows, targets, rounds, runs in plans:
        with tempfile.TemporaryDirectory(prefix="bench-") as name:
            found, source = measure(Path(name), shape, rows, list(targets), rounds, runs, given.threads)
        usual = found["usual"]
        lines.append(
            Line(
                f"{shape}: the usual script, {rows} rows",
                speed(usual, rows),
                "rows/s",
                note=f"{memory(usual):,.0f} MiB",
            )
        )
        for precision, target in targets.items():
            ours = found[precision]
            ratio = speed(ours, rows) / speed(usual, rows)
            what = f"{speed(ours, rows):.4g} rows/s, {memory(ours):,.0f} MiB"
            against = f"{shape}: {precision} against it"
            lines.append(
                common.at_least(against, ratio, target, "times", what)
                if target
                else common.Line(against, ratio, "times", note=what)
            )
        if shape == "small" and rows == 200:
            share = memory(usual) / memory(found["int8"])
            lines.append(common.at_least("small: its peak memory against int8's at 200 rows", share, 15, "times"))
    common.report("Against the usual script", lines, given, threads=given.threads, rows_from=source)


if __name__ == "__main__":
    main()
