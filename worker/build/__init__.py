"""Checkpoint -> model directory: export, check against torch, quantize (`quantize`), describe, evaluate.

The only user of torch and transformers, the extra [build]; both are imported inside functions, so that a machine
without them gets an error that says so. Nothing is written under the destination's name before all has been checked.
"""

from __future__ import annotations

import inspect
import json
import logging
import re
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import numpy as np

from contract.errors import ModelError
from contract.format.job import Options
from worker.reader.model import DESCRIPTION, TOKENIZER, KnownAnswer, ModelInfo, Template, describe, digest

if TYPE_CHECKING:
    import onnx

Precision = Literal["int8", "fp32"]
Say = Callable[[str], None]

GRAPH = "model.onnx"
OUTPUTS = ["start_logits", "end_logits"]
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
INT8_INPUTS = ("input_ids", "token_type_ids")  #: int8 windows run alone, unpadded: a mask would be all ones
LENGTHS = (16, 33, 128, 384)  #: of the windows on which graph and torch are compared; the longest possible as well
TOLERANCE = 2e-4  #: largest difference of a logit, times the largest logit if that exceeds 1
EXTERNAL_ABOVE = 2**31 - 2**20  #: protobuf's limit, less what the graph itself may take

#: Asked of every new model; those that it answers are its known answers. The texts also show int8 where outliers are.
KNOWN = (
    KnownAnswer(
        "Who wrote the novel Frankenstein?",
        "Frankenstein; or, The Modern Prometheus was written by Mary Shelley. It was published in London in 1818.",
        "Mary Shelley",
    ),
    KnownAnswer(
        "Where was Marie Curie born?",
        "Marie Curie, born in Warsaw on 7 November 1867, was a physicist and chemist. She won two Nobel Prizes: in "
        "physics (1903) and in chemistry (1911).",
        "Warsaw",
    ),
    KnownAnswer(
        "How many people will the factory employ?",
        'On Monday the company announced a new factory in Ohio. "We will hire 500 people," its director said, adding '
        "that work would begin in May; the first trucks are to leave it a year later.",
        "500",
    ),
    KnownAnswer(
        "What is the capital of Australia?",
        "Australia is the largest country in Oceania. The capital of Australia is Canberra, and its most populous city "
        "is Sydney. Other large cities are Melbourne, Brisbane, Perth and Adelaide.",
        "Canberra",
    ),
    KnownAnswer(
        "When was the bridge opened?",
        "The bridge, which is 1,280 metres (4,200 ft) long, was opened in 1937. It took four years to build and cost "
        "more than $35 million. Isn't it still the most photographed bridge in the world?",
        "1937",
    ),
)


def build(
    source: str,
    destination: Path,
    precision: Precision = "int8",
    *,
    name: str | None = None,
    evaluation: Path | None = None,
    null_trained: bool | None = None,
    force: bool = False,
    progress: Say = lambda _: None,
) -> ModelInfo:
    """Make the model directory `destination` from a Hugging Face id or a folder.

    `evaluation`: a SQuAD-format file to measure EM and F1 on. `null_trained`: whether the score at CLS was trained on
    unanswerable questions; None: if "squad2" is in the source's name. `force` replaces an older model directory, and
    keeps its README.md. Raises ModelError, and leaves everything as it was.
    """
    destination = Path(destination)
    _check_free(destination, force=force)
    checkpoint = _load(source, INT8_INPUTS if precision == "int8" else INPUTS)
    destination.parent.mkdir(parents=True, exist_ok=True)
    # Beside the destination: a rename is atomic within one file system only.
    with tempfile.TemporaryDirectory(prefix=f".{destination.name}.", dir=destination.parent) as work:
        plain, final = Path(work) / "fp32", Path(work) / "int8"
        info = _describe(checkpoint, name or destination.name, null_trained=null_trained)
        progress(f"exporting {info.architecture} to ONNX")
        info = _export(checkpoint, info, plain)
        if precision == "int8":
            info = _fuse(checkpoint, info, plain, progress)
            progress("quantizing to int8")
            info = _quantize(checkpoint, info, plain, final)
        made = _measure([plain, final] if precision == "int8" else [plain], evaluation, progress)
        _publish(made, destination)
    progress(f"{destination}: {info.name}, {precision}, digest {info.digest}")
    return describe(destination)


def _check_free(destination: Path, *, force: bool) -> None:
    if not destination.exists():
        return
    if not (destination / DESCRIPTION).is_file():
        raise ModelError(f"{destination} exists and is no model directory", "Name another: it will not be touched.")
    if not force:
        raise ModelError(f"{destination} exists", "Replace it with --force.")


# -- the checkpoint


@dataclass(frozen=True)
class _Checkpoint:
    source: str
    model: Any  #: a torch module, in eval mode, fp32
    tokenizer: Any  #: tokenizers.Tokenizer, without truncation and padding
    inputs: tuple[str, ...]
    longest: int  #: tokens that the tokenizer's configuration allows


def _load(source: str, wanted: tuple[str, ...]) -> _Checkpoint:
    """Raises ModelError for whatever is not a trained extractive reader with a fast tokenizer."""
    try:
        import onnx  # noqa: F401
        import torch
        from transformers import AutoModelForQuestionAnswering, AutoTokenizer
        from transformers.utils import logging as chatter
    except ImportError as error:
        raise ModelError(
            f"making a model directory needs {error.name or error}", "pip install 'bulkqa[build]'"
        ) from error
    chatter.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        with _quiet():
            model, loading = AutoModelForQuestionAnswering.from_pretrained(
                source,
                dtype=torch.float32,
                attn_implementation="eager",
                trust_remote_code=False,
                output_loading_info=True,
            )
            tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except Exception as error:  # libraries raise OSError, ValueError, KeyError, ImportError and their own
        _refuse(source, error)
    if loading["missing_keys"]:
        missing = ", ".join(sorted(loading["missing_keys"])[:4])
        raise ModelError(
            f"{source} has no weights for {missing}: it is not trained for question answering",
            "Take a checkpoint that was fine-tuned on a data set such as SQuAD.",
        )
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ModelError(f"{source} has no fast tokenizer ({TOKENIZER})", "Convert its tokenizer, or take another.")
    backend.no_truncation()
    backend.no_padding()
    if hasattr(model.base_model, "set_attention_type"):  # BigBird's sparse attention pays from 1,024 tokens on only
        model.base_model.set_attention_type("original_full")
    takes = inspect.signature(model.forward).parameters
    typed = getattr(model.config, "type_vocab_size", 0) > 1 and "token_type_ids" in tokenizer.model_input_names
    inputs = tuple(given for given in wanted if given in takes and (typed or given != "token_type_ids"))
    return _Checkpoint(source, model.eval(), backend, inputs, tokenizer.model_max_length)


def _refuse(source: str, error: Exception) -> NoReturn:
    reason = str(error).strip().split("\n")[0]
    if isinstance(error, OSError) and not Path(source).exists():
        raise ModelError(
            f"{source} is no folder here, and the Hugging Face hub does not give it: {reason}",
            "Check the name and the network, or download the checkpoint and name its folder.",
        ) from error
    raise ModelError(
        f"{source} cannot be loaded for question answering: {reason}",
        "Expected: config.json, weights and tokenizer of a reader such as BERT, RoBERTa, ELECTRA or DeBERTa.",
    ) from error


def _describe(checkpoint: _Checkpoint, name: str, *, null_trained: bool | None) -> ModelInfo:
    config = checkpoint.model.config
    squad2 = re.search(r"squad[-_ ]?(v?2)", f"{checkpoint.source} {getattr(config, 'name_or_path', '')}".lower())
    folder = Path(checkpoint.source)
    return ModelInfo(
        name=name,
        digest="",
        precision="fp32",
        architecture=type(checkpoint.model).__name__,
        inputs=checkpoint.inputs,
        max_positions=_max_positions(checkpoint),
        vocab_size=config.vocab_size,
        template=template_of(checkpoint.tokenizer),
        null_trained=bool(squad2) if null_trained is None else null_trained,
        source=f"{name} checkpoint" if folder.exists() else checkpoint.source,
    )


def _max_positions(checkpoint: _Checkpoint) -> int:
    """Tokens in the longest window. RoBERTa and its kin count positions from `padding_idx` + 1: 514 hold 512."""
    limit: int = min(checkpoint.longest, checkpoint.model.config.max_position_embeddings)
    for path, module in checkpoint.model.named_modules():
        if path.endswith("position_embeddings") and getattr(module, "num_embeddings", 0):
            offset = 0 if module.padding_idx is None else module.padding_idx + 1
            limit = min(limit, module.num_embeddings - offset)
    return limit


def template_of(tokenizer: Any) -> Template:
    """The special tokens around question and context, seen in one encoded pair and confirmed by the others."""
    found = {_template_of(tokenizer, known.question, known.context) for known in KNOWN}
    if len(found) != 1:
        raise ModelError("the tokenizer puts different tokens around different questions", "Take another checkpoint.")
    return found.pop()


def _template_of(tokenizer: Any, question: str, context: str) -> Template:
    pair = tokenizer.encode(question, context)
    where = np.array([2 if part is None else part for part in pair.sequence_ids])
    first, second = np.flatnonzero(where == 0), np.flatnonzero(where == 1)
    begin, middle, start, end = first[0], first[-1] + 1, second[0], second[-1] + 1
    alone = [tokenizer.encode(text, add_special_tokens=False).ids for text in (question, context)]
    head, tail = set(pair.type_ids[:start]), set(pair.type_ids[start:])
    if [pair.ids[begin:middle], pair.ids[start:end]] != alone or begin == 0 or len(head) != 1 or len(tail) != 1:
        raise ModelError(
            "the tokenizer does not encode pairs as: CLS, question, separators, context, separator",
            "Models with CLS at the end, as XLNet, are not supported.",
        )
    ids = pair.ids
    return Template(tuple(ids[:begin]), tuple(ids[middle:start]), tuple(ids[end:]), int(head.pop()), int(tail.pop()))


# -- the graph


def _export(checkpoint: _Checkpoint, info: ModelInfo, directory: Path) -> ModelInfo:
    """Write the fp32 model directory, and compare it with torch. Raises ModelError."""
    import onnx
    import torch

    directory.mkdir()
    example = {given: torch.ones(2, 16, dtype=torch.int64) for given in checkpoint.inputs}
    with tempfile.TemporaryDirectory(dir=directory.parent) as raw:  # above 2 GB torch scatters weights around the file
        path = Path(raw) / GRAPH
        try:
            with _quiet(), torch.no_grad():
                torch.onnx.export(
                    checkpoint.model,
                    (),
                    str(path),
                    kwargs=example,
                    input_names=list(example),
                    output_names=OUTPUTS,
                    opset_version=20,  # the first with Gelu as one node
                    dynamo=False,  # its graphs of attention are slower, and some do not load
                    dynamic_axes={given: {0: "batch", 1: "sequence"} for given in [*example, *OUTPUTS]},
                )
        except Exception as error:
            reason = str(error).strip().split("\n")[0]
            raise ModelError(f"{info.architecture} cannot be exported to ONNX: {reason}") from error
        model = onnx.load(path)
    given = {declared.name for declared in model.graph.input}
    info = replace(info, inputs=tuple(name for name in checkpoint.inputs if name in given))
    info = _save(checkpoint, info, model, directory)
    _compare(checkpoint, info, directory / GRAPH)
    return info


def _fuse(checkpoint: _Checkpoint, info: ModelInfo, directory: Path, progress: Say) -> ModelInfo:
    """Put attention into one node each where that is found and agrees with torch; else leave the graph and say so."""
    import onnx

    from worker.build.rewrite import fuse_attention

    model = onnx.load(directory / GRAPH)
    found = fuse_attention(model, getattr(checkpoint.model.config, "num_attention_heads", 0))
    if not found:
        progress(f"attention of {info.architecture} is of another form: left as exported, which is slower")
        return info
    try:
        fused = _save(checkpoint, info, model, directory.with_name("fused"))
        _compare(checkpoint, fused, directory.with_name("fused") / GRAPH)
    except ModelError as error:
        progress(f"attention is left as exported, which is slower: {error}")
        return info
    shutil.rmtree(directory)
    directory.with_name("fused").rename(directory)
    return fused


def _save(checkpoint: _Checkpoint, info: ModelInfo, model: onnx.ModelProto, directory: Path) -> ModelInfo:
    """Write graph, tokenizer and description. The description comes last: it carries the digest of the others."""
    import onnx

    directory.mkdir(exist_ok=True)
    large = sum(len(constant.raw_data) for constant in model.graph.initializer) > EXTERNAL_ABOVE
    onnx.save(model, directory / GRAPH, save_as_external_data=large, location=f"{GRAPH}.data")
    checkpoint.tokenizer.save(str(directory / TOKENIZER))
    info = replace(info, digest=digest(directory, GRAPH))
    _write(info, directory)
    return info


def _write(info: ModelInfo, directory: Path) -> None:
    (directory / DESCRIPTION).write_text(json.dumps(info.to_json(), indent=1, ensure_ascii=False) + "\n", "utf-8")


def _compare(checkpoint: _Checkpoint, info: ModelInfo, path: Path) -> None:
    """Raises ModelError where graph and torch disagree on random windows: (1, S), and (2, S) with padding."""
    import torch

    from worker.build.quantize import load

    try:
        session = load(path)
    except Exception as error:
        raise ModelError(f"the graph of {info.architecture} cannot be loaded: {error}") from error
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
        try:
            with torch.no_grad():
                made = checkpoint.model(**{name: torch.from_numpy(values) for name, values in feed.items()})
            expected = np.stack([made.start_logits.numpy(), made.end_logits.numpy()])[:, :, :seen]
            got = np.stack(session.run(OUTPUTS, feed))[:, :, :seen]
        except Exception as error:
            raise ModelError(f"{info.architecture} does not run on {rows} x {length} tokens: {error}") from error
        difference = float(np.abs(got - expected).max())
        if not difference <= TOLERANCE * max(1.0, float(np.abs(expected).max())):  # not <=: NaN differs
            raise ModelError(f"the graph is off by {difference:.2g} from torch on {rows} x {length} tokens")


def _quantize(checkpoint: _Checkpoint, info: ModelInfo, plain: Path, final: Path) -> ModelInfo:
    import onnx

    from worker.build.quantize import DISABLED_OPTIMIZERS, quantize

    model = quantize(onnx.load(plain / GRAPH), (_feed(checkpoint, info, known) for known in KNOWN))
    info = replace(info, precision="int8", disabled_optimizers=DISABLED_OPTIMIZERS)
    return _save(checkpoint, info, model, final)


def _feed(checkpoint: _Checkpoint, info: ModelInfo, known: KnownAnswer) -> dict[str, Any]:
    pair = checkpoint.tokenizer.encode(known.question, known.context)
    columns = dict(zip(INT8_INPUTS, (pair.ids, pair.type_ids), strict=True))
    return {name: np.array([columns[name][: info.max_positions]], np.int64) for name in info.inputs}


# -- what it can do


def _measure(directories: list[Path], evaluation: Path | None, progress: Say) -> Path:
    """Fill in known answers and evaluation of the last of `directories`, and return it.

    A known answer is one that all of them give: the last is what ships, the first what it was made from.
    """
    from worker.evaluate import evaluate, load_squad
    from worker.reader.reader import Reader
    from worker.reader.session import available_cpus

    readers = {directory: Reader.open(directory) for directory in directories}
    known = tuple(each for each in KNOWN if all(_answers(reader, each) for reader in readers.values()))
    if not known:
        progress("warning: it answers none of the built-in questions, so workers cannot tell whether it works")
    measured: dict[str, Any] = {}
    for reader in readers.values() if evaluation else ():
        assert evaluation is not None  # noqa: S101 - for the type checker
        progress(f"evaluating {reader.info.precision} on {evaluation.name}")
        result = evaluate(reader, load_squad(evaluation), Options(), threads=available_cpus())
        measured[reader.info.precision] = {key: round(value, 2) for key, value in result.items() if "second" not in key}
        progress(f"{reader.info.precision}: EM {result['exact_match']:.1f}, F1 {result['f1']:.1f}")
    if evaluation:
        measured = {"file": evaluation.name} | measured
    final = directories[-1]
    _write(replace(readers[final].info, known_answers=known, evaluation=measured), final)
    return final


def _answers(reader: Any, known: KnownAnswer) -> bool:
    from worker.reader.decode import RowFailure

    try:
        spans = reader.answer(known.question, known.context, Options(no_answer_threshold=None)).spans
    except RowFailure:
        return False
    return bool(spans) and spans[0].answer == known.answer


def _publish(made: Path, destination: Path) -> None:
    """Rename into place. An older directory steps aside first: there is no atomic exchange of two directories."""
    if not (made / "README.md").exists():
        (made / "README.md").write_text(_card(describe(made)), "utf-8")
    if destination.exists():
        if (destination / "README.md").is_file():
            shutil.copy(destination / "README.md", made / "README.md")
        destination.rename(made.parent / "old")
    made.rename(destination)


def _card(info: ModelInfo) -> str:
    lines = [
        f"# {info.name}",
        "",
        f"{info.architecture}, {info.precision}, made from `{info.source}` by `worker build`.",
    ]
    for precision, result in info.evaluation.items():
        if isinstance(result, dict):
            rows = f"on {result['rows']} rows of {info.evaluation['file']}"
            lines.append(f"- {precision}: EM {result['exact_match']}, F1 {result['f1']} {rows}")
    lines.append("\nSay here what it was trained on, under which licence, and where it fails.")
    return "\n".join(lines) + "\n"


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings of tracing: `_compare` finds what they warn of. Loggers are put back as they were."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "transformers")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
