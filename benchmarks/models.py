"""Models for the benchmarks: checkpoints of a shape with random weights, plain graphs, model directories.

    python -m benchmarks.models SHAPE FOLDER PRECISION[,PRECISION] [plain]

Run in a process of its own, because torch takes memory. Speed and memory do not depend on the weights.
"""

import shutil
import sys
import warnings
from pathlib import Path
from typing import Any

from benchmarks.common import CHECKPOINT, SHIPPED

#: hidden size, layers, heads.
SHAPES = {
    "tiny": (32, 1, 2),
    "small": (384, 6, 12),
    "base": (768, 12, 12),
    "large": (1024, 24, 16),
}


def checkpoint(shape: str, folder: Path) -> Path:
    """A reader with random weights and the shipped vocabulary; in the shipped shape the real one, if it exists."""
    if shape == "small" and CHECKPOINT.exists():
        return CHECKPOINT
    import torch
    from transformers import BertConfig, BertForQuestionAnswering, PreTrainedTokenizerFast

    torch.manual_seed(7)
    hidden, layers, heads = SHAPES[shape]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(SHIPPED / "tokenizer.json"),
        **{f"{name}_token": f"[{name.upper()}]" for name in ("cls", "sep", "pad", "unk", "mask")},
        model_max_length=512, model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )  # fmt: skip
    config = BertConfig(
        vocab_size=tokenizer.vocab_size, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads,
        intermediate_size=4 * hidden,
    )  # fmt: skip
    made = folder / f"{shape}-checkpoint"
    BertForQuestionAnswering(config).eval().save_pretrained(made)
    tokenizer.save_pretrained(made)
    return made


def plain_graph(source: Path, path: Path) -> None:
    """Torch's own export: fp32, nothing fused."""
    import torch
    from transformers import AutoModelForQuestionAnswering

    how: Any = {"dtype": torch.float32, "attn_implementation": "eager"}  # weights may be stored in float16
    model = AutoModelForQuestionAnswering.from_pretrained(source, **how).eval()
    names, outputs = ["input_ids", "attention_mask", "token_type_ids"], ["start_logits", "end_logits"]
    axes = {name: {0: "batch", 1: "sequence"} for name in [*names, *outputs]}
    feed = {name: torch.ones(2, 16, dtype=torch.int64) for name in names}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model, (), str(path), kwargs=feed, input_names=names, output_names=outputs, opset_version=17,
            dynamo=False, dynamic_axes=axes,
        )  # fmt: skip


def main() -> None:
    from worker.build import build

    shape, folder, precisions, *plain = sys.argv[1:]
    source = checkpoint(shape, Path(folder))
    for precision in filter(None, precisions.split(",")):
        to = Path(folder) / f"{shape}-{precision}"
        build(str(source), to, precision=precision, name=shape, force_unknown=True)
    if plain:
        plain_graph(source, Path(folder) / f"{shape}.onnx")
    if source != CHECKPOINT:
        shutil.rmtree(source)


if __name__ == "__main__":
    main()
