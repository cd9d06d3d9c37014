"""Loads a checkpoint: its torch model, its tokenizer, and what a description says about both.

Only this module loads with transformers, the extra [build]. It is imported inside, so that without it an error says
what to install. A checkpoint's own code is never run.
"""

from __future__ import annotations

import inspect
import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from contract.errors import ModelError
from worker.build.source import at_hub, local_folder
from worker.reader.model import TOKENIZER, KnownAnswer, Template

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
INT8_INPUTS = ("input_ids", "token_type_ids")  #: int8 windows run alone, unpadded: a mask would be all ones

#: A tokenizer with fewer tokens is not a real one; one with less than this share of the embeddings is another model's.
_FEWEST, _FITTING = 32, 0.9

#: Tokens of a window for a model that knows positions only relative to each other: nearly all are trained on as many.
_UNLIMITED = 512

#: Every new model is asked these; those that it answers become its known answers. Quantizing to int8 finds outliers in
#: the same texts.
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


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint."""

    source: str
    model: Any  #: a torch module, in eval mode, fp32
    tokenizer: Any  #: tokenizers.Tokenizer, without truncation and padding
    inputs: tuple[str, ...]
    longest: int  #: tokens that the tokenizer's configuration allows


def load(source: str, inputs: tuple[str, ...]) -> Checkpoint:
    """Load a checkpoint, for a graph with those of `inputs` that the model takes. Raises ModelError if it is not a
    trained extractive reader with a fast tokenizer of its own."""
    folder = local_folder(source)  # finds a typing error before half a gigabyte of libraries is loaded
    try:
        import onnx  # noqa: F401
        import torch
        from transformers import AutoModelForQuestionAnswering, AutoTokenizer
        from transformers.utils import logging as chatter
    except ImportError as error:
        raise ModelError(
            f"building a model directory needs {error.name or error}", "pip install 'bulkqa[build]'"
        ) from error
    chatter.disable_progress_bar()  # type: ignore[no-untyped-call, unused-ignore]  # without transformers
    location = folder or at_hub(source)
    try:
        with quiet():
            model, loading = AutoModelForQuestionAnswering.from_pretrained(
                location.name,
                local_files_only=location.local,
                dtype=torch.float32,
                attn_implementation="eager",
                trust_remote_code=False,
                output_loading_info=True,
            )
            tokenizer = AutoTokenizer.from_pretrained(
                location.name, local_files_only=location.local, trust_remote_code=False
            )
    except Exception as error:  # libraries raise OSError, ValueError, KeyError, ImportError and their own
        _refuse(source, error, location.unreachable)
    if loading["missing_keys"]:
        missing = ", ".join(sorted(loading["missing_keys"])[:4])
        raise ModelError(
            f"{source} has no weights for {missing}: it is not trained for question answering",
            "Use a checkpoint that was fine-tuned on a data set such as SQuAD.",
        )
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ModelError(
            f"{source} has no fast tokenizer ({TOKENIZER})", "Convert its tokenizer, or use another checkpoint."
        )
    _check_vocabulary(source, backend, model.config.vocab_size)
    backend.no_truncation()
    backend.no_padding()
    _make_exportable(model)
    takes = inspect.signature(model.forward).parameters
    typed = getattr(model.config, "type_vocab_size", 0) > 1 and "token_type_ids" in tokenizer.model_input_names
    inputs = tuple(name for name in inputs if name in takes and (typed or name != "token_type_ids"))
    return Checkpoint(source, model.eval(), backend, inputs, tokenizer.model_max_length)


def _make_exportable(model: Any) -> None:
    """Choose what can be exported where a model can compute its logits in several ways."""
    if getattr(model.config, "is_encoder_decoder", False):
        for module in model.modules():  # T5's decoder has a configuration of its own
            if hasattr(module, "config"):
                module.config.use_cache = False  # the cache would be an output
    if hasattr(model.base_model, "set_attention_type"):  # BigBird's sparse attention pays only from 1,024 tokens on
        model.base_model.set_attention_type("original_full")


def _refuse(source: str, error: Exception, unreachable: str | None) -> NoReturn:
    """Raise ModelError for a checkpoint that cannot be loaded. `unreachable`: why the hub did not answer, if so."""
    reason = str(error).strip().split("\n")[0]
    if unreachable is not None:
        raise ModelError(
            f"{source} is not a folder here, is not in the cache of the Hugging Face hub, and the hub does not answer: "
            f"{unreachable}",
            "Check the network, or download the checkpoint and name its folder.",
        ) from error
    raise ModelError(
        f"{source} cannot be loaded for question answering: {reason}",
        "Expected: config.json, weights and tokenizer of a reader such as BERT, RoBERTa, ELECTRA or DeBERTa.",
    ) from error


def _check_vocabulary(source: str, backend: Any, rows: int) -> None:
    """Raise ModelError unless the tokenizer may be the one that `rows` embeddings were trained with, by its size. There
    may be a few more embeddings than tokens, for the sake of the hardware."""
    vocabulary = backend.get_vocab(with_added_tokens=True)
    if not backend.get_vocab(with_added_tokens=False) or len(vocabulary) < _FEWEST:
        raise ModelError(  # without its files the library makes a tokenizer of special tokens only
            f"{source} has no tokenizer: its vocabulary has only {len(vocabulary)} tokens",
            f"Copy {TOKENIZER}, or the files that it is made from (vocab.txt; vocab.json and merges.txt; a .model of "
            "SentencePiece), from the checkpoint's origin, and put them beside the weights.",
        )
    highest = max(vocabulary.values())
    if highest >= rows or len(vocabulary) < _FITTING * rows:
        raise ModelError(
            f"the tokenizer of {source} is not the one that it was trained with: it has {len(vocabulary):,} tokens, up "
            f"to id {highest:,}, and the model has {rows:,}",
            "Take the tokenizer files from where the weights come from.",
        )


def max_positions(checkpoint: Checkpoint) -> int:
    """Tokens in the longest window. RoBERTa and its kin count positions from `padding_idx` + 1: 514 hold 512."""
    config = checkpoint.model.config
    limits = (getattr(config, name, None) for name in ("max_position_embeddings", "n_positions", "max_seq_len"))
    limit: int = min(checkpoint.longest, next((each for each in limits if each and each > 0), _UNLIMITED))
    for path, module in checkpoint.model.named_modules():
        if path.endswith("position_embeddings") and hasattr(module, "padding_idx"):
            offset = 0 if module.padding_idx is None else module.padding_idx + 1
            limit = min(limit, len(module.weight) - offset)
    return limit


def template_of(tokenizer: Any) -> Template:
    """The special tokens around question and context: the same in the encoded pairs of all known questions."""
    templates = {_template_of(tokenizer, known.question, known.context) for known in KNOWN}
    if len(templates) != 1:
        raise ModelError("the tokenizer puts different tokens around different questions", "Use another checkpoint.")
    return templates.pop()


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
            "Models with CLS at the end, such as XLNet, are not supported.",
        )
    ids = pair.ids
    return Template(tuple(ids[:begin]), tuple(ids[middle:start]), tuple(ids[end:]), int(head.pop()), int(tail.pop()))


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress the warnings of tracing, since `_compare` checks what they warn about, and the graph that torch prints
    when it fails. Loggers are restored afterwards."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "transformers")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
