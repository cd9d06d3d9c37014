"""From a checkpoint to a model directory: export, check against torch, quantize, describe, evaluate.

`build` joins `checkpoint` (which loads) and `export` (which makes the graph, with `rewrite` and `quantize`). Torch,
transformers and onnx are the extra [build], and are imported inside functions. What must not come in: jobs, storage,
the queue. The destination is created last, when everything has been checked.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from contract.errors import ModelError
from contract.format.job import Options
from contract.machine import available_cpus
from worker.build.checkpoint import INPUTS, INT8_INPUTS, KNOWN, Checkpoint, load, max_positions, template_of
from worker.build.export import Say, export_graph, fuse, to_fp16, to_int8, write
from worker.reader.cost import measure
from worker.reader.model import DESCRIPTION, KnownAnswer, ModelInfo, describe
from worker.reader.open import open_reader
from worker.reader.reader import Reader

Precision = Literal["int8", "fp16", "fp32"]


def build(
    source: str,
    destination: Path,
    precision: Precision = "int8",
    *,
    name: str | None = None,
    evaluation: Path | None = None,
    null_trained: bool | None = None,
    force: bool = False,
    force_unknown: bool = False,
    progress: Say = lambda _: None,
) -> ModelInfo:
    """Build the model directory `destination` from a Hugging Face id or a folder.

    `precision`: int8 for CPUs, fp16 for GPUs, fp32 for either. `evaluation`: a SQuAD-format file to measure EM and F1
    on. `null_trained`: whether the score at CLS was trained on unanswerable questions; None: whether "squad2" is in the
    source's name. `force` replaces an older model directory, and keeps its README.md. `force_unknown` accepts a
    checkpoint that answers none of the known questions, and the description says so. Raises ModelError, and leaves
    everything as it was.
    """
    destination = Path(destination)
    _check_free(destination, force=force)
    checkpoint = load(source, INT8_INPUTS if precision == "int8" else INPUTS)
    destination.parent.mkdir(parents=True, exist_ok=True)
    # Beside the destination: a rename is atomic within one file system only.
    with tempfile.TemporaryDirectory(prefix=f".{destination.name}.", dir=destination.parent) as work:
        plain, final = Path(work) / "fp32", Path(work) / "final"
        info = _describe(checkpoint, name or destination.name, null_trained=null_trained)
        progress(f"exporting {info.architecture} to ONNX")
        info = export_graph(checkpoint, info, plain)
        if precision == "int8":
            info = fuse(checkpoint, info, plain, progress)
            progress("quantizing to int8")
            info = to_int8(checkpoint, info, plain, final)
        elif precision == "fp16":
            info = to_fp16(checkpoint, info, plain, final)
        stages = [plain] if precision == "fp32" else [plain, final]
        readers = {stage: open_reader(stage) for stage in stages}
        known = _known(source, list(readers.values()), progress, force=force_unknown)
        _publish(_measure(readers, known, evaluation, progress), destination)
    progress(f"{destination}: {info.name}, {precision}, digest {info.digest}")
    return describe(destination)


def _check_free(destination: Path, *, force: bool) -> None:
    if not destination.exists():
        return
    if not (destination / DESCRIPTION).is_file():
        raise ModelError(f"{destination} exists and is not a model directory", "Name another destination.")
    if not force:
        raise ModelError(f"{destination} exists", "Replace it with --force.")


def _describe(checkpoint: Checkpoint, name: str, *, null_trained: bool | None) -> ModelInfo:
    config = checkpoint.model.config
    squad2 = re.search(r"squad[-_ ]?(v?2)", f"{checkpoint.source} {getattr(config, 'name_or_path', '')}".lower())
    folder = Path(checkpoint.source).expanduser()
    return ModelInfo(
        name=name,
        digest="",
        precision="fp32",
        architecture=type(checkpoint.model).__name__,
        inputs=checkpoint.inputs,
        max_positions=max_positions(checkpoint),
        vocab_size=config.vocab_size,
        template=template_of(checkpoint.tokenizer),
        null_trained=bool(squad2) if null_trained is None else null_trained,
        source=f"{name} checkpoint" if folder.exists() else checkpoint.source,
    )


def _known(source: str, readers: list[Reader], progress: Say, *, force: bool) -> tuple[KnownAnswer, ...]:
    """The known questions that all readers answer, fp32 and the final one.

    Raises ModelError if there are none: the checkpoint is for another language, or its answers are wrong.
    """
    known = tuple(each for each in KNOWN if all(_answers(reader, each) for reader in readers))
    if known:
        return known
    problem = f"{source} answers none of the {len(KNOWN)} known questions, such as {KNOWN[0].question!r}"
    if not force:
        raise ModelError(
            problem,
            "Is its tokenizer the one that it was trained with, and does it know English? For a model of another "
            "language use --force-unknown, and check its quality with --evaluation.",
        )
    progress(f"warning: {problem}, so workers cannot tell whether it works")
    return ()


def _measure(
    readers: dict[Path, Reader], known: tuple[KnownAnswer, ...], evaluation: Path | None, progress: Say
) -> Path:
    """Write known answers and evaluation into the last directory of `readers`, and return it."""
    from worker.evaluate import evaluate, load_squad

    measured: dict[str, Any] = {}
    for reader in readers.values() if evaluation else ():
        assert evaluation is not None  # noqa: S101 - for the type checker
        progress(f"evaluating {reader.info.precision} on {evaluation.name}")
        result = evaluate(reader, load_squad(evaluation), Options(), threads=available_cpus())
        measured[reader.info.precision] = {key: round(value, 2) for key, value in result.items() if "second" not in key}
        progress(f"{reader.info.precision}: EM {result['exact_match']:.1f}, F1 {result['f1']:.1f}")
    if evaluation:
        measured = {"file": evaluation.name} | measured
    final, reader = list(readers.items())[-1]
    progress("measuring the cost of a window")
    about = replace(reader.info, known_answers=known, unproven=not known, evaluation=measured, cost=measure(reader))
    write(about, final)
    return final


def _answers(reader: Reader, known: KnownAnswer) -> bool:
    from worker.reader.decode import RowFailure

    try:
        spans = reader.answer(known.question, known.context, Options(no_answer_threshold=None)).spans
    except RowFailure:
        return False
    return bool(spans) and spans[0].answer == known.answer


def _publish(built: Path, destination: Path) -> None:
    """Rename into place. An older directory is renamed first: two directories cannot be exchanged in one step."""
    if not (built / "README.md").exists():
        (built / "README.md").write_text(_card(describe(built)), "utf-8")
    if destination.exists():
        if (destination / "README.md").is_file():
            shutil.copy(destination / "README.md", built / "README.md")
        destination.rename(built.parent / "old")
    built.rename(destination)


def _card(info: ModelInfo) -> str:
    lines = [
        f"# {info.name}",
        "",
        f"{info.architecture}, {info.precision}, built from `{info.source}` by `worker build`.",
    ]
    for precision, result in info.evaluation.items():
        if isinstance(result, dict):
            rows = f"on {result['rows']} rows of {info.evaluation['file']}"
            lines.append(f"- {precision}: EM {result['exact_match']}, F1 {result['f1']} {rows}")
    if info.unproven:
        lines.append("- **It answers none of the known questions**: it was not verified that it works.")
    lines.append("\nDescribe here what it was trained on, its licence, and where it fails.")
    return "\n".join(lines) + "\n"
