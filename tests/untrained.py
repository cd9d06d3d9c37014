"""Tiny untrained checkpoints of many families.

Torch and transformers, of the extra [build], are imported by what needs them: tests are collected in every process of
pytest, and these two take seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import tokenizers

from worker.build.checkpoint import KNOWN

CORPUS = [text for known in KNOWN for text in (known.question, known.context)]
CONTEXT = "Zürich lies in Switzerland. " + "The city was founded by the Romans, who called it Turicum. " * 4
SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 128,
}
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ROBERTA = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def finish(tokenizer: Any, special: list[str], middle: int, context_type: int) -> Any:
    """A fast tokenizer that encodes a pair as CLS, question, `middle` separators, context, separator."""
    import transformers

    cls, sep, pad, unknown = [special[n] for n in ((0, 2, 1, 3) if special is ROBERTA else (2, 3, 0, 1))]
    pair = " ".join([f"{cls}:0 $A:0", *[f"{sep}:0"] * middle, f"$B:{context_type} {sep}:{context_type}"])
    ids = [(token, tokenizer.token_to_id(token)) for token in (cls, sep)]
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single=f"{cls} $A {sep}", pair=pair, special_tokens=ids
    )
    inputs = ["input_ids", "attention_mask", *(["token_type_ids"] if context_type else [])]
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=pad, unk_token=unknown, model_input_names=inputs
    )


def wordpiece(middle: int = 1, context_type: int = 1) -> Any:
    """Letters, pairs of them, and the words of every other text. Written out: a trained one would differ between
    processes, and so would the logits of an untrained model, which then sometimes exceed the tolerance of fp16."""
    normalizer, splitter = tokenizers.normalizers.BertNormalizer(), tokenizers.pre_tokenizers.BertPreTokenizer()
    texts = [[word for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text))] for text in CORPUS]
    every = {word for text in texts for word in text}
    pieces = {word[at : at + size] for word in every for size in (1, 2) for at in range(len(word))}
    words = {word for text in texts[::2] for word in text}
    known = [*SPECIAL, *sorted(words | pieces | {f"##{piece}" for piece in pieces})]
    model = tokenizers.models.WordPiece({word: number for number, word in enumerate(known)}, unk_token=SPECIAL[1])
    made = tokenizers.Tokenizer(model)
    made.normalizer, made.pre_tokenizer = normalizer, splitter
    return finish(made, SPECIAL, middle, context_type)


def byte_bpe() -> Any:
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    made.train_from_iterator(
        CORPUS,
        tokenizers.trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=ROBERTA,
            initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return finish(made, ROBERTA, 2, 0)


def unigram(special: list[str], middle: int, context_type: int) -> Any:
    made = tokenizers.Tokenizer(tokenizers.models.Unigram())
    made.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    unknown = next(token for token in special if "unk" in token.lower())
    made.train_from_iterator(
        CORPUS,
        tokenizers.trainers.UnigramTrainer(
            vocab_size=200, special_tokens=special, unk_token=unknown, show_progress=False
        ),
    )
    return finish(made, special, middle, context_type)


#: model class, configuration class, what differs from SIZES, tokenizer, inputs expected of the graph, longest window
FAMILIES: dict[str, tuple[str, dict[str, Any], Callable[[], Any], set[str], int]] = {
    "Bert": ("Bert", {}, wordpiece, {"input_ids", "attention_mask", "token_type_ids"}, 128),
    "DistilBert": (
        "DistilBert",
        {"dim": 32, "hidden_dim": 64, "n_layers": 2, "n_heads": 2},
        wordpiece,
        {"input_ids", "attention_mask"},
        128,
    ),
    "Roberta": (
        "Roberta",
        {"max_position_embeddings": 130, "type_vocab_size": 1, "pad_token_id": 1},
        byte_bpe,
        {"input_ids", "attention_mask"},
        128,
    ),
    "XLMRoberta": (
        "XLMRoberta",
        {"max_position_embeddings": 130, "type_vocab_size": 1, "pad_token_id": 1},
        lambda: unigram(ROBERTA, 2, 0),
        {"input_ids", "attention_mask"},
        128,
    ),
    "Electra": (
        "Electra",
        {"embedding_size": 16},
        wordpiece,
        {"input_ids", "attention_mask", "token_type_ids"},
        128,
    ),
    "Albert": (
        "Albert",
        {"embedding_size": 16},
        lambda: unigram(SPECIAL, 1, 1),
        {"input_ids", "attention_mask", "token_type_ids"},
        128,
    ),
    "MPNet": (
        "MPNet",
        {"max_position_embeddings": 130, "pad_token_id": 1},
        lambda: wordpiece(2, 0),
        {"input_ids", "attention_mask"},
        128,
    ),
    "DebertaV2": (
        "DebertaV2",
        {
            "type_vocab_size": 0,
            "relative_attention": True,
            "position_buckets": 16,
            "pos_att_type": ["p2c", "c2p"],
            "share_att_key": True,
            "norm_rel_ebd": "layer_norm",
            "position_biased_input": False,
        },
        lambda: unigram(SPECIAL, 1, 1),
        {"input_ids", "attention_mask"},
        128,
    ),
    "BigBird": (
        "BigBird",
        {"attention_type": "block_sparse", "block_size": 8},
        lambda: unigram(SPECIAL, 1, 1),
        {"input_ids", "attention_mask", "token_type_ids"},
        128,
    ),
    "ModernBert": (  # every other layer sees only the tokens nearby
        "ModernBert",
        {
            "local_attention": 32,
            "global_attn_every_n_layers": 2,
            "pad_token_id": 0,
            "cls_token_id": 2,
            "sep_token_id": 3,
        }
        | {"bos_token_id": 2, "eos_token_id": 3},
        lambda: wordpiece(1, 0),
        {"input_ids", "attention_mask"},
        128,
    ),
    "GPT2": (
        "GPT2",
        {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 128, "bos_token_id": 2, "eos_token_id": 3},
        lambda: wordpiece(1, 0),
        {"input_ids", "attention_mask"},
        128,
    ),
    "Bart": (
        "Bart",
        {"d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2}
        | {"decoder_attention_heads": 2, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "init_std": 0.2}
        | {
            "pad_token_id": 0,
            "bos_token_id": 2,
            "eos_token_id": 3,
            "decoder_start_token_id": 3,
            "forced_eos_token_id": 3,
        },
        lambda: wordpiece(1, 0),
        {"input_ids", "attention_mask"},
        128,
    ),
}


def checkpoint(directory: Path, family: str) -> Any:
    """An untrained reader, saved; its weights are larger than usual so that logits differ between tokens."""
    import torch
    import transformers

    kind, changes, make_tokenizer, _, _ = FAMILIES[family]
    tokenizer = make_tokenizer()
    torch.manual_seed(0)
    sizes = SIZES | {"vocab_size": len(tokenizer), "initializer_range": 0.2} | changes
    config = getattr(transformers, f"{kind}Config")(**sizes)
    model = getattr(transformers, f"{kind}ForQuestionAnswering")._from_config(config, attn_implementation="eager")
    for values in model.parameters():  # new biases are all 0, which would hide a missing sum
        if values.dim() == 1:
            values.data += 0.1 * torch.randn(values.shape)
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return model.eval()
