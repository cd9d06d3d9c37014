"""Rows a second and peak memory against the number of rows, of bulkqa and the usual script: the plot of the page.

Needs matplotlib (the extra `bench`) for the plot; the table is printed without it.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from benchmarks import common
from benchmarks.usual import measure, memory, speed

_PLOT = Path(__file__).with_name("curve.svg")
_NAMES = {"usual": "usual script, fp32", "int8": "bulkqa, int8"}


def main() -> None:
    args = common.arguments(__doc__ or "", threads=len(os.sched_getaffinity(0)))
    sizes = [10, 50] if args.quick else [10, 50, 100, 200]
    points: dict[str, list[tuple[int, float, float]]] = {name: [] for name in _NAMES}
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        for rows in sizes:
            runs_by_name, source = measure(Path(name), "small", rows, ["int8"], 1, 1, args.threads)
            for who, runs in runs_by_name.items():
                points[who].append((rows, speed(runs, rows), memory(runs)))
    lines = [
        common.Line(f"{_NAMES[who]}, {rows} rows", rate, "rows/s", note=f"{used:,.0f} MiB")
        for who, some in points.items()
        for rows, rate, used in some
    ]
    common.report("Rows a second and memory against rows", lines, args, threads=args.threads, rows_from=source)
    try:
        _plot(points)
    except ImportError:
        print(f"\nno plot: pip install -e '.[bench]'\n{json.dumps(points)}")


def _plot(points: dict[str, list[tuple[int, float, float]]]) -> None:
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    for who, some in points.items():
        rows, rates, used = zip(*some, strict=True)
        left.plot(rows, rates, marker="o", label=_NAMES[who])
        right.plot(rows, used, marker="o", label=_NAMES[who])
    left.set(xlabel="rows", ylabel="rows/s", ylim=(0, None), title="speed, same threads")
    right.set(xlabel="rows", ylabel="MiB", yscale="log", title="peak memory")
    left.legend()
    figure.savefig(_PLOT, metadata={"Date": None})


if __name__ == "__main__":
    main()
