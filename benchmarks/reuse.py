"""Reuse: a file of which one row in a hundred was edited, against scoring all of it; and the memory and time of finding
the rows of a million among those of ten million.

The reader takes five milliseconds a row (`benchmarks/instant`), as a small model does: the one that ships takes more.
The second part measures finding and copying, with parts that are in memory: reading ten million rows from a storage
takes what it takes.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks import common
from contract import machine

_MS = 5.0  #: of the reader, a row
_CHUNK = 1 << 12  #: rows in an old chunk

_FIND = """
import json, sys
from benchmarks.reuse import find
print(json.dumps(find(int(sys.argv[1]), int(sys.argv[2]))))
"""


@dataclass(frozen=True)
class Ran:
    """A run of a job."""

    seconds: float
    report: dict[str, float]


def run(file: Path, storage: Path, *flags: str) -> Ran:
    env = {"PYTHONPATH": str(common.REPO / "benchmarks" / "instant"), "INSTANT": str(_MS / 1000)}
    command = ("-m", "producer", "run", str(file), "--storage", str(storage), "--json", "-q", *flags)
    done = common.python(*command, env=env)
    return Ran(done.seconds, json.loads(done.out))


def edited(rows: list[tuple[str, str]], share: float) -> list[tuple[str, str]]:
    chance = random.Random(1)
    return [(question, f"{context} Edited." if chance.random() < share else context) for question, context in rows]


def find(old: int, new: int) -> dict[str, float]:
    """Seconds, peak MiB above the start, and rows found: one in a hundred of the new rows is not among the old."""
    import numpy as np

    from contract.format import part
    from contract.format.job import Answer, ModelRef, Options, Row, Span, answered
    from contract.ledger.stored import Part
    from producer.reuse.carry import carry
    from producer.reuse.sources import Source, halves
    from producer.reuse.wanted import RowKeys

    answer = answered(Row(0, "who?", "x" * 700), Answer((Span("x" * 20, 0, 20, 0.5, 3.25),), 1.5, 0.5), Options())
    data, _ = part.encode([answer] * _CHUNK, model="d1", rule=2, numerics="n", scored=_CHUNK)
    same = Part(*part.body(data, _CHUNK))

    class Stored:
        def part(self, number: int) -> Part:
            return same

    class Old(Source):
        def chunk_keys(self):
            for number in range(old // _CHUNK):
                yield number, halves(np.random.default_rng(number).bytes(16 * _CHUNK))

    source = Old(Stored(), ModelRef("m", "d1", "int8"))  # type: ignore[arg-type]
    keys = RowKeys()
    taken = (mine for _, mine in source.chunk_keys())
    for number in range(new // _CHUNK):
        block = next(taken).copy()
        block[::100] = np.random.default_rng(10**9 + number).integers(1, 1 << 62, block[::100].shape, np.uint64)
        keys._file.write(block.tobytes())
    before, sizes = machine.resident_memory(), []
    began = time.perf_counter(), time.process_time()
    carried = carry([source], keys, [_CHUNK] * (new // _CHUNK), lambda _, data: sizes.append(len(data)))
    return {
        "seconds": time.perf_counter() - began[0],
        "cpu": time.process_time() - began[1],
        "mib": machine.peak_memory() / 2**20,
        "above": (machine.peak_memory() - before) / 2**20,
        "rows": carried.rows,
    }


def main() -> None:
    args = common.arguments(__doc__ or "", rows=100_000, old=10_000_000, new=1_000_000)
    rows, old, new = (2_000, 200_000, 50_000) if args.quick else (args.rows, args.old, args.new)
    some = common.pairs(min(rows, 20_000))
    many = (some * -(-rows // len(some)))[:rows]
    texts = [(question, f"{number}. {context}") for number, (question, context) in enumerate(many)]
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        first = common.write_csv(folder / "first.csv", texts)
        second = common.write_csv(folder / "second.csv", edited(texts, 0.01))
        whole = run(first, folder / "storage")
        again = run(second, folder / "storage", "--reuse", "latest")
    found = json.loads(common.python("-c", _FIND, str(old), str(new)).out)
    lines = [
        common.Line("all rows scored", whole.seconds, "s", note=f"{whole.report['scored']:,} scored"),
        common.Line("one in a hundred edited", again.seconds, "s", note=f"{again.report['scored']:,} scored"),
        common.at_most("its share of the time", again.seconds / whole.seconds, 0.2),
        common.at_most(
            f"{new:,} rows among {old:,}: CPU time",
            found["cpu"],
            60,
            "s",
            f"{found['rows']:,.0f} found; {found['seconds']:.0f} s at this load",
        ),
        common.at_most("memory of the process", found["mib"], 300, "MiB", f"{found['above']:.0f} of it for this"),
    ]
    common.report("Reuse", lines, args, rows=f"{rows:,}", reader=f"{_MS:g} ms a row")


if __name__ == "__main__":
    sys.exit(main())
