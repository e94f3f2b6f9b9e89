"""RoBERTa (arXiv 1907.11692), and XLM-RoBERTa and CamemBERT, which are built as it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rankwise.encoders.families import bert
from rankwise.encoders.family import register


def _positions_of(embeddings: Any, ids: Any) -> Any:
    """Positions (B, T) that count on from the padding's number, which padding keeps."""
    padding = embeddings.position_embeddings.padding_idx
    seen = ids.ne(padding).int()
    return (seen.cumsum(1).type_as(seen) * seen).long() + padding


def _embed(encoder: Any, inputs: Mapping[str, Any]) -> Any:
    return bert.embed(encoder, inputs, _positions_of)


def _head(model: Any, hidden: Any) -> Any:
    head = model.classifier
    return head.out_proj(head.dropout(head.dense(head.dropout(hidden[:, 0])).tanh()))


ROBERTA = register(
    replace(
        bert.BERT,
        model_types=("roberta",),
        root="roberta",
        sizes={**bert.BERT.sizes, "V": ("vocab_size", 50265)},
        after="",
        head=bert.DENSE_HEAD,
        first_position=2,  # padding_idx + 1
        fast_path=replace(bert.FAST_PATH, embed=_embed, head=_head),
    )
)
register(replace(ROBERTA, model_types=("xlm-roberta", "camembert"), sizes=bert.BERT.sizes))
