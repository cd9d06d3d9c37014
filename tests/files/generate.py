"""`python -m tests.files.generate --count 2000 --seed 1`: files by writer and option, and what came back of them.

Prints a table: files, rows, rows that are equal, rows that are errors by code ("owed" where the writer held no question
or no context), and faults: a cell that differs in a row that is no error, or a file refused that should not be.
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
#: Of those that may not be installed, the module.
_NEEDED = ("polars", "duckdb", "datasets", "openpyxl", "xlsxwriter")


@dataclass
class Line:
    """Of all files of a writer and an option."""

    files: int = 0
    rows: int = 0
    equal: int = 0
    refused: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    faults: int = 0

    def add(self, found: Outcome) -> None:
        self.join(Line(1, found.rows, found.equal, found.refused is not None, found.errors, len(found.faults)))

    def join(self, other: Line) -> None:
        for counted in fields(self):
            setattr(self, counted.name, getattr(self, counted.name) + getattr(other, counted.name))


def installed() -> list[str]:
    """The writers that can be had here."""
    return [
        name for name in WRITERS
        if name.split()[0] not in _NEEDED or importlib.util.find_spec(name.split()[0])
    ]  # fmt: skip


def one(writer: str, seed: int, number: int, folder: Path) -> tuple[Held, Outcome]:
    """Write and compare file `number` of a seed: the same whatever came before it."""
    dice = random.Random(f"{seed} {number} {writer}")
    held = WRITERS[writer](tables.made(dice), dice, folder / f"{number}")
    return held, compared(held)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", help="one writer")
    parser.add_argument("--number", type=int, help="one file, which is kept")
    given = parser.parse_args()
    writers = installed()
    if absent := [name for name in WRITERS if name not in writers]:
        print(f"not installed, passed over: {', '.join(absent)}", file=sys.stderr)
    if given.only:
        writers = [name for name in writers if name == given.only]
    lines: dict[tuple[str, str], Line] = {}
    numbers = range(given.count) if given.number is None else [given.number]
    folder = Path(tempfile.mkdtemp(prefix="files-"))
    for number in numbers:
        writer = writers[number % len(writers)] if given.number is None else given.only
        try:
            held, found = one(writer, given.seed, number, folder)
        except Exception:
            print(f"{writer}, file {number}:", file=sys.stderr)
            traceback.print_exc()
            lines.setdefault((writer, "(died)"), Line()).faults += 1
            continue
        lines.setdefault((writer, held.option), Line()).add(found)
        if found.faults:
            print(f"{writer}, {held.option}, file {number} ({held.path}): {found.faults[0]}", file=sys.stderr)
        elif given.number is None:
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
        said = ", ".join(f"{code} {count}" for code, count in line.errors.most_common())
        counts = f"{line.files:6} {line.rows:8} {line.equal:8} {line.refused:8} {line.faults:7}"
        print(f"{writer:16} {option:24} {counts}  {said}".rstrip())
        if line is not total:
            total.join(line)


if __name__ == "__main__":
    sys.exit(main())
