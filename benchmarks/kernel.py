"""The graph alone: tokens a second of one window on one core, against int8 as made by onnxruntime's own tools.

Those fuse all that they can (attention, residual and LayerNorm, bias and Gelu) and then quantize. The graphs take turns
in one process. Time is processor time, so that other processes on the core matter little.
"""

from __future__ import annotations

import logging
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from benchmarks import common
from benchmarks.models import SHAPES
from worker.reader.model import describe
from worker.reader.session import _session_options

LENGTHS = (64, 192, 384)
#: The target with the model that ships: its speed on a window of 192 tokens, in times the fully fused graph.
FUSED = 1.3


def fused(plain: Path, path: Path, shape: str) -> Path:
    """The graph of onnxruntime's optimizer and quantizer, with their best settings."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.transformers.optimizer import optimize_model

    logging.disable(logging.WARNING)  # "please consider pre-processing", which is for convolutions
    hidden, _, heads = SHAPES[shape]
    whole = path.with_suffix(".fp32.onnx")
    made = optimize_model(str(plain), model_type="bert", num_heads=heads, hidden_size=hidden, opt_level=0)
    made.save_model_to_file(str(whole))
    extra = {"DefaultTensorType": onnx.TensorProto.FLOAT, "MatMulConstBOnly": True}
    quantize_dynamic(str(whole), str(path), weight_type=QuantType.QInt8, per_channel=True, extra_options=extra)
    return path


def load(path: Path) -> ort.InferenceSession:
    """A graph, or a model directory's, with the settings of a worker's session."""
    disabled: tuple[str, ...] = ()
    if path.is_dir():
        info = describe(path)
        path, disabled = path / info.graph, info.disabled_optimizers
    return ort.InferenceSession(
        str(path), _session_options(), ["CPUExecutionProvider"], disabled_optimizers=list(disabled)
    )


def feed(session: ort.InferenceSession, length: int) -> dict[str, Any]:
    made = {
        "input_ids": np.random.default_rng(length).integers(1000, 30_000, (1, length)),
        "attention_mask": np.ones((1, length), np.int64),
        "token_type_ids": (np.arange(length)[None] > 15).astype(np.int64),
    }
    return {value.name: made[value.name] for value in session.get_inputs()}


def seconds(sessions: list[ort.InferenceSession], length: int, rounds: int) -> list[float]:
    """The processor time of a run of each session."""
    feeds = [feed(session, length) for session in sessions]
    taken: list[list[float]] = [[] for _ in sessions]
    for _ in range(rounds):
        for session, inputs, times in zip(sessions, feeds, taken, strict=True):
            started = time.process_time()
            session.run(None, inputs)
            times.append(time.process_time() - started)
    return [common.median(times[1:]) for times in taken]


def measure(shape: str, lengths: tuple[int, ...], rounds: int) -> list[common.Line]:
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        made = "" if shape == "small" else "int8"
        common.python("-m", "benchmarks.models", shape, name, made, "plain")
        ours = folder / f"{shape}-int8" if made else common.SHIPPED
        plain = folder / f"{shape}.onnx"
        sessions = [load(path) for path in (plain, fused(plain, folder / "fused.onnx", shape), ours)]
    lines = []
    for length in lengths:
        exported, fused_, ours_ = (length / taken for taken in seconds(sessions, length, rounds))
        what = f"{shape}, {length} tokens"
        note = f"fp32 as exported {exported:,.0f}, int8 fully fused {fused_:,.0f}"
        lines.append(common.Line(what, ours_, "tokens/s", note=note))
        against = f"{what}, against fully fused"
        if (shape, length) == ("small", 192):
            lines.append(common.at_least(against, ours_ / fused_, FUSED, "times"))
        else:
            lines.append(common.Line(against, ours_ / fused_, "times"))
    return lines


def main() -> None:
    args = common.arguments(__doc__ or "", shapes="small")
    lengths, rounds = ((192,), 10) if args.quick else (LENGTHS, 20)
    lines = [line for shape in args.shapes.split(",") for line in measure(shape, lengths, rounds)]
    common.report("The graph alone", lines, args, threads=1)


if __name__ == "__main__":
    main()
