"""DataRobot's `drum` command with our custom model, in 4 GiB, and the usual script in the same.

`drum` has an environment of its own (`.venv-drum`, made at the first run: some 700 MB), because it pins many versions.
Its score mode reads a file and ends; its server mode answers requests, and memory must not grow with their number.
"""

from __future__ import annotations

import csv
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import httpx
import psutil

from benchmarks import common
from benchmarks.common import REPO
from benchmarks.large_in_4g import limited, limits
from scripts import datarobot

ENVIRONMENT = REPO / ".venv-drum"
VERSION = "1.18.1"


def environment() -> Path:
    """The folder of drum's commands, in an environment that is made if it does not exist or is out of date."""
    listed = REPO / "deploy" / "datarobot" / "requirements.txt"
    made, wanted = ENVIRONMENT / "made", f"datarobot-drum=={VERSION}\n{listed.read_text()}"
    if not made.exists() or made.read_text() != wanted:
        print(f"making {ENVIRONMENT.name}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], check=True)
        subprocess.run([str(ENVIRONMENT / "bin" / "python"), "-m", "pip", "install", "-q", *wanted.split()], check=True)
        made.write_text(wanted)
    return ENVIRONMENT / "bin"


def write(path: Path, rows: list[tuple[str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file, delimiter="|")
        lines.writerow(("question", "context"))
        lines.writerows(rows)
    return path


def scored(drum: Path, code: Path, file: Path) -> tuple[int, float, float]:
    """Rows answered, peak MiB and seconds of `drum score`."""
    out = file.with_suffix(".json")
    files = ("--code-dir", str(code), "--input", str(file), "--output", str(out))
    kind = ("--target-type", "unstructured", "--content-type", "text/csv;charset=utf8")
    status, rss, seconds = limited(str(drum / "drum"), "score", *files, *kind, program=str(drum / "python"))
    assert status == 0, status
    predictions = json.loads(out.read_text("utf-8"))["predictions"]
    return sum(bool(prediction["answer"]) for prediction in predictions), rss, seconds


def served(drum: Path, code: Path, file: Path, times: int) -> tuple[list[float], float]:
    """The MiB of the server after each of several requests, and the seconds of the last."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [str(drum / "drum"), "server", "--code-dir", str(code), "--target-type", "unstructured"]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(
        [*command, "--address", address], stdout=quiet, stderr=quiet, preexec_fn=limits, start_new_session=True
    ) as server:
        try:
            for _ in range(200):
                with suppress(httpx.HTTPError):
                    httpx.get(f"http://{address}/ping")
                    break
                time.sleep(0.1)
            sizes = []
            for _ in range(times):
                began = time.perf_counter()
                about = {"Content-Type": "text/csv; charset=utf8"}
                url = f"http://{address}/predictUnstructured/"
                httpx.post(url, content=file.read_bytes(), headers=about, timeout=600).raise_for_status().json()
                seconds = time.perf_counter() - began
                family = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
                sizes.append(max(process.memory_info().rss for process in family) / 2**20)
            return sizes, seconds
        finally:
            os.killpg(server.pid, 15)


def usual(folder: Path, rows: list[tuple[str, str]]) -> list[common.Line]:
    """The usual script on ever more rows, until it dies."""
    common.python("-m", "benchmarks.models", "small", str(folder), "", "plain")
    lines = []
    for count in (50, 100, 200, 450, len(rows)):
        file = folder / f"rows-{count}.json"
        file.write_text(json.dumps(rows[:count]))
        script = ("-m", "benchmarks.usual_script", str(folder / "small.onnx"), str(common.SHIPPED / "tokenizer.json"))
        status, rss, _ = limited(*script, str(file), str(len(os.sched_getaffinity(0))))
        lines.append(common.Line(f"the usual script, {count:,} rows, exit status {status}", rss, "MiB"))
        if status:
            break
    return lines


def main() -> None:
    args = common.arguments(__doc__ or "", rows=2000)
    count = 100 if args.quick else args.rows
    drum = environment()
    rows, source = common.squad_pairs(count)
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        datarobot.make(common.SHIPPED, folder / "code")
        file = write(folder / "rows.csv", rows)
        answered, rss, seconds = scored(drum, folder / "code", file)
        sizes, last = served(drum, folder / "code", file, 3)
        lines = [
            common.at_most(
                f"drum score, {count:,} rows, {answered:,} answers", rss, 700, "MiB", f"{seconds:.0f} s in all"
            ),
            common.at_most(f"drum server, {count:,} rows, the third time", sizes[-1], 700, "MiB", f"{last:.0f} s"),
            common.at_most("the third time against the first", sizes[-1] / sizes[0], 1.2, "times"),
            *usual(folder, rows),
        ]
    common.report(f"In DataRobot's drum {VERSION}", lines, args, limit="4 GiB of address space",
                  rows_from=source, threads=len(os.sched_getaffinity(0)))  # fmt: skip


if __name__ == "__main__":
    main()
