"""A BERT-large shape at int8 in 4 GiB of address space: bulkqa on many rows, the usual script on 450."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import common

_LIMIT = 4 << 30


def limits() -> None:
    """Set the limit, in a process before it starts its program."""
    resource.setrlimit(resource.RLIMIT_AS, (_LIMIT, _LIMIT))


def limited(*arguments: str, program: str = sys.executable) -> tuple[int, float, float]:
    """Exit status, peak MiB and seconds of a Python program under the limit."""
    started = time.perf_counter()
    quiet = subprocess.DEVNULL
    process = subprocess.Popen([program, *arguments], cwd=common.REPO, stdout=quiet, stderr=quiet, preexec_fn=limits)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, used.ru_maxrss / 1024, time.perf_counter() - started


def main() -> None:
    args = common.arguments(__doc__ or "", rows=2000, usual=450)
    count = 20 if args.quick else args.rows
    threads = str(len(os.sched_getaffinity(0)))
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        common.python("-m", "benchmarks.models", "large", name, "int8", "plain")
        files = {n: folder / f"rows-{n}.json" for n in (count, args.usual)}
        for number, file in files.items():
            file.write_text(json.dumps(common.pairs(number)))
        vocabulary = str(common.SHIPPED / "tokenizer.json")
        script = ("-m", "benchmarks.usual_script", str(folder / "large.onnx"), vocabulary, str(files[args.usual]))
        usual, usual_rss, _ = limited(*script, threads)
        ours, rss, seconds = limited("-m", "benchmarks.engine", str(folder / "large-int8"), str(files[count]), threads)
    lines = [
        common.at_most(f"bulkqa, {count:,} rows, exit status {ours}", rss, 2560, "MiB", f"{seconds:.0f} s"),
        common.Line(f"the usual script, {args.usual} rows, exit status {usual}", usual_rss, "MiB"),
    ]
    assert ours == 0
    common.report("BERT-large in 4 GiB", lines, args, limit="RLIMIT_AS", rows_from="generated rows", threads=threads)


if __name__ == "__main__":
    main()
