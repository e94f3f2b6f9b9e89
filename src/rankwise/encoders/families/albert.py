"""ALBERT (arXiv 1909.11942). All layers of a group share their weights, so a layer here is a group's inner layer."""

from rankwise.encoders.families import bert
from rankwise.encoders.family import Family

ALBERT = Family(
    model_types=("albert",),
    root="albert",
    sizes={
        **{letter: bert.BERT.sizes[letter] for letter in ("P", "S")},
        "depth": ("num_hidden_layers", 12),
        "H": ("hidden_size", 4096),
        "N": ("num_attention_heads", 64),
        "I": ("intermediate_size", 16384),
        "V": ("vocab_size", 30000),
        "E": ("embedding_size", 128),
        "groups": ("num_hidden_groups", 1),
        "inner": ("inner_group_num", 1),
    },
    derived={
        "L": lambda _, sizes: sizes["groups"] * sizes["inner"],
        "runs": lambda _, sizes: max(1, sizes["depth"] // sizes["groups"]),
    },
    dropouts={"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
    before="""
        embeddings.word_embeddings          table   V E
        embeddings.position_embeddings      table   P E
        embeddings.token_type_embeddings    table   S E
        embeddings.LayerNorm                norm    E
        encoder.embedding_hidden_mapping_in linear  E H
    """,
    layer_path="encoder.albert_layer_groups.{outer}.albert_layers.{inner}",
    layer="""
        full_layer_layer_norm               norm    H
        attention.query                     linear  H H  kind=query
        attention.key                       linear  H H  kind=key
        attention.value                     linear  H H  kind=value
        attention.dense                     linear  H H  kind=attention_output
        attention.LayerNorm                 norm    H
        ffn                                 linear  H I  kind=ffn_in
        ffn_output                          linear  I H  kind=ffn_out
    """,
    after="pooler linear H H",
    head="classifier linear H C",
)
