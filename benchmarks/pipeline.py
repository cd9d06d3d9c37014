"""`bulkqa.pipeline` by itself, and against transformers' question-answering pipeline.

`--part start`: seconds that the import and the first answer take in a new process. `--part calls`: memory over many
calls, each a row of its own. `--part peers`: which answers differ, and which is right: the same checkpoint at fp32, the
same rows, the defaults of both; then the reader that ships. `--part differences`: the same on rows and with options on
which the two decide differently. The environment of transformers is that of `benchmarks.peers`. Each in a process of
its own.
"""

from __future__ import annotations

import json
import multiprocessing
import random
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks import common
from benchmarks.common import CHECKPOINT, SHIPPED, SQUAD
from benchmarks.peers import EVALUATION, environment, run
from contract import squad
from worker.evaluate import load_squad

Row = dict[str, Any]

#: Rows besides the evaluation.
MORE = 371
#: Paragraphs of a long context.
PARAGRAPHS = 5
#: Memory is read so many times over the calls.
SAMPLES = 40

FIRST = """
import time
from bulkqa import pipeline
imported = time.time()
qa = pipeline("question-answering")
opened = time.time()
qa(question="Who built the tower?", context="The tower was built by Gustave Eiffel in Paris.")
print(imported, opened, time.time())
"""


def start(rounds: int) -> list[common.Line]:
    """Seconds from the start of the interpreter, in the median; processor time is less noisy on a busy machine."""
    took = []
    for _ in range(rounds + 1):
        began = time.time()
        done = common.python("-c", FIRST)
        took.append([*(float(moment) - began for moment in done.out.split()), done.cpu, done.rss / 2**20])
    imported, opened, answered, cpu, rss = (common.median(list(each)) for each in zip(*took[1:], strict=True))
    return [
        common.at_most("from bulkqa import pipeline", imported, 0.3, "s", note="with the interpreter's own start"),
        common.Line("and the model opened and checked", opened, "s"),
        common.at_most("and one question answered", answered, 0.5, "s", note=f"{rss:.0f} MiB peak"),
        common.Line("processor time of all that", cpu, "s"),
    ]


def mebibytes_over(calls: int) -> list[float]:
    """Resident MiB of this process at SAMPLES moments over so many calls, all of them different."""
    from bulkqa import pipeline

    qa, process, found = pipeline("question-answering"), psutil.Process(), []
    for number in range(calls):
        qa(question=f"Who wrote letter {number}?", context=f"Letter {number} was written by Ann Berg of Lund.")
        if number % max(1, calls // SAMPLES) == 0:
            found.append(process.memory_info().rss / 2**20)
    return [*found, process.memory_info().rss / 2**20]


def memory(calls: int) -> list[common.Line]:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        began = time.perf_counter()
        found = pool.submit(mebibytes_over, calls).result()
        seconds = time.perf_counter() - began
    settled = found[len(found) // 4 :]
    slope = np.polyfit(np.arange(len(settled)) * calls / SAMPLES / 1e6, settled, 1)[0]
    return [
        common.Line(f"{calls:,} calls of one short row", calls / seconds, "rows/s", note="one thread"),
        common.Line("memory after the first, and at the end", found[0], "MiB", note=f"{found[-1]:.1f} MiB at the end"),
        common.at_most("growth from the first quarter on", float(slope), 1, "MiB a million calls"),
    ]


@dataclass(frozen=True)
class Case:
    """Rows, and the options that both are asked with."""

    what: str
    rows: list[Row]
    options: dict[str, Any] = field(default_factory=dict)


def rows_of(count: int) -> list[Row]:
    """The evaluation, and rows of another set; `title` is the article of a context."""
    drawn = random.Random(7).sample([each for each in load_squad(SQUAD) if each.answers], MORE)
    examples = [each for each in (*load_squad(EVALUATION), *drawn) if each.answers]
    rows = [{"question": e.question, "context": e.context, "answers": list(e.answers)} for e in examples]
    return rows if count >= len(rows) else random.Random(7).sample(rows, count)


def joined(rows: Sequence[Row]) -> list[Row]:
    """Each context among four others, at any place."""
    contexts, chance = list(dict.fromkeys(row["context"] for row in rows)), random.Random(7)
    made = []
    for row in rows:
        texts = chance.sample([text for text in contexts if text != row["context"]], PARAGRAPHS - 1)
        texts.insert(chance.randrange(PARAGRAPHS), row["context"])
        made.append(row | {"context": "\n\n".join(texts)})
    return made


def unanswerable(rows: Sequence[Row]) -> list[Row]:
    """Each question with the context of a row that is far away: the right answer is none."""
    far = len(rows) // 2
    return [row | {"context": rows[n - far]["context"], "answers": [""]} for n, row in enumerate(rows)]


def exact(answers: Iterable[str], rows: Sequence[Row]) -> list[bool]:
    return [squad.exact_match(answer, row["answers"]) == 1 for answer, row in zip(answers, rows, strict=True)]


def compared(theirs: list[str], ours: list[str], rows: Sequence[Row]) -> str:
    """How many answers differ, and which of them match a reference."""
    pairs = zip(exact(theirs, rows), exact(ours, rows), theirs, ours, strict=True)
    differ = [(one, other) for one, other, text, own in pairs if text != own]
    only_ours, only_theirs = differ.count((False, True)), differ.count((True, False))
    return f"{len(differ)} differ: only ours right {only_ours}, only theirs {only_theirs}"


def quality(answers: list[str], rows: Sequence[Row]) -> str:
    f1 = sum(squad.f1(answer, row["answers"]) for answer, row in zip(answers, rows, strict=True))
    return f"EM {100 * sum(exact(answers, rows)) / len(rows):.1f}, F1 {100 * f1 / len(rows):.1f}"


def speed(python: Path, fp32: Path, case: Case, folder: Path, threads: int) -> list[common.Line]:
    """The defaults of both: rows/s, memory, the first answer, quality."""
    lines, theirs = [], None
    for what, how, model in (
        ("transformers' pipeline", "defaults", CHECKPOINT),
        ("bulkqa.pipeline, the same checkpoint, fp32", "pipeline", fp32),
        ("bulkqa.pipeline, the reader that ships, int8", "pipeline", SHIPPED),
        ("scored as a worker does, the reader that ships", "ours", SHIPPED),
    ):
        made = asked(Path(sys.executable) if theirs else python, how, model, case, folder, threads)
        theirs = theirs or made
        note = f"{quality(made['answers'], case.rows)}; {made['rss'] / 2**20:,.0f} MiB; {made['first']:.2f} s"
        if made is not theirs:
            note += f"; {compared(theirs['answers'], made['answers'], case.rows)}"
        lines.append(common.Line(what, len(case.rows) / made["seconds"], "rows/s", note=note))
    return lines


def differences(python: Path, fp32: Path, case: Case, folder: Path, threads: int) -> list[common.Line]:
    """One case with transformers' pipeline and with ours at fp32."""
    theirs = asked(python, "defaults", CHECKPOINT, case, folder, threads)
    ours = asked(Path(sys.executable), "pipeline", fp32, case, folder, threads)
    note = compared(theirs["answers"], ours["answers"], case.rows)
    lines = [common.Line(f"{case.what}: the two answers", len(case.rows), "rows", note=note)]
    for who, made in (("transformers", theirs), ("bulkqa", ours)):
        note = (
            f"{quality(made['answers'], case.rows)}; scores above 1 in all {made['above']}, overlaps {made['overlaps']}"
        )
        lines.append(common.Line(f"{case.what}: {who}", len(case.rows) / made["seconds"], "rows/s", note=note))
    return lines


def asked(python: Path, how: str, model: Path, case: Case, folder: Path, threads: int) -> dict[str, Any]:
    file = folder / "rows.json"
    file.write_text(json.dumps({"rows": case.rows, "options": case.options}))
    return run(python, how, model, file, threads)


def main() -> None:
    args = common.arguments(__doc__ or "", part="all", rows=838, threads=2, calls=1_000_000)
    if args.part in ("all", "start"):
        common.report("The first answer of a pipeline", start(3 if args.quick else 7), args, model="as it ships")
    if args.part in ("all", "calls"):
        common.report("Memory over many calls", memory(2000 if args.quick else args.calls), args, model="as it ships")
    if args.part not in ("all", "peers", "differences"):
        return
    if not (CHECKPOINT.exists() and EVALUATION.exists() and SQUAD.exists()):
        print("The checkpoint or its evaluation is not beside the repository: nothing is compared.")
        return
    rows, python = rows_of(40 if args.quick else args.rows), environment()
    none = {"handle_impossible_answer": True}
    cases = (
        Case("contexts of five paragraphs", joined(rows)),
        Case("the three best", rows, {"top_k": 3}),
        Case("no answer allowed, where there is one", rows, none),
        Case("no answer allowed, where there is none", unanswerable(rows), none),
    )
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        common.python("-m", "benchmarks.models", "small", name, "fp32")
        about = {"rows": len(rows), "threads": args.threads}
        if args.part != "differences":
            lines = speed(python, folder / "small-fp32", Case("defaults", rows), folder, args.threads)
            common.report("Against transformers' pipeline, call by call", lines, args, **about)
        if args.part != "peers":
            lines = [
                line
                for case in cases
                for line in differences(python, folder / "small-fp32", case, folder, args.threads)
            ]
            common.report("Where transformers' pipeline decides differently", lines, args, **about)


if __name__ == "__main__":
    main()
