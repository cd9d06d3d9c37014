"""Everything against the bare minimum: `producer run` from its first chunk to its published outputs, against a loop of
session.run over prepared inputs; two threads against one; two processes of one thread against one.

If the cores of a virtual machine are temporarily two threads of one core, two of anything are 1.6 times one: so the
latter two are measured more often, with fewer rows.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import common
from contract.format import layout
from contract.storage.local import LocalStorage


def engine(file: Path, threads: int, *how: str) -> float:
    """Seconds of the reader alone."""
    return float(common.python("-m", "benchmarks.engine", str(common.SHIPPED), str(file), str(threads), *how).out)


def two_processes(file: Path) -> float:
    """Seconds of the slower of two processes that each score all rows on one thread."""
    command = [sys.executable, "-m", "benchmarks.engine", str(common.SHIPPED), str(file), "1"]
    both = [subprocess.Popen(command, cwd=common.REPO, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    return max(float(process.communicate()[0]) for process in both)


def whole(folder: Path, rows: list[tuple[str, str]], threads: int, number: int) -> float:
    """Seconds from the start of the first chunk to the report."""
    file = common.write_csv(folder / "rows.csv", rows)
    storage = folder / f"storage-{number}"
    command = ("producer", "run", str(file), "-o", str(folder / "out.json"), "--storage", str(storage))
    common.python("-m", *command, "--threads", str(threads))
    kept = LocalStorage(storage)
    report = json.loads(kept.read(layout.report(kept.list(layout.JOBS)[0])))
    return float(report["finished_at"] - report["started_at"])


def main() -> None:
    threads = len(os.sched_getaffinity(0))
    args = common.arguments(__doc__ or "", rows=600, rounds=2, short_rounds=2)
    count, rounds, short = (120, 1, 1) if args.quick else (args.rows, args.rounds, args.short_rounds)
    rows, source = common.squad_pairs(count, shuffled=False)
    rows = [(f"{question} ({n})", context) for n, (question, context) in enumerate(rows)]  # all different
    ratios: dict[str, list[float]] = {"whole": [], "threads": [], "workers": []}
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        file = folder / "rows.json"
        file.write_text(json.dumps(rows))
        fewer = folder / "fewer.json"
        fewer.write_text(json.dumps(rows[: count // 6]))
        for number in range(rounds):
            ratios["whole"].append(engine(file, threads, "bare") / whole(folder, rows, threads, number))
        for _ in range(short):
            one = engine(fewer, 1)
            ratios["threads"].append(one / engine(fewer, 2))
            ratios["workers"].append(2 * one / two_processes(fewer))
    lines = [
        common.at_least(f"producer run against a bare loop, {threads} threads", common.median(ratios["whole"]), 0.97),
        common.at_least("two threads against one", common.median(ratios["threads"]), 1.9, "times"),
        common.at_least("two workers of one thread against one", common.median(ratios["workers"]), 1.9, "times"),
    ]
    common.report("Whole path", lines, args, rows=count, rows_from=source, rounds=f"{rounds} and {short}")


if __name__ == "__main__":
    main()
