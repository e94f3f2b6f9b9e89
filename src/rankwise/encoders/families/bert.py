"""BERT (arXiv 1810.04805), from which other families differ in a few lines."""

from collections.abc import Mapping
from typing import Any

from rankwise.encoders.family import Family, FastPath

DENSE_HEAD = """
    classifier.dense                  linear  H H
    classifier.out_proj               linear  H C
"""


def embed(encoder: Any, inputs: Mapping[str, Any]) -> Any:
    """What enters the first layer (B, T, H), or (B, T, E) where embeddings are narrower; there may be no token types."""
    embeddings, ids = encoder.embeddings, inputs["input_ids"]
    embedded = embeddings.word_embeddings(ids)
    if hasattr(embeddings, "token_type_embeddings"):
        types = inputs["token_type_ids"] if "token_type_ids" in inputs else ids.new_zeros(ids.shape)
        embedded = embedded + embeddings.token_type_embeddings(types)
    positions = inputs.get("position_ids")
    if positions is None:
        positions = _positions(ids, embeddings.position_embeddings.padding_idx)
    return embeddings.dropout(embeddings.LayerNorm(embedded + embeddings.position_embeddings(positions)))


def _positions(ids: Any, padding: int | None) -> Any:
    """Positions from 0 (1, T); where padding has a number, from that number on in each text (B, T), and padding keeps it."""
    if padding is None:
        return ids.new_ones((1, ids.shape[1])).cumsum(1) - 1
    seen = ids.ne(padding).int()
    return (seen.cumsum(1).type_as(seen) * seen).long() + padding


def _head(model: Any, hidden: Any) -> Any:
    pooled = model.bert.pooler.dense(hidden[:, 0]).tanh()  # (B, H)
    return model.classifier(model.dropout(pooled))


FAST_PATH = FastPath(
    attention_dropout="attention.self.dropout",
    attention_output_dropout="attention.output.dropout",
    attention_norm="attention.output.LayerNorm",
    activation="intermediate.intermediate_act_fn",
    ffn_dropout="output.dropout",
    ffn_norm="output.LayerNorm",
    embed=embed,
    head=_head,
)

BERT = Family(
    model_types=("bert",),
    root="bert",
    sizes={
        "L": ("num_hidden_layers", 12),
        "H": ("hidden_size", 768),
        "N": ("num_attention_heads", 12),
        "I": ("intermediate_size", 3072),
        "V": ("vocab_size", 30522),
        "P": ("max_position_embeddings", 512),
        "S": ("type_vocab_size", 2),
    },
    dropouts={"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1},
    before="""
        embeddings.word_embeddings        table   V H
        embeddings.position_embeddings    table   P H
        embeddings.token_type_embeddings  table   S H
        embeddings.LayerNorm              norm    H
    """,
    layer_path="encoder.layer.{layer}",
    layer="""
        attention.self.query              linear  H H  kind=query
        attention.self.key                linear  H H  kind=key
        attention.self.value              linear  H H  kind=value
        attention.output.dense            linear  H H  kind=attention_output
        attention.output.LayerNorm        norm    H
        intermediate.dense                linear  H I  kind=ffn_in
        output.dense                      linear  I H  kind=ffn_out
        output.LayerNorm                  norm    H
    """,
    after="pooler.dense linear H H",
    head="classifier linear H C",
    takes_prefix=True,
    fast_path=FAST_PATH,
)
