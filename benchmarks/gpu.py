"""Batches on a GPU: graphs in fp32 and fp16 against torch on the same card, and the best size of a batch.

A BERT-base shape with random weights, on which speed does not depend. The whole path is what a worker's processes do
with a chunk: tokenize, batch, run, decode (`worker.scoring`). Torch runs only the forward pass, of the same windows in
the same batches, tokenized and on the card already; transformers has no pipeline for extractive question answering
since 5.3. Needs a GPU, onnxruntime-gpu and torch, and says which of them is missing.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import onnxruntime as ort

from benchmarks import common
from benchmarks.models import SHAPES
from contract.format.job import Options, Row
from worker import scoring
from worker.reader import batch
from worker.reader.open import open_reader
from worker.reader.reader import Reader
from worker.reader.session import CUDA

BUDGETS = (4096, 16_384, 65_536)
#: Processes of a worker, and threads of each.
PLACES = ((1, 1), (1, 2), (2, 2), (4, 2), (8, 2), (8, 1))


def windows_of(reader: Reader, rows: list[Row]) -> list[Any]:
    encoded = [reader._encoder.encode(row.question or "", row.context or "", Options()) for row in rows]
    return [window for row in encoded for window in row.windows]


def our_forward(reader: Reader, rows: list[Row], budget: int, rounds: int) -> float:
    """Rows a second of the batches only: padded, sent to the card, run, and the logits fetched."""
    reader._session._budget = budget
    windows = windows_of(reader, rows)
    return len(rows) / min(timed(lambda: reader._session.run_many(windows)) for _ in range(rounds))


def whole(folder: Path, count: int, processes: int, threads: int, rounds: int) -> float:
    """Rows a second of several processes that score the same rows at the same time, the median of some rounds."""
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(processes), context.Queue()
    each = [
        context.Process(target=_score, args=(folder, count, threads, rounds, start, results)) for _ in range(processes)
    ]
    for process in each:
        process.start()
    seconds = [results.get() for _ in each]
    for process in each:
        process.join()
    return processes * count / common.median([max(times) for times in zip(*seconds, strict=True)])


def _score(folder: Path, count: int, threads: int, rounds: int, start: Any, results: Any) -> None:
    rows = rows_of(count)
    reader = open_reader(folder, "cuda")
    seconds: list[float] = []
    with ThreadPoolExecutor(threads) as pool:
        for round_ in range(rounds + 1):
            reader._encoder._context.cache_clear()
            start.wait()
            with common.timed(seconds):
                for first in range(0, count, 512):
                    scoring.score(rows[first : first + 512], reader, Options(), pool, threads, scoring.Watch())
            if not round_:
                seconds.clear()  # in the first round kernels are chosen
    results.put(seconds)


def rows_of(count: int) -> list[Row]:
    return [Row(number, *pair) for number, pair in enumerate(common.squad_pairs(count)[0])]


def torch_forward(reader: Reader, rows: list[Row], shape: str, budget: int, rounds: int) -> dict[str, float]:
    """Rows a second of the forward pass only, by precision."""
    import torch
    from transformers import BertConfig, BertForQuestionAnswering

    hidden, layers, heads = SHAPES[shape]
    config = BertConfig(
        vocab_size=reader.info.vocab_size, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads,
        intermediate_size=4 * hidden,
    )  # fmt: skip
    windows = [window.input_ids for window in windows_of(reader, rows)]
    feeds = []
    for each in batch.plan([len(window) for window in windows], budget):
        ids = torch.from_numpy(batch.pad([windows[index] for index in each])).cuda()
        feeds.append((ids, (ids != 0).long()))
    rates = {}
    for name, kind, tf32 in (
        ("fp32", torch.float32, False), ("tf32", torch.float32, True),
        ("bf16", torch.bfloat16, True), ("fp16", torch.float16, True),
    ):  # fmt: skip
        torch.backends.cuda.matmul.allow_tf32 = tf32
        model = BertForQuestionAnswering(config).eval().to("cuda", kind)

        def forward(model: Any = model) -> None:
            with torch.inference_mode():
                for ids, mask in feeds:
                    model(input_ids=ids, attention_mask=mask)
            torch.cuda.synchronize()

        rates[name] = len(rows) / min(timed(forward) for _ in range(rounds))
        del model
    return rates


def timed(call: Callable[[], None]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def missing() -> str | None:
    """What this machine lacks of what is measured."""
    if CUDA not in ort.get_available_providers():
        return "onnxruntime has no CUDA: install onnxruntime-gpu in its place"
    try:
        import torch
    except ImportError:
        return "torch is not installed"
    return None if torch.cuda.is_available() else "torch finds no GPU"


def main() -> None:
    args = common.arguments(__doc__ or "", shape="base", rows=3000)
    if lack := missing():
        print(f"Nothing is measured here: {lack}.")
        return
    count, rounds = (500, 2) if args.quick else (args.rows, 4)
    rows, lines = rows_of(count), []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        common.python("-m", "benchmarks.models", args.shape, folder, "fp32,fp16")
        best: dict[str, float] = {}
        for precision in ("fp32", "fp16"):
            made = Path(folder) / f"{args.shape}-{precision}"
            reader = open_reader(made, "cuda")
            for budget in BUDGETS:
                got = our_forward(reader, rows, budget, rounds)
                best[precision] = max(best.get(precision, 0.0), got)
                lines.append(common.Line(f"bulkqa, {precision}, batches of {budget:,} tokens alone", got, "rows/s"))
            for processes, threads in PLACES:
                got = whole(made, count, processes, threads, rounds)
                what = f"bulkqa, {precision}, whole path, processes x threads: {processes} x {threads}"
                lines.append(common.Line(what, got, "rows/s"))
        theirs = torch_forward(reader, rows, args.shape, batch.TOKEN_BUDGET, rounds)
    lines += [common.Line(f"torch, {kind}, forward pass alone", got, "rows/s") for kind, got in theirs.items()]
    for precision, got in best.items():
        lines.append(common.Line(f"batches alone against torch, {precision}", got / theirs[precision], "times"))
    import torch

    source = common.squad_pairs(1)[1]
    about = {
        "card": torch.cuda.get_device_name(),
        "shape": f"BERT-{args.shape}",
        "rows": f"{count:,}, {source}",
        "torch": torch.__version__,
    }
    common.report("On a GPU", lines, args, **about)


if __name__ == "__main__":
    main()
