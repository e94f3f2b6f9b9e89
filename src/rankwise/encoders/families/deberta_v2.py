"""DeBERTa-v2 and v3 (arXiv 2006.03654, 2111.09543): attention over relative positions too."""

from collections.abc import Mapping

from rankwise.encoders.families import bert
from rankwise.encoders.family import Config, Family


def _relative_positions(config: Config, sizes: Mapping[str, int]) -> int:
    """How far relative positions reach each way: their buckets, else their limit, else all positions."""
    for key in ("position_buckets", "max_relative_positions"):
        if (number := config.get(key, -1)) > 0:
            return int(number)
    return sizes["P"]


def _has_own_position_layer(config: Config, term: str) -> bool:
    """Positions have projections of their own where attention is relative and does not share those of the content."""
    own = config.get("relative_attention", False) and not config.get("share_att_key", False)
    return bool(own) and term in str(config.get("pos_att_type", ""))


DEBERTA_V2 = Family(
    model_types=("deberta-v2",),
    root="deberta",
    sizes={
        **bert.BERT.sizes,
        "L": ("num_hidden_layers", 24),
        "H": ("hidden_size", 1536),
        "N": ("num_attention_heads", 24),
        "I": ("intermediate_size", 6144),
        "V": ("vocab_size", 128100),
        "S": ("type_vocab_size", 0),
        "K": ("conv_kernel_size", 0),
    },
    derived={"B": _relative_positions},
    dropouts=bert.BERT.dropouts,
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
        "own-position-keys": lambda config, _: _has_own_position_layer(config, "c2p"),
        "own-position-queries": lambda config, _: _has_own_position_layer(config, "p2c"),
    },
)
