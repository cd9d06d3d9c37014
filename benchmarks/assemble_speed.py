"""Assembling the parts of a job: memory, and bytes of document a second, on one core."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from pathlib import Path

from benchmarks import common
from contract.format import codec, layout, part
from contract.format.job import Answer, InputFile, Manifest, Options, Row, Span, answered
from contract.ledger.stored import Index
from contract.storage.local import LocalStorage

_ROWS = 512
_ASSEMBLE = """
import sys, time
from pathlib import Path
from contract.ledger import assemble
from contract.ledger.stored import StoredJob
from contract.storage.local import LocalStorage
job = StoredJob.open(LocalStorage(Path(sys.argv[1])), "j")
started = time.perf_counter(), time.process_time()
assert assemble.publish(job) == []
print(time.perf_counter() - started[0], time.process_time() - started[1])
"""


def write_parts(storage: LocalStorage, rows: int) -> int:
    """Write a job with all its parts, whose predictions have about 900 bytes each. Returns the number of parts."""
    some = common.pairs(_ROWS)
    chunks = -(-rows // _ROWS)
    index = Index((_ROWS,) * chunks, ("",) * chunks)
    storage.create(layout.index("j"), index.to_bytes(), durable=False)
    source = InputFile("f.csv", "csv", 1, "s", ("question", "context"), "|")
    digest = hashlib.sha256(index.to_bytes()).hexdigest()
    manifest = Manifest("j", 1.0, "m", chunks * _ROWS, 0, chunks, digest, source)
    storage.create(layout.manifest("j"), codec.dump(manifest), durable=False)
    for chunk in range(chunks):
        predictions = [_prediction(chunk * _ROWS + n, *pair) for n, pair in enumerate(some)]
        data, _ = part.encode(predictions, started_at=1.0 + chunk, finished_at=2.0 + chunk, model="d", worker="w")
        storage.create(layout.part("j", chunk), data, durable=False)
    return chunks


def _prediction(number: int, question: str, context: str) -> dict[str, object]:
    answer = Answer((Span(context[10:30], 10, 30, 0.75, 9.5),), -3.0, 0.75)
    return answered(Row(number, question, context, f"row-{number:08d}"), answer, Options())


def main() -> None:
    args = common.arguments(__doc__ or "", rows=500_000)
    rows = 100_000 if args.quick else args.rows
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        storage = LocalStorage(Path(name))
        chunks = write_parts(storage, rows)
        done = common.python("-c", _ASSEMBLE, name, cpus={max(os.sched_getaffinity(0))})
        wall, cpu = map(float, done.out.split())
        megabytes = json.loads(storage.read(layout.report("j")))["outputs"]["predictions"]["bytes"] / 1e6
    lines = [
        common.at_least("assembling predictions", megabytes / wall, 150, "MB/s", f"{megabytes / cpu:.0f} by CPU time"),
        common.at_most("memory", done.rss / 2**20, 150, "MiB"),
    ]
    common.report("Assemble", lines, args, rows=f"{chunks * _ROWS:,}", document=f"{megabytes:,.0f} MB")


if __name__ == "__main__":
    sys.exit(main())
