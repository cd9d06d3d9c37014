"""Builds every family at every precision, compares each graph with torch, and writes the table of docs/models.md.

`worker build` itself compares the graph with torch before it is fused and quantized; int8 and fp16 are compared here.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import transformers

from contract.errors import ModelError
from contract.format.job import Options
from tests import REPO
from tests.families.checkpoints import CLASSES, make
from tests.untrained import CONTEXT
from worker.build import build
from worker.reader.open import open_reader

PAGE = REPO / "docs" / "models.md"
BEGIN, END = "<!-- families: `make families` writes this table -->\n", "<!-- end of families -->\n"
#: See `_difference`.
TOLERANCE = {"fp16": 0.05, "int8": 0.15}
YES, SLOWER, NO = "yes", "as exported", "no"


def apart(family: str) -> tuple[str, ...]:
    """The same in a process of its own: some graphs crash onnxruntime."""
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    process = context.Process(target=lambda: results.put(outcomes(family)))
    process.start()
    process.join()
    return results.get() if process.exitcode == 0 else (NO, NO, NO)


def outcomes(family: str) -> tuple[str, ...]:
    """Whether a family is built at int8, fp16 and fp32."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "checkpoint"
        try:
            make(family, source)
        except Exception as error:  # another library is missing, or it cannot be small
            print(f"{family}: no checkpoint: {str(error).splitlines()[0]}", file=sys.stderr)
            return (NO, NO, NO)
        built = {precision: _outcome(source, Path(folder), precision) for precision in ("fp32", "fp16", "int8")}
        return tuple(reversed(built.values()))


def _outcome(source: Path, folder: Path, precision: str) -> str:
    messages: list[str] = []
    try:
        build(str(source), folder / precision, precision, force_unknown=True, progress=messages.append)
    except ModelError as error:
        print(f"  {precision}: {error.message}", file=sys.stderr)
        return NO
    difference = _difference(folder / precision, folder / "fp32")
    if not difference <= TOLERANCE.get(precision, 0):
        return f"off by {difference:.2g}"
    return SLOWER if any("as exported" in message for message in messages) else YES


def _difference(directory: Path, plain: Path) -> float:
    """The largest difference of a logit, as a share of the largest logit if that exceeds 1."""
    readers = [open_reader(path) for path in (directory, plain)]
    options = Options(max_seq_len=64, doc_stride=16, max_question_len=16)
    differences = [0.0]
    for window in readers[1]._encoder.encode("Where does Zürich lie?", CONTEXT, options).windows:
        actual, expected = (np.stack(reader._session.run(window)) for reader in readers)
        differences.append(float(np.abs(actual - expected).max() / max(1, np.abs(expected).max())))
    return float(np.max(differences))


def table(found: dict[str, tuple[str, ...]]) -> str:
    """Families with the same outcomes share a row."""
    rows: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for family, outcome in found.items():
        rows[outcome].append(f"`{family}`")
    order = sorted(
        rows,
        key=lambda outcome: [(YES, SLOWER, NO).index(each) if each in (YES, SLOWER, NO) else 1.5 for each in outcome],
    )
    lines = ["| family (`model_type`) | int8 | fp16 | fp32 |", "|---|---|---|---|"]
    return "\n".join([*lines, *(f"| {', '.join(rows[each])} | {' | '.join(each)} |" for each in order)]) + "\n"


def main() -> None:
    """Build them, and write the table; with `--only`, print what becomes of some."""
    parser = argparse.ArgumentParser(prog="python -m tests.families", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=CLASSES, default=[], metavar="FAMILY")
    only = parser.parse_args().only
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    found = {}
    for family in only or CLASSES:
        found[family] = apart(family)
        print(f"{family}: {dict(zip(('int8', 'fp16', 'fp32'), found[family], strict=True))}", flush=True)
    if not only:
        before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
        PAGE.write_text(before + BEGIN + table(found) + END + rest.partition(END)[2], "utf-8")


if __name__ == "__main__":
    main()
