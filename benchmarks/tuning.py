"""The effect of a worker's settings and a job's options on rows a second and memory: the figures of docs/tuning.md.

One job each with the model that ships: seconds from its first chunk to its report, memory from the footers of its
parts. All jobs have the same rows, except those with long texts: each joins five contexts, and takes several windows.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from benchmarks import common
from contract.format import layout
from contract.ledger import counting
from contract.storage.local import LocalStorage

_THREADS = len(os.sched_getaffinity(0))
_ALL = ("--threads", str(_THREADS))
#: Its name, the flags of `producer run`, and whether the rows are long.
CASES: list[tuple[str, tuple[str, ...], bool]] = [
    ("1 thread", ("--threads", "1"), False),
    (f"{_THREADS} threads", _ALL, False),
    (f"{_THREADS} processes of 1 thread", ("--processes", str(_THREADS), "--threads", "1"), False),
    ("chunks of 16 rows", (*_ALL, "--chunk-rows", "16"), False),
    ("chunks of 128 rows", (*_ALL, "--chunk-rows", "128"), False),
    ("--top-k 5", (*_ALL, "--top-k", "5"), False),
    ("long texts", _ALL, True),
    ("long texts, --max-seq-len 192 --doc-stride 64", (*_ALL, "--max-seq-len", "192", "--doc-stride", "64"), True),
    ("long texts, --doc-stride 32", (*_ALL, "--doc-stride", "32"), True),
]


def job(folder: Path, file: Path, flags: tuple[str, ...]) -> tuple[float, float]:
    """Seconds, and the sum of the peak MiB of all the worker's processes."""
    storage = folder / "storage"
    command = ("producer", "run", str(file), "-o", str(folder / "out.json"), "--storage", str(storage), *flags)
    common.python("-m", *command)
    stored = LocalStorage(storage)
    name = max(stored.list(layout.JOBS))
    report = json.loads(stored.read(layout.report(name)))
    highest: dict[str, int] = {}
    for footer in counting.footers(stored, name, {}).values():
        highest[footer.worker] = max(highest.get(footer.worker, 0), footer.peak_rss)
    stored.discard(layout.folder(name))
    return report["finished_at"] - report["started_at"], sum(highest.values()) / 2**20


def main() -> None:
    args = common.arguments(__doc__ or "", rows=1000, rounds=3)
    count, rounds = (100, 1) if args.quick else (args.rows, args.rounds)
    pairs, source = common.squad_pairs(count, shuffled=False)
    rows = [(f"{question} ({n})", context) for n, (question, context) in enumerate(pairs)]  # all different
    long = [
        (question, "\n".join(pairs[(n + 37 * k) % count][1] for k in range(5))) for n, (question, _) in enumerate(rows)
    ]
    results: dict[str, list[tuple[float, float]]] = {what: [] for what, *_ in CASES}
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        files = common.write_csv(folder / "rows.csv", rows), common.write_csv(folder / "long.csv", long[::5])
        for _ in range(rounds):  # in turns: the speed of the cores changes over time
            for what, flags, are_long in CASES:
                results[what].append(job(folder, files[are_long], flags))
    lines = []
    for what, _, are_long in CASES:
        seconds, memory = (common.median(list(column)) for column in zip(*results[what], strict=True))
        rate = (count / 5 if are_long else count) / seconds
        lines.append(common.Line(what, rate, "rows/s", note=f"{memory:,.0f} MiB"))
    common.report("Tuning", lines, args, rows=count, rows_from=source, rounds=rounds)


if __name__ == "__main__":
    main()
