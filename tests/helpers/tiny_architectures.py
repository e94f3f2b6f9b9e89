"""A tiny configuration of every architecture of transformers that classifies texts: the sizes that its class knows, small.

Two layers, hidden width 32, four heads, two of them with keys of their own where an architecture shares keys.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from hypothesis import strategies as st
from tiny_families import FAMILIES, TinyFamily
from transformers import CONFIG_MAPPING, AutoModelForSequenceClassification, PreTrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES

from rankwise.model.load import quiet

ARCHITECTURES = tuple(sorted(MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES))
FIRST, PAD, LAST = 0, 1, 2  # as tiny_families.word_level numbers its marks
LONGEST = 64
WORDS = 64
"""Rows of the word embeddings."""

_SIZES = {
    **dict.fromkeys(
        ("hidden_size", "d_model", "dim", "n_embd", "emb_dim", "embed_dim", "embedding_size", "word_embed_proj_dim"), 32
    ),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "d_ff", "d_inner", "n_inner", "hidden_dim", "dff"), 48),
    **dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim", "ffn_hidden_size", "feed_forward_size", "intermediate_dim"), 48),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers", "encoder_layers", "decoder_layers"), 2),
    **dict.fromkeys(("num_decoder_layers", "depth"), 2),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads"), 4),
    **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 4),
    **dict.fromkeys(("num_key_value_heads", "num_kv_heads"), 2),
    **dict.fromkeys(("head_dim", "d_kv", "attention_head_size", "kv_channels"), 8),
    **dict.fromkeys(("qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim", "qk_head_dim"), 8),
    **dict.fromkeys(("q_lora_rank", "kv_lora_rank"), 16),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok", "moe_topk", "num_experts_per_token"), 2),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size", "expert_dim"), 16),
    **dict.fromkeys(("n_group", "topk_group", "n_shared_experts", "first_k_dense_replace"), 1),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "max_seq_len", "max_source_positions"), LONGEST),
    **dict.fromkeys(("bos_token_id", "cls_token_id"), FIRST),
    **dict.fromkeys(("eos_token_id", "sep_token_id", "decoder_start_token_id"), LAST),
    **dict.fromkeys(("sliding_window", "attention_window", "local_attention", "window_size"), 16),
    "pad_token_id": PAD,
    "vocab_size": WORDS,
    "initializer_range": 0.2,
    "image_size": 8,
    "patch_size": 4,
}
_ROTARY = {"rope_theta": 10_000.0, "rope_type": "default"}
_DELTA_NET = {
    **dict.fromkeys(("linear_key_head_dim", "linear_value_head_dim"), 8),
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "layer_types": ["linear_attention", "full_attention"],
}
_LATENT = {"num_key_value_heads": 4, "head_dim": 8}  # multi-head latent attention
_HYBRID = {
    "num_hidden_layers": 4,
    "layers_block_type": ["mamba", "hybrid", "mamba", "hybrid"],
    "attention_hidden_size": 64,
    "attention_head_dim": 16,
    "num_key_value_heads": 4,
    "mamba_d_state": 8,
}
_OWN: dict[str, dict[str, Any]] = {
    "axk1": _LATENT,
    "axk2": _LATENT,
    "canine": {"num_hash_buckets": 50, "max_position_embeddings": 256},
    "cohere_compass_text": {"rope_parameters": {"full_attention": _ROTARY, "sliding_attention": _ROTARY}},
    "deepseek_v2": _LATENT,
    "deepseek_v3": _LATENT,
    "esmc": {"num_key_value_heads": 4},
    "gemma3": {"mm_tokens_per_image": 4},
    "gptj": {"rotary_dim": 8},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "layoutlmv3": {"coordinate_size": 6, "shape_size": 4, "input_size": 8},
    "lilt": {"hidden_size": 48},
    "luke": {"entity_vocab_size": 10, "entity_emb_size": 16},
    "markuplm": {"max_depth": 3, "xpath_unit_hidden_size": 8},
    "minicpm3": _LATENT,
    "mistral4": {**_LATENT, "head_dim": 16},
    "mobilebert": {"initializer_range": 0.02},  # its norms do not normalise, and a tanh follows
    "perceiver": {
        **dict.fromkeys(("num_self_attention_heads", "num_cross_attention_heads"), 4),
        **{"num_latents": 6, "d_latents": 32, "num_self_attends_per_block": 2},
    },
    "qwen3_5": {"text_config": _DELTA_NET},
    "qwen3_5_text": _DELTA_NET,
    "qwen3_next": _DELTA_NET,
    "reformer": {
        **dict.fromkeys(("lsh_attn_chunk_length", "local_attn_chunk_length"), 8),
        **{"attn_layers": ["local", "lsh"], "axial_pos_shape": [8, 8], "axial_pos_embds_dim": [16, 16]},
    },
    "roc_bert": {
        **dict.fromkeys(("pronunciation_embed_dim", "shape_embed_dim"), 16),
        **dict.fromkeys(("pronunciation_vocab_size", "shape_vocab_size"), 60),
    },
    "t5": {"decoder_start_token_id": LAST},
    "xmod": {"default_language": "en_XX"},
    "zamba": {**_HYBRID, "mamba_dt_rank": 4},
    "zamba2": {**_HYBRID, "n_mamba_heads": 4, "adapter_rank": 4},
}
"""What else a model type needs, or needs otherwise."""


@cache
def tiny_config(model_type: str, **changes: Any) -> Mapping[str, Any]:
    """The content of a config.json, whose class may still refuse it."""
    return _small(CONFIG_MAPPING[model_type], {**_OWN.get(model_type, {}), **changes}).to_dict()


def _small(kind: type[PreTrainedConfig], changes: Mapping[str, Any]) -> PreTrainedConfig:
    usual = kind()
    known = set(usual.to_dict()) | set(kind.attribute_map)
    sizes = {key: value for key, value in _SIZES.items() if key in known and key not in changes}
    parts = {
        key: _small(type(part), changes.get(key, {})).to_dict()
        for key in kind.sub_configs
        if isinstance(part := getattr(usual, key, None), PreTrainedConfig)
    }
    return kind(**{**sizes, **changes, **parts})


def save_architecture(model_type: str, folder: Path, words: Sequence[str], **changes: Any) -> Path:
    """A tiny random base and a tokenizer of `words` in `folder`, without a head, as published bases are."""
    row = FAMILIES.get(model_type, TinyFamily({}, st.nothing()))
    tokenizer = row.tokenizer(row, words)
    assert len(tokenizer) <= WORDS
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("pad", "bos", "eos")}
    settings = {**tiny_config(model_type), **ids, **changes}
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        config = CONFIG_MAPPING[model_type].from_dict(settings)
        model = AutoModelForSequenceClassification.from_config(config)
        root = getattr(model, model.base_model_prefix)
        beside = any(True for name, part in model.named_children() if part is not root for _ in part.parameters())
        (root if beside else model).save_pretrained(folder)
        config.save_pretrained(folder)  # the class's own, where its encoder's is a part of it
        tokenizer.save_pretrained(folder)
    return folder
