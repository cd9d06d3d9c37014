"""A worker's peak memory does not grow with the job: many rows against few, with a tiny model."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

from benchmarks import common
from contract.format import layout
from contract.ledger import records
from contract.storage.local import LocalStorage


def peak(folder: Path, rows: int) -> float:
    """MiB at the highest of the worker that scores so many rows, as it says itself in the footers of its parts."""
    chance = random.Random(7)
    file = common.write_csv(folder / "rows.csv", [(f"Which {n}?", common.text(20, chance)) for n in range(rows)])
    storage = folder / f"storage-{rows}"
    command = ("producer", "run", str(file), "-o", str(folder / "out.json"), "--storage", str(storage))
    common.python("-m", *command, "--model", str(folder / "tiny-fp32"))
    kept = LocalStorage(storage)
    footers = records.footers(kept, kept.list(layout.JOBS)[0], {}).values()
    return max(footer.peak_rss for footer in footers) / 2**20


def main() -> None:
    given = common.arguments(__doc__ or "", rows=100_000)
    rows = 2000 if given.quick else given.rows
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        common.python("-m", "benchmarks.models", "tiny", name, "fp32")
        few, many = peak(Path(name), 1000), peak(Path(name), rows)
    lines = [
        common.Line("worker, 1,000 rows", few, "MiB"),
        common.Line(f"worker, {rows:,} rows", many, "MiB"),
        common.at_most("growth", 100 * (many / few - 1), 5, "%"),
    ]
    common.report("Worker memory", lines, given, model="1 layer of 32, random")


if __name__ == "__main__":
    main()
