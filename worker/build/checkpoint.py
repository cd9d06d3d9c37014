"""A checkpoint, loaded and looked at: its torch model, its tokenizer, and what a description says of both.

The only place that loads with transformers, the extra [build]: imported inside, so that a machine without it gets an
error that says so. No code of a checkpoint is run.
"""

from __future__ import annotations

import inspect
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from contract.errors import ModelError
from worker.build.source import at_hub, here
from worker.reader.model import TOKENIZER, KnownAnswer, Template

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
INT8_INPUTS = ("input_ids", "token_type_ids")  #: int8 windows run alone, unpadded: a mask would be all ones

#: A tokenizer of fewer tokens is none, and one of less than this part of the embeddings is another model's.
_FEWEST, _FITTING = 32, 0.9

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


@dataclass(frozen=True)
class Checkpoint:
    """What was loaded of a checkpoint."""

    source: str
    model: Any  #: a torch module, in eval mode, fp32
    tokenizer: Any  #: tokenizers.Tokenizer, without truncation and padding
    inputs: tuple[str, ...]
    longest: int  #: tokens that the tokenizer's configuration allows


def load(source: str, wanted: tuple[str, ...]) -> Checkpoint:
    """Raises ModelError for whatever is not a trained extractive reader with a fast tokenizer of its own."""
    folder = here(source)  # a mistyped one is told before half a gigabyte of libraries is loaded
    try:
        import onnx  # noqa: F401
        import torch
        from transformers import AutoModelForQuestionAnswering, AutoTokenizer
        from transformers.utils import logging as chatter
    except ImportError as error:
        raise ModelError(
            f"making a model directory needs {error.name or error}", "pip install 'bulkqa[build]'"
        ) from error
    chatter.disable_progress_bar()  # type: ignore[no-untyped-call, unused-ignore]  # without transformers
    place = folder or at_hub(source)
    try:
        with quiet():
            model, loading = AutoModelForQuestionAnswering.from_pretrained(
                place.name,
                local_files_only=place.local,
                dtype=torch.float32,
                attn_implementation="eager",
                trust_remote_code=False,
                output_loading_info=True,
            )
            tokenizer = AutoTokenizer.from_pretrained(place.name, local_files_only=place.local, trust_remote_code=False)
    except Exception as error:  # libraries raise OSError, ValueError, KeyError, ImportError and their own
        _refuse(source, error, place.unreachable)
    if loading["missing_keys"]:
        missing = ", ".join(sorted(loading["missing_keys"])[:4])
        raise ModelError(
            f"{source} has no weights for {missing}: it is not trained for question answering",
            "Take a checkpoint that was fine-tuned on a data set such as SQuAD.",
        )
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ModelError(f"{source} has no fast tokenizer ({TOKENIZER})", "Convert its tokenizer, or take another.")
    _check_vocabulary(source, backend, model.config.vocab_size)
    backend.no_truncation()
    backend.no_padding()
    if hasattr(model.base_model, "set_attention_type"):  # BigBird's sparse attention pays from 1,024 tokens on only
        model.base_model.set_attention_type("original_full")
    takes = inspect.signature(model.forward).parameters
    typed = getattr(model.config, "type_vocab_size", 0) > 1 and "token_type_ids" in tokenizer.model_input_names
    inputs = tuple(given for given in wanted if given in takes and (typed or given != "token_type_ids"))
    return Checkpoint(source, model.eval(), backend, inputs, tokenizer.model_max_length)


def _refuse(source: str, error: Exception, unreachable: str | None) -> NoReturn:
    """`unreachable`: why the hub was not asked, if it was not."""
    reason = str(error).strip().split("\n")[0]
    if unreachable is not None:
        raise ModelError(
            f"{source} is no folder here, it was not loaded from the Hugging Face hub before, and the hub does not "
            f"answer: {unreachable}",
            "Check the network, or download the checkpoint and name its folder.",
        ) from error
    raise ModelError(
        f"{source} cannot be loaded for question answering: {reason}",
        "Expected: config.json, weights and tokenizer of a reader such as BERT, RoBERTa, ELECTRA or DeBERTa.",
    ) from error


def _check_vocabulary(source: str, backend: Any, rows: int) -> None:
    """Raise ModelError unless the tokenizer is the one that `rows` embeddings were trained with, as far as its size
    tells. Embeddings may be a few more than tokens, for the sake of the hardware."""
    vocabulary = backend.get_vocab(with_added_tokens=True)
    if not backend.get_vocab(with_added_tokens=False) or len(vocabulary) < _FEWEST:
        raise ModelError(  # the library makes one of nothing but special tokens
            f"{source} has no tokenizer: a vocabulary of {len(vocabulary)} tokens is what comes of none",
            f"Put {TOKENIZER}, or the files that it is made from (vocab.txt; vocab.json and merges.txt; a .model of "
            "SentencePiece), beside the weights. They are where the checkpoint comes from.",
        )
    highest = max(vocabulary.values())
    if highest >= rows or len(vocabulary) < _FITTING * rows:
        raise ModelError(
            f"the tokenizer of {source} is not the one that it was trained with: it has {len(vocabulary):,} tokens, to "
            f"id {highest:,}, and the model knows {rows:,}",
            "Take the tokenizer files from where the weights come from.",
        )


def max_positions(checkpoint: Checkpoint) -> int:
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


@contextmanager
def quiet() -> Iterator[None]:
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
