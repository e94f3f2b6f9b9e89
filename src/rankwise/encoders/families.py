"""The encoder families as a table, and the published encoders whose configuration ships with rankwise. Facts, no logic.

One table row per encoder family. A row lists the modules of transformers' `…ForSequenceClassification`, one a line:

    PATH  table ROWS WIDTH            an embedding
    PATH  linear IN OUT [kind=KIND]   a linear map (out, in) with a bias; `kind` marks the maps that can be adapted
    PATH  norm WIDTH                  a layer norm, weight and bias
    PATH  free DIM …                  a bare parameter

Dimensions are letters (H hidden, I intermediate, V vocabulary, P positions, S segments, E embedding, C classes, … read from
the config keys that `letters` names), products such as 3*H, or numbers. Options: `bias=KEY` makes the bias depend on a
config flag, `bias=no` drops it, `if=TEST` keeps the line only where the row's test holds. Tests hold every row against the
live model, name by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Config = Mapping[str, Any]


@dataclass(frozen=True)
class Family:
    """How one family names and shapes its modules; the rows' language is in this module's docstring."""

    prefix: str
    letters: Mapping[str, str]
    defaults: Mapping[str, Any]
    before: str
    layer_path: str
    layer: str
    after: str
    head: str
    first_position: int = 0
    """Where positions start counting; the embedding has that many rows no text can use."""
    takes_prefix: bool = False
    """Whether transformers lets keys and values go before a layer's own, which prefix tuning needs."""
    derived: Mapping[str, Callable[[Config], int]] = field(default_factory=dict)
    """Letters that no single key gives."""
    tests: Mapping[str, Callable[[Config, int], bool]] = field(default_factory=dict)
    """(config, layer) → whether a line marked `if=TEST` is there."""


@dataclass(frozen=True)
class Known:
    """A published encoder whose configuration ships with rankwise."""

    hub: str
    config: Config


def _relative_positions(config: Config) -> int:
    """How far DeBERTa-v2's relative positions reach each way: its buckets, else its limit, else all positions."""
    for key in ("position_buckets", "max_relative_positions"):
        if (number := config.get(key, -1)) > 0:
            return int(number)
    return int(config.get("max_position_embeddings", 512))


_BERT_LETTERS = {
    "L": "num_hidden_layers",
    "H": "hidden_size",
    "I": "intermediate_size",
    "V": "vocab_size",
    "P": "max_position_embeddings",
    "S": "type_vocab_size",
}
_BERT_DEFAULTS = {
    "num_hidden_layers": 12,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "vocab_size": 30522,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
}
_BERT_EMBEDDINGS = """
    embeddings.word_embeddings              table   V H
    embeddings.position_embeddings          table   P H
    embeddings.token_type_embeddings        table   S H
    embeddings.LayerNorm                    norm    H
"""
_BERT_LAYER = """
    attention.self.query                    linear  H H  kind=query
    attention.self.key                      linear  H H  kind=key
    attention.self.value                    linear  H H  kind=value
    attention.output.dense                  linear  H H  kind=attention_output
    attention.output.LayerNorm              norm    H
    intermediate.dense                      linear  H I  kind=ffn_in
    output.dense                            linear  I H  kind=ffn_out
    output.LayerNorm                        norm    H
"""
_DENSE_HEAD = """
    classifier.dense                        linear  H H
    classifier.out_proj                     linear  H C
"""
_ROBERTA = Family(
    prefix="roberta",
    letters=_BERT_LETTERS,
    defaults={**_BERT_DEFAULTS, "vocab_size": 50265},
    before=_BERT_EMBEDDINGS,
    layer_path="encoder.layer.{layer}",
    layer=_BERT_LAYER,
    after="",
    head=_DENSE_HEAD,
    first_position=2,  # padding_idx + 1
    takes_prefix=True,
)

FAMILIES: Mapping[str, Family] = {
    "bert": Family(
        prefix="bert",
        letters=_BERT_LETTERS,
        defaults=_BERT_DEFAULTS,
        before=_BERT_EMBEDDINGS,
        layer_path="encoder.layer.{layer}",
        layer=_BERT_LAYER,
        after="pooler.dense linear H H",
        head="classifier linear H C",
        takes_prefix=True,
    ),
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "camembert": _ROBERTA,
    "distilbert": Family(
        prefix="distilbert",
        letters={"L": "n_layers", "H": "dim", "I": "hidden_dim", "V": "vocab_size", "P": "max_position_embeddings"},
        defaults={"n_layers": 6, "dim": 768, "hidden_dim": 3072, "vocab_size": 30522, "max_position_embeddings": 512},
        before="""
            embeddings.word_embeddings      table   V H
            embeddings.position_embeddings  table   P H
            embeddings.LayerNorm            norm    H
        """,
        layer_path="transformer.layer.{layer}",
        layer="""
            attention.q_lin                 linear  H H  kind=query
            attention.k_lin                 linear  H H  kind=key
            attention.v_lin                 linear  H H  kind=value
            attention.out_lin               linear  H H  kind=attention_output
            sa_layer_norm                   norm    H
            ffn.lin1                        linear  H I  kind=ffn_in
            ffn.lin2                        linear  I H  kind=ffn_out
            output_layer_norm               norm    H
        """,
        after="",
        head="""
            pre_classifier                  linear  H H
            classifier                      linear  H C
        """,
    ),
    "electra": Family(
        prefix="electra",
        letters={**_BERT_LETTERS, "E": "embedding_size"},
        defaults={**_BERT_DEFAULTS, "hidden_size": 256, "intermediate_size": 1024, "embedding_size": 128},
        before="""
            embeddings.word_embeddings        table   V E
            embeddings.position_embeddings    table   P E
            embeddings.token_type_embeddings  table   S E
            embeddings.LayerNorm              norm    E
            embeddings_project                linear  E H  if=projected
        """,
        layer_path="encoder.layer.{layer}",
        layer=_BERT_LAYER,
        after="",
        head=_DENSE_HEAD,
        tests={"projected": lambda config, _: config.get("embedding_size", 128) != config.get("hidden_size", 256)},
        takes_prefix=True,
    ),
    "deberta-v2": Family(
        prefix="deberta",
        letters={**_BERT_LETTERS, "K": "conv_kernel_size"},
        derived={"B": _relative_positions},
        defaults={
            **_BERT_DEFAULTS,
            "vocab_size": 128100,
            "hidden_size": 1536,
            "num_hidden_layers": 24,
            "intermediate_size": 6144,
            "type_vocab_size": 0,
            "conv_kernel_size": 0,
        },
        before="""
            embeddings.word_embeddings        table   V H
            embeddings.position_embeddings    table   P H  if=absolute
            embeddings.token_type_embeddings  table   S H  if=segments
            embeddings.LayerNorm              norm    H
        """,
        layer_path="encoder.layer.{layer}",
        layer="""
            attention.self.query_proj         linear  H H  kind=query
            attention.self.key_proj           linear  H H  kind=key
            attention.self.value_proj         linear  H H  kind=value
            attention.self.pos_key_proj       linear  H H  if=own-position-keys
            attention.self.pos_query_proj     linear  H H  if=own-position-queries
            attention.output.dense            linear  H H  kind=attention_output
            attention.output.LayerNorm        norm    H
            intermediate.dense                linear  H I  kind=ffn_in
            output.dense                      linear  I H  kind=ffn_out
            output.LayerNorm                  norm    H
        """,
        after="""
            encoder.rel_embeddings            table   2*B H  if=relative
            encoder.LayerNorm                 norm    H      if=relative-norm
            encoder.conv.conv.weight          free    H H K  if=convolution
            encoder.conv.conv.bias            free    H      if=convolution
            encoder.conv.LayerNorm            norm    H      if=convolution
        """,
        head="""
            pooler.dense                      linear  H H
            classifier                        linear  H C
        """,
        tests={
            "absolute": lambda config, _: bool(config.get("position_biased_input", True)),
            "segments": lambda config, _: config.get("type_vocab_size", 0) > 0,
            "relative": lambda config, _: bool(config.get("relative_attention", False)),
            "relative-norm": lambda config, _: "layer_norm" in str(config.get("norm_rel_ebd", "none")),
            "convolution": lambda config, _: config.get("conv_kernel_size", 0) > 0,
            "own-position-keys": lambda config, _: _own_position(config, "c2p"),
            "own-position-queries": lambda config, _: _own_position(config, "p2c"),
        },
    ),
    "mpnet": Family(
        prefix="mpnet",
        letters={**_BERT_LETTERS, "N": "num_attention_heads", "B": "relative_attention_num_buckets"},
        defaults={**_BERT_DEFAULTS, "vocab_size": 30527, "num_attention_heads": 12, "relative_attention_num_buckets": 32},
        before="""
            embeddings.word_embeddings      table   V H
            embeddings.position_embeddings  table   P H
            embeddings.LayerNorm            norm    H
        """,
        layer_path="encoder.layer.{layer}",
        layer="""
            attention.attn.q                linear  H H  kind=query
            attention.attn.k                linear  H H  kind=key
            attention.attn.v                linear  H H  kind=value
            attention.attn.o                linear  H H  kind=attention_output
            attention.LayerNorm             norm    H
            intermediate.dense              linear  H I  kind=ffn_in
            output.dense                    linear  I H  kind=ffn_out
            output.LayerNorm                norm    H
        """,
        after="encoder.relative_attention_bias table B N",
        head=_DENSE_HEAD,
        first_position=2,
    ),
    "xlnet": Family(  # its attention maps are bare 3-D tensors, which low-rank adapters of linear maps cannot reach
        prefix="transformer",
        letters={"L": "n_layer", "H": "d_model", "I": "d_inner", "V": "vocab_size", "N": "n_head"},
        derived={"D": lambda config: config.get("d_head") or config.get("d_model", 1024) // config.get("n_head", 16)},
        defaults={"n_layer": 24, "d_model": 1024, "d_inner": 4096, "vocab_size": 32000, "n_head": 16},
        before="""
            mask_emb                        free    1 1 H
            word_embedding                  table   V H
        """,
        layer_path="layer.{layer}",
        layer="""
            rel_attn.q                      free    H N D
            rel_attn.k                      free    H N D
            rel_attn.v                      free    H N D
            rel_attn.o                      free    H N D
            rel_attn.r                      free    H N D
            rel_attn.r_r_bias               free    N D
            rel_attn.r_s_bias               free    N D
            rel_attn.r_w_bias               free    N D
            rel_attn.seg_embed              free    2 N D
            rel_attn.layer_norm             norm    H
            ff.layer_norm                   norm    H
            ff.layer_1                      linear  H I  kind=ffn_in
            ff.layer_2                      linear  I H  kind=ffn_out
        """,
        after="",
        head="""
            sequence_summary.summary        linear  H H
            logits_proj                     linear  H C
        """,
    ),
    "modernbert": Family(
        prefix="model",
        letters={"L": "num_hidden_layers", "H": "hidden_size", "I": "intermediate_size", "V": "vocab_size"},
        defaults={"num_hidden_layers": 22, "hidden_size": 768, "intermediate_size": 1152, "vocab_size": 50368},
        before="""
            embeddings.tok_embeddings       table   V H
            embeddings.norm                 norm    H      bias=norm_bias
        """,
        layer_path="layers.{layer}",
        layer="""
            attn_norm                       norm    H      bias=norm_bias  if=not-first
            attn.Wqkv                       linear  H 3*H  bias=attention_bias  kind=query_key_value
            attn.Wo                         linear  H H    bias=attention_bias  kind=attention_output
            mlp_norm                        norm    H      bias=norm_bias
            mlp.Wi                          linear  H 2*I  bias=mlp_bias  kind=ffn_in
            mlp.Wo                          linear  I H    bias=mlp_bias  kind=ffn_out
        """,
        after="final_norm norm H bias=norm_bias",
        head="""
            head.dense                      linear  H H    bias=classifier_bias
            head.norm                       norm    H      bias=norm_bias
            classifier                      linear  H C
        """,
        tests={"not-first": lambda _, layer: layer > 0},
    ),
    "albert": Family(  # all layers of a group share their weights, so a layer here is a group's inner layer
        prefix="albert",
        letters={
            **_BERT_LETTERS,
            "L": "num_hidden_groups*inner_group_num",
            "inner": "inner_group_num",
            "E": "embedding_size",
        },
        defaults={
            **_BERT_DEFAULTS,
            "vocab_size": 30000,
            "hidden_size": 4096,
            "intermediate_size": 16384,
            "embedding_size": 128,
            "num_hidden_groups": 1,
            "inner_group_num": 1,
        },
        before="""
            embeddings.word_embeddings        table   V E
            embeddings.position_embeddings    table   P E
            embeddings.token_type_embeddings  table   S E
            embeddings.LayerNorm              norm    E
            encoder.embedding_hidden_mapping_in  linear  E H
        """,
        layer_path="encoder.albert_layer_groups.{outer}.albert_layers.{inner}",
        layer="""
            full_layer_layer_norm             norm    H
            attention.query                   linear  H H  kind=query
            attention.key                     linear  H H  kind=key
            attention.value                   linear  H H  kind=value
            attention.dense                   linear  H H  kind=attention_output
            attention.LayerNorm               norm    H
            ffn                               linear  H I  kind=ffn_in
            ffn_output                        linear  I H  kind=ffn_out
        """,
        after="pooler linear H H",
        head="classifier linear H C",
    ),
}


def _own_position(config: Config, kind: str) -> bool:
    """DeBERTa-v2 has position projections of its own where attention is relative and doesn't share the content ones."""
    own = config.get("relative_attention", False) and not config.get("share_att_key", False)
    return bool(own) and kind in str(config.get("pos_att_type", ""))


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
}
