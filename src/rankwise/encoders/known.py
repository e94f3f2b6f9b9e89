"""The published encoders whose configuration ships with rankwise: planned without a network, called by a short name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rankwise.encoders.family import Config


@dataclass(frozen=True)
class Known:
    """A published encoder whose configuration ships with rankwise."""

    hub: str
    """Its Hugging Face id."""
    config: Config


def _roberta(layers: int, hidden: int, intermediate: int) -> Config:
    return {
        "model_type": "roberta",
        "vocab_size": 50265,
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "num_attention_heads": hidden // 64,
        "intermediate_size": intermediate,
        "max_position_embeddings": 514,
        "type_vocab_size": 1,
        "pad_token_id": 1,
    }


def _bert(layers: int, hidden: int, intermediate: int, *, vocab: int = 30522, heads: int | None = None) -> Config:
    return {
        "model_type": "bert",
        "vocab_size": vocab,
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "num_attention_heads": heads or hidden // 64,
        "intermediate_size": intermediate,
        "max_position_embeddings": 512,
        "type_vocab_size": 2,
    }


def _electra(layers: int, hidden: int, intermediate: int, embedding: int) -> Config:
    return {**_bert(layers, hidden, intermediate), "model_type": "electra", "embedding_size": embedding}


def _deberta_v3(layers: int, hidden: int, intermediate: int) -> Config:
    return {
        "model_type": "deberta-v2",
        "vocab_size": 128100,
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "num_attention_heads": hidden // 64,
        "intermediate_size": intermediate,
        "max_position_embeddings": 512,
        "type_vocab_size": 0,
        "position_buckets": 256,
        "relative_attention": True,
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
        "pos_att_type": "p2c|c2p",
        "position_biased_input": False,
    }


def _albert(hidden: int, intermediate: int) -> Config:
    return {**_bert(12, hidden, intermediate, vocab=30000), "model_type": "albert", "embedding_size": 128}


def _eurobert(layers: int, hidden: int, intermediate: int, *, heads: int, key_value_heads: int) -> Config:
    return {
        "model_type": "eurobert",
        "vocab_size": 128256,
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "num_attention_heads": heads,
        "num_key_value_heads": key_value_heads,
        "intermediate_size": intermediate,
    }


KNOWN: Mapping[str, Known] = {
    "minilm": Known("sentence-transformers/all-MiniLM-L6-v2", _bert(6, 384, 1536, heads=12)),
    "roberta-base": Known("FacebookAI/roberta-base", _roberta(12, 768, 3072)),
    "roberta-large": Known("FacebookAI/roberta-large", _roberta(24, 1024, 4096)),
    "distilroberta-base": Known("distilbert/distilroberta-base", _roberta(6, 768, 3072)),
    "bert-base-uncased": Known("google-bert/bert-base-uncased", _bert(12, 768, 3072)),
    "bert-base-cased": Known("google-bert/bert-base-cased", _bert(12, 768, 3072, vocab=28996)),
    "bert-large-uncased": Known("google-bert/bert-large-uncased", _bert(24, 1024, 4096)),
    "distilbert-base-uncased": Known(
        "distilbert/distilbert-base-uncased",
        {"model_type": "distilbert", "vocab_size": 30522, "n_layers": 6, "dim": 768, "hidden_dim": 3072},
    ),
    "electra-small": Known("google/electra-small-discriminator", _electra(12, 256, 1024, 128)),
    "electra-base": Known("google/electra-base-discriminator", _electra(12, 768, 3072, 768)),
    "electra-large": Known("google/electra-large-discriminator", _electra(24, 1024, 4096, 1024)),
    "deberta-v3-xsmall": Known("microsoft/deberta-v3-xsmall", _deberta_v3(12, 384, 1536)),
    "deberta-v3-small": Known("microsoft/deberta-v3-small", _deberta_v3(6, 768, 3072)),
    "deberta-v3-base": Known("microsoft/deberta-v3-base", _deberta_v3(12, 768, 3072)),
    "deberta-v3-large": Known("microsoft/deberta-v3-large", _deberta_v3(24, 1024, 4096)),
    "mpnet-base": Known(
        "microsoft/mpnet-base",
        {
            "model_type": "mpnet",
            "vocab_size": 30527,
            "num_hidden_layers": 12,
            "hidden_size": 768,
            "intermediate_size": 3072,
            "max_position_embeddings": 514,
            "num_attention_heads": 12,
        },
    ),
    "xlnet-base-cased": Known(
        "xlnet/xlnet-base-cased",
        {
            "model_type": "xlnet",
            "vocab_size": 32000,
            "n_layer": 12,
            "d_model": 768,
            "d_inner": 3072,
            "n_head": 12,
            "d_head": 64,
        },
    ),
    "modernbert-base": Known(
        "answerdotai/ModernBERT-base",
        {
            "model_type": "modernbert",
            "vocab_size": 50368,
            "num_hidden_layers": 22,
            "hidden_size": 768,
            "intermediate_size": 1152,
        },
    ),
    "modernbert-large": Known(
        "answerdotai/ModernBERT-large",
        {
            "model_type": "modernbert",
            "vocab_size": 50368,
            "num_hidden_layers": 28,
            "hidden_size": 1024,
            "intermediate_size": 2624,
            "num_attention_heads": 16,
        },
    ),
    "albert-base-v2": Known("albert/albert-base-v2", _albert(768, 3072)),
    "eurobert-210m": Known("EuroBERT/EuroBERT-210m", _eurobert(12, 768, 3072, heads=12, key_value_heads=12)),
    "eurobert-610m": Known("EuroBERT/EuroBERT-610m", _eurobert(26, 1152, 4096, heads=18, key_value_heads=6)),
}
