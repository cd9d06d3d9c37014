"""`producer submit` of many rows, on one core: memory and bytes of input a second, CSV and Parquet.

Measures writing the job, as the command does it: reading, checking, chunk files, manifest.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import common

_SUBMIT = """
import sys, time
from contract.settings import load
from contract.storage.local import LocalStorage
from pathlib import Path
from producer.jobs.submit import submit, Request
import producer.input.open
started = time.perf_counter(), time.process_time()
submit(sys.argv[1], LocalStorage(Path(sys.argv[2]), create=True), load(), Request(model="m"))
print(time.perf_counter() - started[0], time.process_time() - started[1])
"""


def write_files(folder: Path, rows: int) -> tuple[Path, Path]:
    """The same rows of about 700 bytes as CSV and as Parquet."""
    some = [(question, common.text(105, random.Random(n))) for n, (question, _) in enumerate(common.pairs(2000))]
    as_csv, as_parquet = folder / "rows.csv", folder / "rows.parquet"
    schema = pa.schema([(name, pa.string()) for name in ("id", "question", "context")])
    with as_csv.open("w") as file, pq.ParquetWriter(as_parquet, schema, compression="snappy") as writer:
        file.write("id|question|context\n")
        for start in range(0, rows, len(some)):
            block = [
                (f"row-{start + n:08d}", question, f"{start + n} {context}")
                for n, (question, context) in enumerate(some)
            ]
            file.writelines(f"{id_}|{question}|{context}\n" for id_, question, context in block)
            columns = zip(*block, strict=True)
            writer.write_table(pa.table([pa.array(column) for column in columns], schema=schema))
    return as_csv, as_parquet


def measure(file: Path, folder: Path) -> tuple[float, float, float]:
    """MB of input a second of wall time, and a second of CPU time; peak MiB."""
    storage = folder / "storage"
    done = common.python("-c", _SUBMIT, str(file), str(storage), cpus={max(os.sched_getaffinity(0))})
    shutil.rmtree(storage)
    wall, cpu = map(float, done.out.split())
    return wall, cpu, done.rss / 2**20


def main() -> None:
    args = common.arguments(__doc__ or "", rows=1_000_000)
    rows = 100_000 if args.quick else args.rows
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        files = write_files(folder, rows)
        megabytes = files[0].stat().st_size / 1e6  # of both: of Parquet it is what the rows are as CSV
        found = [measure(file, folder) for file in files]
    (csv_wall, csv_cpu, csv_rss), (parquet_wall, parquet_cpu, parquet_rss) = found
    busy = f"wall time; {megabytes / csv_cpu:.0f} by CPU time"
    lines = [
        common.at_least("CSV, one core", megabytes / csv_wall, 60, "MB/s", busy),
        common.at_least(
            "Parquet, one core, in bytes of the CSV",
            megabytes / parquet_wall,
            round(megabytes / csv_wall, 1),
            "MB/s",
            f"wall time; {megabytes / parquet_cpu:.0f} by CPU time",
        ),
        common.at_most("memory, CSV", csv_rss, 250, "MiB"),
        common.at_most("memory, Parquet", parquet_rss, 250, "MiB"),
    ]
    common.report("Submit", lines, args, rows=f"{rows:,}", row=f"{1e6 * megabytes / rows:.0f} bytes with an id")


if __name__ == "__main__":
    sys.exit(main())
