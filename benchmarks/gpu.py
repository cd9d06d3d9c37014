"""The batch strategy on a GPU: graphs in fp32 and fp16 against torch on the same card, and what a batch should hold.

A shape of BERT-base with random weights, which speed does not depend on. Ours is what a worker's child process does
with a chunk: tokenize, batch, run, decode, on two threads (`worker.scoring`). Torch is the forward pass alone of the
same windows in the same batches, tokenized and on the card already; transformers has no pipeline for extractive
question answering any more since 5.3. Needs onnxruntime-gpu and torch; where there is no GPU it says so.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks import common
from benchmarks.models import SHAPES
from contract.format.job import Options, Row
from worker import scoring
from worker.reader import batch
from worker.reader.reader import Reader

BUDGETS = (4096, 16_384, 65_536)


def ours(reader: Reader, rows: list[Row], budget: int, threads: int, rounds: int) -> float:
    """Rows a second, the best of some rounds: the first finds out which kernels to take."""
    reader._session._budget = budget
    best = 0.0
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(rounds):
            reader._encoder._context.cache_clear()
            started = time.perf_counter()
            for first in range(0, len(rows), 512):
                scoring.score(rows[first : first + 512], reader, Options(), pool, threads, scoring.Watch())
            best = max(best, len(rows) / (time.perf_counter() - started))
    return best


def torch_forward(reader: Reader, rows: list[Row], shape: str, budget: int, rounds: int) -> dict[str, float]:
    """Rows a second of the forward pass alone, by precision."""
    import torch
    from transformers import BertConfig, BertForQuestionAnswering

    hidden, layers, heads = SHAPES[shape]
    config = BertConfig(
        vocab_size=reader.info.vocab_size, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads,
        intermediate_size=4 * hidden,
    )  # fmt: skip
    encoded = [reader._encoder.encode(row.question or "", row.context or "", Options()) for row in rows]
    windows = [window.input_ids for one in encoded for window in one.windows]
    feeds = []
    for each in batch.plan([len(window) for window in windows], budget):
        ids = torch.from_numpy(batch.pad([windows[index] for index in each])).cuda()
        feeds.append((ids, (ids != 0).long()))
    found = {}
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

        found[name] = len(rows) / min(timed(forward) for _ in range(rounds))
        del model
    return found


def timed(call: Callable[[], None]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def card() -> str | None:
    try:
        import torch

        return torch.cuda.get_device_name() if torch.cuda.is_available() else None
    except ImportError:
        return None


def main() -> None:
    given = common.arguments(__doc__ or "", shape="base", rows=3000)
    name = card()
    if name is None:
        print("There is no GPU here that torch can use: nothing is measured.")
        return
    count, rounds = (500, 2) if given.quick else (given.rows, 4)
    pairs, source = common.squad_pairs(count)
    rows = [Row(number, *pair) for number, pair in enumerate(pairs)]
    lines = []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        common.python("-m", "benchmarks.models", given.shape, folder, "fp32,fp16")
        best: dict[str, float] = {}
        for precision in ("fp32", "fp16"):
            reader = Reader.open(Path(folder) / f"{given.shape}-{precision}", "cuda")
            for budget in BUDGETS:
                got = ours(reader, rows, budget, 2, rounds)
                best[precision] = max(best.get(precision, 0.0), got)
                lines.append(common.Line(f"ours, {precision}, {budget:,} tokens a batch", got, "rows/s"))
            for threads in (1, 3, 4):
                got = ours(reader, rows, batch.TOKEN_BUDGET, threads, rounds)
                lines.append(common.Line(f"ours, {precision}, {threads} threads instead of two", got, "rows/s"))
        theirs = torch_forward(reader, rows, given.shape, batch.TOKEN_BUDGET, rounds)
    lines += [common.Line(f"torch, {name_}, forward pass alone", got, "rows/s") for name_, got in theirs.items()]
    for precision, got in best.items():
        lines.append(common.Line(f"ours against torch, {precision}", got / theirs[precision], "times"))
    import torch

    about = {"card": name, "shape": f"BERT-{given.shape}", "rows": f"{count:,}, {source}", "torch": torch.__version__}
    common.report("On a GPU", lines, given, **about)


if __name__ == "__main__":
    main()
