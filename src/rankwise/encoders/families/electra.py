"""ELECTRA's discriminator (arXiv 2003.10555): BERT's layers, on embeddings that may be narrower."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rankwise.encoders.families import bert


def _embed(encoder: Any, inputs: Mapping[str, Any]) -> Any:
    embedded = bert.embed(encoder, inputs)  # (B, T, E)
    return encoder.embeddings_project(embedded) if hasattr(encoder, "embeddings_project") else embedded


def _head(model: Any, hidden: Any) -> Any:
    head = model.classifier
    return head.out_proj(head.dropout(head.activation(head.dense(head.dropout(hidden[:, 0])))))


ELECTRA = replace(
    bert.BERT,
    model_types=("electra",),
    root="electra",
    sizes={
        **bert.BERT.sizes,
        "H": ("hidden_size", 256),
        "N": ("num_attention_heads", 4),
        "I": ("intermediate_size", 1024),
        "E": ("embedding_size", 128),
    },
    before="""
        embeddings.word_embeddings        table   V E
        embeddings.position_embeddings    table   P E
        embeddings.token_type_embeddings  table   S E
        embeddings.LayerNorm              norm    E
        embeddings_project                linear  E H  if=projected
    """,
    after="",
    head=bert.DENSE_HEAD,
    tests={"projected": lambda config, _: config.get("embedding_size", 128) != config.get("hidden_size", 256)},
    fast_path=replace(bert.FAST_PATH, embed=_embed, head=_head, head_activation=("classifier.activation", "gelu")),
)
