"""What the benchmarks share: conditions, tables, generated rows, and figures of processes.

Every script prints one table with its conditions. `--json FILE` appends the figures to a file, from which
`benchmarks/page.py` makes the page. Timing is noisy on a shared machine: the load average before each script is one of
the conditions, and ratios are medians of interleaved runs.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from worker.evaluate import load_squad

REPO = Path(__file__).resolve().parents[1]
SHIPPED = REPO / "models" / "minilm-l6-qa"
#: Not part of the repository: used if it is beside it, and then the table says so.
SQUAD = REPO.parent / "shared" / "data" / "train" / "shifts-new_wiki.json"
CHECKPOINT = REPO.parent / "shared" / "model"

_WORDS = (  # noqa: SIM905 - it reads like this
    "the of and in to a was is for on as by with that from at his it an were are which this be or had first its new "
    "after one their who not two river city war year state north south church school king company game team season "
    "record album film music world century government university population family language between during through "
    "under several including founded known built early later became called made used while where however although "
    "Amazon Victoria Norman Luther Tesla Warsaw Harvard Huguenot Kenya Genghis California Rhine Newcastle Oxygen"
).split()


@dataclass(frozen=True)
class Line:
    """One row of a table: what was measured, the figure, and its target."""

    what: str
    figure: float
    unit: str = ""
    target: str = ""
    met: bool | None = None
    note: str = ""


def at_least(what: str, figure: float, target: float, unit: str = "", note: str = "") -> Line:
    return Line(what, figure, unit, f">= {target:g} {unit}".strip(), figure >= target, note)


def at_most(what: str, figure: float, target: float, unit: str = "", note: str = "") -> Line:
    return Line(what, figure, unit, f"<= {target:g} {unit}".strip(), figure <= target, note)


def arguments(about: str, **flags: Any) -> argparse.Namespace:
    """`--quick`, `--json FILE` and the script's own flags, each with its default."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--quick", action="store_true", help="smaller and faster")
    parser.add_argument("--json", type=Path, help="append the figures to this file")
    for name, default in flags.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)
    return parser.parse_args()


def report(title: str, lines: list[Line], args: argparse.Namespace, **about: Any) -> None:
    """Print the table, and append it to the file of `--json`."""
    where = conditions() | {name: str(value) for name, value in about.items()}
    print(f"\n## {title}\n")
    print(f"{'; '.join(f'{name} {value}' for name, value in where.items())}\n")
    print(table(lines), flush=True)
    if args.json:
        entry = {"title": title, "conditions": where, "lines": [asdict(line) for line in lines]}
        with args.json.open("a") as file:
            file.write(json.dumps(entry) + "\n")


def table(lines: list[Line]) -> str:
    """The lines in Markdown."""
    rows = ["| what | measured | target | |", "|---|---|---|---|"]
    for line in lines:
        verdict = {True: "met", False: "**not met**", None: ""}[line.met]
        note = "; ".join(filter(None, [verdict, line.note]))
        figure = f"{line.figure:,.0f}" if line.figure >= 1000 else f"{line.figure:.4g}"
        rows.append(f"| {line.what} | {figure} {line.unit} | {line.target} | {note} |")
    return "\n".join(rows)


def conditions() -> dict[str, str]:
    names = ("onnxruntime", "onnxruntime-gpu", "tokenizers", "numpy", "pyarrow", "celery", "redis")
    here = {name: version(name) for name in names if find_distribution(name)}
    commit = _out("git", "rev-parse", "--short", "HEAD") + ("+" if _out("git", "status", "--porcelain") else "")
    return {
        "cpu": _cpu(),
        "cores": str(len(os.sched_getaffinity(0))),
        "load": f"{os.getloadavg()[0]:.1f}",
        "python": platform.python_version(),
        **here,
        "commit": commit,
    }


def find_distribution(name: str) -> bool:
    """Whether a package is installed."""
    try:
        return bool(version(name))
    except PackageNotFoundError:
        return False


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _out(*command: str) -> str:
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def text(words: int, chance: random.Random) -> str:
    """Sentences of common words, with the lengths and the share of known words of an encyclopedia."""
    chosen = chance.choices(_WORDS, k=words)
    for end in range(11, words, 13):
        chosen[end] += "."
    return " ".join(chosen).capitalize() + "."


def pairs(count: int, seed: int = 7) -> list[tuple[str, str]]:
    """Questions and contexts with lengths as in SQuAD: contexts have 120 words in the median, one in a hundred more
    than 300, and 700 at most; questions have ten words, and some share a context. Generated, so that everybody has
    them."""
    chance = random.Random(seed)
    rows: list[tuple[str, str]] = []
    while len(rows) < count:
        context = text(int(min(700, max(25, chance.lognormvariate(4.8, 0.42)))), chance)
        rows += [(text(chance.randint(7, 13), chance)[:-1] + "?", context) for _ in range(chance.randint(1, 6))]
    return rows[:count]


def squad_pairs(count: int, *, shuffled: bool = True) -> tuple[list[tuple[str, str]], str]:
    """Questions and contexts, and their source: real ones if they are beside the repository, else generated ones.
    Shuffled over the whole file, or in its order, in which the questions on one context are neighbours."""
    if not SQUAD.exists():
        return pairs(count), "generated"
    real = [(example.question, example.context) for example in load_squad(SQUAD)]
    if shuffled:
        random.Random(7).shuffle(real)
    return [real[i % len(real)] for i in range(count)], "SQuADShifts new-wiki"


def write_csv(path: Path, rows: list[tuple[str, str]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter="|")
        writer.writerow(["id", "question", "context"])
        writer.writerows([f"r{number}", *row] for number, row in enumerate(rows))
    return path


@dataclass(frozen=True)
class Run:
    """The resources that a process used, and its output."""

    seconds: float
    cpu: float
    rss: int  #: the peak of the process itself, in bytes
    code: int
    out: str


def run(*command: str, env: dict[str, str] | None = None, cpus: set[int] | None = None) -> Run:
    """Run a process to its end. It inherits stderr."""
    started = time.perf_counter()
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPO,
        env=os.environ | (env or {}),
        preexec_fn=(lambda: os.sched_setaffinity(0, cpus)) if cpus else None,
    )
    assert process.stdout
    out = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - started
    return Run(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024, process.returncode, out)


def python(*arguments: str, env: dict[str, str] | None = None, cpus: set[int] | None = None) -> Run:
    """The same for a Python program that must succeed."""
    done = run(sys.executable, *arguments, env=env, cpus=cpus)
    assert done.code == 0, f"{arguments} ended with {done.code}: {done.out}"
    return done


@contextmanager
def timed(into: list[float]) -> Iterator[None]:
    started = time.perf_counter()
    yield
    into.append(time.perf_counter() - started)


def median(values: list[float]) -> float:
    return float(statistics.median(values))
