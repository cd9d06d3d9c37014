"""From a checkpoint to the graph of a model directory: exported, compared with torch, fused, and quantized."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from contract.errors import ModelError
from worker.build.checkpoint import INT8_INPUTS, KNOWN, Checkpoint, quiet
from worker.reader.model import DESCRIPTION, TOKENIZER, KnownAnswer, ModelInfo, digest

if TYPE_CHECKING:
    import onnx

Say = Callable[[str], None]

OTHER_FAMILY = "Use a checkpoint of another family: the guide to models lists those that can be built."
OTHER_PRECISION = "Build it as it was exported: --precision fp32"

GRAPH = "model.onnx"
OUTPUTS = ["start_logits", "end_logits"]
LENGTHS = (16, 33, 128, 384)  #: lengths of windows for comparing graph and torch; the longest possible is compared too
EXAMPLE = 16  #: tokens of the window that is traced, at least
TOLERANCE = 2e-4  #: the largest difference of a logit, times the largest logit if that exceeds 1
EXTERNAL_ABOVE = 2**31 - 2**20  #: protobuf's limit, less what the graph itself may take


@contextmanager
def step(architecture: str, verb: str, remedy: str) -> Iterator[None]:
    """Whatever the libraries of a step raise is a ModelError with this remedy: `BertModel cannot be VERB: ...`."""
    try:
        yield
    except ModelError:
        raise
    except Exception as error:  # torch, onnx and onnxruntime raise all kinds
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise ModelError(f"{architecture} cannot be {verb}: {reason}", remedy) from error


def export_graph(checkpoint: Checkpoint, info: ModelInfo, directory: Path) -> ModelInfo:
    """Write the fp32 model directory, and compare it with torch. Raises ModelError."""
    import onnx
    import torch

    directory.mkdir()
    # Without a mask transformers applies a local attention only to windows that are longer than it, and tracing keeps
    # what it sees: a short example would give a graph in which every token sees all others.
    local = getattr(checkpoint.model.config, "sliding_window", None) or 0
    length = min(max(EXAMPLE, 2 * local), info.max_positions)
    example = {name: torch.ones(2, length, dtype=torch.int64) for name in checkpoint.inputs}
    with tempfile.TemporaryDirectory(dir=directory.parent) as raw:  # above 2 GB torch scatters weights around the file
        path = Path(raw) / GRAPH
        with step(info.architecture, "exported to ONNX", OTHER_FAMILY), quiet(), torch.no_grad():
            torch.onnx.export(
                checkpoint.model,
                (),
                str(path),
                kwargs=example,
                input_names=list(example),
                output_names=OUTPUTS,
                opset_version=20,  # the first in which Gelu is one node
                dynamo=False,  # its graphs of attention are slower, and some do not load
                dynamic_axes={name: {0: "batch", 1: "sequence"} for name in [*example, *OUTPUTS]},
            )
        model = onnx.load(path)
    declared = {value.name for value in model.graph.input}
    info = replace(info, inputs=tuple(name for name in checkpoint.inputs if name in declared))
    info = _save(checkpoint, info, model, directory)
    _compare(checkpoint, info, directory / GRAPH)
    return info


def fuse(checkpoint: Checkpoint, info: ModelInfo, directory: Path, progress: Say) -> ModelInfo:
    """Fuse each attention into one node, if it is found and the result agrees with torch; else keep the graph and say
    so."""
    import onnx

    from worker.build.rewrite import fuse_attention

    model = onnx.load(directory / GRAPH)
    try:
        with step(info.architecture, "given faster attention", OTHER_PRECISION):
            count = fuse_attention(model, getattr(checkpoint.model.config, "num_attention_heads", 0))
        if not count:
            progress(f"attention of {info.architecture} has another form: left as exported, which is slower")
            return info
        fused = _save(checkpoint, info, model, directory.with_name("fused"))
        _compare(checkpoint, fused, directory.with_name("fused") / GRAPH)
    except ModelError as error:
        progress(f"attention is left as exported, which is slower: {error}")
        return info
    shutil.rmtree(directory)
    directory.with_name("fused").rename(directory)
    return fused


def _save(checkpoint: Checkpoint, info: ModelInfo, model: onnx.ModelProto, directory: Path) -> ModelInfo:
    """Write graph, tokenizer and description. The description comes last: it has the digest of the others."""
    import onnx

    directory.mkdir(exist_ok=True)
    large = sum(len(constant.raw_data) for constant in model.graph.initializer) > EXTERNAL_ABOVE
    onnx.save(model, directory / GRAPH, save_as_external_data=large, location=f"{GRAPH}.data")
    checkpoint.tokenizer.save(str(directory / TOKENIZER))
    info = replace(info, digest=digest(directory, GRAPH))
    write(info, directory)
    return info


def write(info: ModelInfo, directory: Path) -> None:
    """Write the description of a model directory."""
    (directory / DESCRIPTION).write_text(json.dumps(info.to_json(), indent=1, ensure_ascii=False) + "\n", "utf-8")


def _compare(checkpoint: Checkpoint, info: ModelInfo, path: Path) -> None:
    """Raises ModelError if graph and torch disagree on random windows: (1, S), and (2, S) with padding."""
    import torch

    from worker.build.quantize import load as load_graph

    with step(info.architecture, "loaded as a graph", OTHER_FAMILY):
        session = load_graph(path)
    random = np.random.default_rng(0)
    lengths = sorted({min(length, info.max_positions) for length in (*LENGTHS, info.max_positions)})
    for rows, length in [*((1, length) for length in lengths), (2, lengths[1 % len(lengths)])]:
        feed = {name: np.ones((rows, length), np.int64) for name in info.inputs}
        feed["input_ids"] = random.integers(info.vocab_size // 2, info.vocab_size, (rows, length))
        seen = length // rows if "attention_mask" in feed else length
        if seen < length:
            feed["attention_mask"][-1, seen:] = 0
        if "token_type_ids" in feed:
            feed["token_type_ids"][:, : length // 3] = 0
        with step(info.architecture, f"run on {rows} x {length} tokens", OTHER_FAMILY):
            with torch.no_grad():
                logits = checkpoint.model(**{name: torch.from_numpy(values) for name, values in feed.items()})
            expected = np.stack([logits.start_logits.numpy(), logits.end_logits.numpy()])[:, :, :seen]
            actual = np.stack(session.run(OUTPUTS, feed))[:, :, :seen]
        difference = float(np.abs(actual - expected).max())
        if not difference <= TOLERANCE * max(1.0, float(np.abs(expected).max())):  # not <=: NaN differs
            message = (
                f"the graph of {info.architecture} is off by {difference:.2g} from torch on {rows} x {length} tokens"
            )
            raise ModelError(message, OTHER_FAMILY)


def to_int8(checkpoint: Checkpoint, info: ModelInfo, plain: Path, final: Path) -> ModelInfo:
    """Build the int8 model directory `final` from the fp32 one, `plain`."""
    import onnx

    from worker.build.quantize import DISABLED_OPTIMIZERS, quantize

    with step(info.architecture, "quantized to int8", OTHER_PRECISION):
        model = quantize(onnx.load(plain / GRAPH), (_feed(checkpoint, info, known) for known in KNOWN))
    info = replace(info, precision="int8", disabled_optimizers=DISABLED_OPTIMIZERS)
    return _save(checkpoint, info, model, final)


def to_fp16(checkpoint: Checkpoint, info: ModelInfo, plain: Path, final: Path) -> ModelInfo:
    """Build the fp16 model directory `final` from the fp32 one, `plain`. Logits stay float32."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    with step(info.architecture, "converted to fp16", OTHER_PRECISION):
        model = convert_float_to_float16(onnx.load(plain / GRAPH), keep_io_types=True)
    return _save(checkpoint, replace(info, precision="fp16"), model, final)


def _feed(checkpoint: Checkpoint, info: ModelInfo, known: KnownAnswer) -> dict[str, Any]:
    pair = checkpoint.tokenizer.encode(known.question, known.context)
    columns = dict(zip(INT8_INPUTS, (pair.ids, pair.type_ids), strict=True))
    return {name: np.array([columns[name][: info.max_positions]], np.int64) for name in info.inputs}
