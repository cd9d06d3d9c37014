"""`python -m tests.files.generate --count 2000 --seed 1`: files by writer and option, and how their rows came back.

Prints a table: files, rows, equal rows, errors by code ("owed" if the writer's row has no question or no context), and
faults: a cell that differs in a row without an error, or a file that should not have been refused.
"""

from __future__ import annotations

import argparse
import importlib.util
import random
import shutil
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path

from tests.files import engines, folders, sheets, tables, texts, typed
from tests.files.compare import Held, Outcome, compared

Writer = Callable[[tables.Table, random.Random, Path], Held]
WRITERS: dict[str, Writer] = {**texts.WRITERS, **typed.WRITERS, **engines.WRITERS, **sheets.WRITERS, **folders.WRITERS}
#: Modules that may not be installed.
_NEEDED = ("polars", "duckdb", "datasets", "openpyxl", "xlsxwriter")


@dataclass
class Line:
    """The counts of all files of a writer and an option."""

    files: int = 0
    rows: int = 0
    equal: int = 0
    refused: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    faults: int = 0

    def add(self, outcome: Outcome) -> None:
        refused = outcome.refused is not None
        self.join(Line(1, outcome.rows, outcome.equal, refused, outcome.errors, len(outcome.faults)))

    def join(self, other: Line) -> None:
        for counted in fields(self):
            setattr(self, counted.name, getattr(self, counted.name) + getattr(other, counted.name))


def installed() -> list[str]:
    """The writers that are installed."""
    return [
        name for name in WRITERS
        if name.split()[0] not in _NEEDED or importlib.util.find_spec(name.split()[0])
    ]  # fmt: skip


def compared_file(writer: str, seed: int, number: int, folder: Path) -> tuple[Held, Outcome]:
    """Write and compare file `number` of a seed. It does not depend on those before it."""
    dice = random.Random(f"{seed} {number} {writer}")
    held = WRITERS[writer](tables.made(dice), dice, folder / f"{number}")
    return held, compared(held)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", help="one writer")
    parser.add_argument("--number", type=int, help="one file, which is kept")
    arguments = parser.parse_args()
    writers = installed()
    if absent := [name for name in WRITERS if name not in writers]:
        print(f"not installed, skipped: {', '.join(absent)}", file=sys.stderr)
    if arguments.only:
        writers = [name for name in writers if name == arguments.only]
    lines: dict[tuple[str, str], Line] = {}
    numbers = range(arguments.count) if arguments.number is None else [arguments.number]
    folder = Path(tempfile.mkdtemp(prefix="files-"))
    for number in numbers:
        writer = writers[number % len(writers)] if arguments.number is None else arguments.only
        try:
            held, outcome = compared_file(writer, arguments.seed, number, folder)
        except Exception:
            print(f"{writer}, file {number}:", file=sys.stderr)
            traceback.print_exc()
            lines.setdefault((writer, "(died)"), Line()).faults += 1
            continue
        lines.setdefault((writer, held.option), Line()).add(outcome)
        if outcome.faults:
            print(f"{writer}, {held.option}, file {number} ({held.path}): {outcome.faults[0]}", file=sys.stderr)
        elif arguments.number is None:
            _removed(held.path)
    _print(lines)
    return any(line.faults for line in lines.values())


def _removed(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def _print(lines: dict[tuple[str, str], Line]) -> None:
    print(f"{'writer':16} {'option':24} {'files':>6} {'rows':>8} {'equal':>8} {'refused':>8} {'faults':>7}  errors")
    total = Line()
    for (writer, option), line in [*sorted(lines.items()), (("all", ""), total)]:
        errors = ", ".join(f"{code} {count}" for code, count in line.errors.most_common())
        counts = f"{line.files:6} {line.rows:8} {line.equal:8} {line.refused:8} {line.faults:7}"
        print(f"{writer:16} {option:24} {counts}  {errors}".rstrip())
        if line is not total:
            total.join(line)


if __name__ == "__main__":
    sys.exit(main())
