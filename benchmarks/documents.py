"""Questions x documents: 1,000 documents of 50 KB, half of them web pages, and 41 questions.

What the chunks take beside the documents, the seconds of submitting beside those of reading the documents, and the
memory of a worker with 20 documents and with 200 (a tiny model, one window of each: the memory is that of the rows).
"""

from __future__ import annotations

import html
import random
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import common
from contract.format import layout
from contract.ledger import counting
from contract.settings import Settings
from contract.storage.local import LocalStorage
from producer.input.documents.extractor import Extractor
from producer.input.location import Documents
from producer.jobs.submit import submit
from producer.request import Request

_BYTES, _QUESTIONS = 50_000, 41


def write(folder: Path, count: int) -> Path:
    """So many documents of about 50 KB."""
    folder.mkdir()
    for number in range(count):
        chance = random.Random(number)
        paragraphs: list[str] = []
        while sum(map(len, paragraphs)) < _BYTES:
            paragraphs.append(common.text(120, chance))
        if number % 2:
            (folder / f"{number:04}.html").write_text("".join(f"<p>{html.escape(each)}</p>\n" for each in paragraphs))
        else:
            (folder / f"{number:04}.txt").write_text("\n\n".join(paragraphs))
    return folder


def seconds_of_reading(folder: Path) -> float:
    """Of all documents of a folder, one after the other."""
    started = time.perf_counter()
    with Extractor(Settings().read_memory) as extractor:
        for path in sorted(folder.iterdir()):
            extractor.text(path.name, path.read_bytes())
    return time.perf_counter() - started


def peak(documents: Path, questions: Path, folder: Path) -> float:
    """Peak MiB of a worker that scores them, from the footers of its parts."""
    storage = folder / f"storage-{documents.name}"
    asked = ("--documents", str(documents), "--questions", str(questions), "--top-windows", "1")
    command = ("producer", "run", *asked, "-o", str(folder / "out.jsonl"), "--storage", str(storage))
    common.python("-m", *command, "--model", str(folder / "tiny-fp32"))
    stored = LocalStorage(storage)
    footers = counting.footers(stored, stored.list(layout.JOBS)[0], {}).values()
    return max(footer.peak_rss for footer in footers) / 2**20


def main() -> None:
    args = common.arguments(__doc__ or "", documents=1000)
    count, at_work = (100, 60) if args.quick else (args.documents, 200)
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        common.python("-m", "benchmarks.models", "tiny", name, "fp32")
        few, more, many = write(folder / "few", 20), write(folder / "more", at_work), write(folder / "many", count)
        questions = folder / "questions.txt"
        questions.write_text("".join(f"Which {number}?\n" for number in range(_QUESTIONS)))
        reading = seconds_of_reading(many)
        storage, started = LocalStorage(folder / "storage", create=True), time.perf_counter()
        manifest = submit(Documents(many, questions), storage, Settings(), Request(model="m")).manifest
        submitting = time.perf_counter() - started
        size = sum(path.stat().st_size for path in many.iterdir())
        sizes = dict(storage.sizes(layout.chunks(manifest.id)))
        chunks = sum(taken for key, taken in sizes.items() if key.endswith(".parquet"))
        of_few, of_more = peak(few, questions, folder), peak(more, questions, folder)
    lines = [
        common.Line("documents", size / 1e6, "MB"),
        common.at_most("chunks, of the documents' size", chunks / size, 1.5, "times"),
        common.Line("with the texts and their index", sum(sizes.values()) / size, "times"),
        common.Line("reading the documents", reading, "s"),
        common.at_most("submitting, beside reading them", submitting - reading, 60, "s", f"{manifest.rows:,} rows"),
        common.Line("worker, 20 documents", of_few, "MiB"),
        common.Line(f"worker, {at_work} documents", of_more, "MiB"),
        common.at_most("growth", 100 * (of_more / of_few - 1), 10, "%"),
    ]
    common.report("Documents", lines, args, documents=f"{count:,} of 50 KB, {_QUESTIONS} questions")


if __name__ == "__main__":
    sys.exit(main())
