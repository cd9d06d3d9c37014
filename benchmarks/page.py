"""Makes the page `benchmarks/README.md` from the figures that the scripts appended to a file:

python -m benchmarks.page FIGURES.jsonl

Sections without new figures stay as they are, with their commits.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from benchmarks.common import Line, table

_PAGE = Path(__file__).with_name("README.md")
_SECTION = re.compile(r"(?ms)^(?=## (.*?)$)(.*?\n)(?=\n## |\Z)")
#: The first sections of the page.
_FIRST = ("Against transformers 4.57", "Against the usual script")
_HEAD = """# Benchmarks

One script per claim; each prints a table with its conditions. Timing is noisy: `load` is the load average when the
table was made, and on shared cores figures of speed are lower bounds. The cores of a virtual machine may temporarily be
two threads of one core: then two threads are 1.6 times as fast as one and not twice ("Whole path" shows it).

| | |
|---|---|
| `make bench-quick` | a small version of everything, about a minute |
| `make bench` | everything but what follows, under ten minutes on two idle cores |
| `make bench-large` | BERT-large in 4 GiB, 2,000 rows: about fifteen minutes |
| `make bench-page` | `bench`, and writes this page and its plot (extra `bench`: matplotlib) |
| `python -m benchmarks.tuning` | the figures of [tuning](../docs/tuning.md), about three minutes |
| `python -m benchmarks.documents` | questions x documents, about five minutes |
| `python -m benchmarks.passages` | groups, and the best windows of documents, on XQuAD: about fifteen minutes |
| `python -m benchmarks.trust` | promises of precision: how often they are broken, about ten minutes |
| `python -m benchmarks.gpu` | on a machine with a GPU, onnxruntime-gpu and torch |

Two are simulations, and their tables say how: many cores on two cores, and a fleet on one machine.

Rows are generated (`common.pairs`, lengths as in SQuAD) if there is no SQuAD-format file beside the repository; the
tables say which. All models but the one that ships have random weights; speed and memory do not depend on them.

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
