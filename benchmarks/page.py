"""The page `benchmarks/README.md` from the figures that the scripts appended to a file:

python -m benchmarks.page FIGURES.jsonl

A section of the page that these figures do not measure again stays, with the commit that it names.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from benchmarks.common import Line, table

_PAGE = Path(__file__).with_name("README.md")
_SECTION = re.compile(r"(?ms)^(?=## (.*?)$)(.*?\n)(?=\n## |\Z)")
#: What the page begins with.
_FIRST = ("Against transformers 4.57", "Against the usual script")
_HEAD = """# Benchmarks

One script a claim; each prints a table with its conditions. Timing is noisy: `load` is the load average when the table
was made, and on cores that others use, figures of time are lower bounds. The cores of a virtual machine may be two
threads of one core for a while: then two threads do 1.6 times as much as one and not twice ("Whole path" tells).

| | |
|---|---|
| `make bench-quick` | all in small, about a minute |
| `make bench` | all but the next, under ten minutes on two idle cores |
| `make bench-large` | BERT-large in 4 GiB, 2,000 rows: about fifteen minutes |
| `make bench-page` | `bench`, and this page and its plot made anew (extra `bench`: matplotlib) |
| `python -m benchmarks.tuning` | the figures of [tuning](../docs/tuning.md), about three minutes |
| `python -m benchmarks.gpu` | on a machine with a GPU, onnxruntime-gpu and torch |

Two are simulations, and say how they were done: many cores on two of them, and a fleet on one machine.

Rows are generated (`common.pairs`, lengths as in SQuAD) where no SQuAD-format file lies beside the repository; the
tables say which. All but the shipped reader have random weights, which neither speed nor memory depend on.

"""


def main() -> None:
    sections = dict(_SECTION.findall(_PAGE.read_text())) if _PAGE.exists() else {}
    for line in Path(sys.argv[1]).read_text().splitlines():
        entry = json.loads(line)
        sections[entry["title"]] = _section(entry)
    page = _HEAD + ("![rows/s and memory against rows](curve.svg)\n\n" if _PAGE.with_name("curve.svg").exists() else "")
    first = [title for title in _FIRST if title in sections]
    page += "\n".join(sections[title] for title in [*first, *(title for title in sections if title not in first)])
    _PAGE.write_text(page)


def _section(entry: dict) -> str:
    where = "; ".join(f"{name} {value}" for name, value in entry["conditions"].items())
    lines = table([Line(**line) for line in entry["lines"]])
    return f"## {entry['title']}\n\n{where}\n\n{lines}\n"


if __name__ == "__main__":
    main()
