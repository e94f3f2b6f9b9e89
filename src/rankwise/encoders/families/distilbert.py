"""DistilBERT (arXiv 1910.01108): BERT's layers under other names, without token types."""

from typing import Any

from rankwise.encoders.families import bert
from rankwise.encoders.family import Family, FastPath


def _head(model: Any, hidden: Any) -> Any:
    return model.classifier(model.dropout(model.pre_classifier(hidden[:, 0]).relu()))


DISTILBERT = Family(
    model_types=("distilbert",),
    root="distilbert",
    sizes={
        "L": ("n_layers", 6),
        "H": ("dim", 768),
        "N": ("n_heads", 12),
        "I": ("hidden_dim", 3072),
        "V": ("vocab_size", 30522),
        "P": ("max_position_embeddings", 512),
    },
    dropouts={"dropout": 0.1, "attention_dropout": 0.1},
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
    head="""
        pre_classifier                  linear  H H
        classifier                      linear  H C
    """,
    fast_path=FastPath(
        attention_dropout="attention.dropout",
        attention_norm="sa_layer_norm",
        activation="ffn.activation",
        activation_key="activation",
        ffn_dropout="ffn.dropout",
        ffn_norm="output_layer_norm",
        embed=bert.embed,
        head=_head,
    ),
)
