"""Tiny untrained checkpoints of any family that transformers has for question answering."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.models.auto.modeling_auto import MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES

from tests.untrained import FAMILIES, byte_bpe, wordpiece

#: The class of each family, by its name in a config.json.
CLASSES: dict[str, str] = dict(MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES)
#: How small, by the names that configurations have for it.
_SIZES = {
    2: "num_hidden_layers n_layer n_layers num_layers encoder_layers decoder_layers num_decoder_layers "
    "num_attention_heads n_head n_heads num_heads encoder_attention_heads decoder_attention_heads num_key_value_heads "
    "num_kv_heads num_local_experts num_experts num_experts_per_tok",
    16: "head_dim d_kv d_head linear_key_head_dim linear_value_head_dim",
    32: "hidden_size d_model n_embd dim emb_dim embedding_size word_embed_proj_dim true_hidden_size "
    "intra_bottleneck_size",
    64: "intermediate_size ffn_dim encoder_ffn_dim decoder_ffn_dim d_ff d_inner hidden_dim n_inner "
    "moe_intermediate_size shared_expert_intermediate_size ffn_hidden_size",
    128: "max_position_embeddings n_positions max_seq_len",
}
_TOKENS = "bos_token_id eos_token_id sep_token_id cls_token_id mask_token_id decoder_start_token_id"
#: Families that count positions from that of the padding token.
_COUNT_FROM_PADDING = (
    *("roberta", "camembert", "xlm-roberta", "data2vec-text", "longformer", "luke", "roberta-prelayernorm"),
    *("xlm-roberta-xl", "xmod", "ibert", "markuplm", "lilt", "mpnet"),
)
_MORE: dict[str, dict[str, Any]] = {
    "big_bird": FAMILIES["BigBird"][1],
    "bigbird_pegasus": FAMILIES["BigBird"][1],
    "deberta": {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "type_vocab_size": 0},
    "deberta-v2": FAMILIES["DebertaV2"][1],
    "funnel": {"block_sizes": [1, 1]},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]], "window_size": 32},
    "gptj": {"rotary_dim": 8},
    "longformer": {"attention_window": [16, 16]},
    "led": {"attention_window": [16, 16]},
    "luke": {"entity_vocab_size": 10, "entity_emb_size": 32},
    "modernbert": {"local_attention": 32},
    "reformer": {"axial_pos_embds_dim": [16, 16], "axial_pos_shape": [8, 16], "attn_layers": ["local", "local"]},
    "squeezebert": {f"{n}_groups": 1 for n in ("q", "k", "v", "post_attention", "intermediate", "output")},
    "t5": {"decoder_start_token_id": 0},
    "mt5": {"decoder_start_token_id": 0},
    "umt5": {"decoder_start_token_id": 0},
}
_NO_LAYERS = ("funnel",)  #: these count them otherwise
_TWO_SEPARATORS = ("longformer", "roberta")


def make(family: str, directory: Path) -> None:
    """Write a checkpoint whose logits differ between tokens. Raises whatever the family raises where it cannot be made
    small, or needs a library of its own."""
    tokenizer = byte_bpe() if family in _TWO_SEPARATORS else wordpiece(1, 0 if family in _MORE else 1)
    torch.manual_seed(0)
    # Some families add a token of their own.
    model = getattr(transformers, CLASSES[family])(_config(family, len(tokenizer) + 1))
    for values in model.parameters():
        if values.dim() == 1:  # new biases are all 0, which would hide a missing sum
            values.data += 0.1 * torch.randn(values.shape)
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)


def _config(family: str, vocabulary: int) -> Any:
    kind = transformers.CONFIG_MAPPING[family]
    default = kind()
    options: dict[str, Any] = {"vocab_size": vocabulary}
    for size, names in _SIZES.items():
        options |= dict.fromkeys(filter(lambda name: _can_be_set(default, name), names.split()), size)
    options |= {name: 2 for name in _TOKENS.split() if isinstance(getattr(default, name, None), int)}
    if isinstance(getattr(default, "pad_token_id", None), int):
        options["pad_token_id"] = 0
    options |= {name: 0.2 for name in ("initializer_range", "init_std") if hasattr(default, name)}
    if family in _COUNT_FROM_PADDING:
        options |= {"max_position_embeddings": 130, "pad_token_id": 1}
    if family in _NO_LAYERS:
        options = {name: value for name, value in options.items() if "layer" not in name and name != "hidden_size"}
    return kind(**options | _MORE.get(family, {}))


def _can_be_set(config: Any, name: str) -> bool:
    return hasattr(config, name) and not isinstance(getattr(type(config), name, None), property)
