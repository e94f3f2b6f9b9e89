"""RoBERTa (arXiv 1907.11692), and XLM-RoBERTa and CamemBERT, which are built as it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rankwise.encoders.families import bert
from rankwise.encoders.family import Family, register


def dense_head(model: Any, hidden: Any) -> Any:
    """Logits (B, C) of a head of two layers, which takes the first token itself."""
    return model.classifier(hidden)


ROBERTA = register(
    Family(
        model_types=("roberta",),
        root="roberta",
        letters=bert.LETTERS,
        defaults={**bert.DEFAULTS, "vocab_size": 50265},
        dropouts=bert.DROPOUTS,
        before=bert.EMBEDDINGS,
        layer_path="encoder.layer.{layer}",
        layer=bert.LAYER,
        after="",
        head=bert.DENSE_HEAD,
        first_position=2,  # padding_idx + 1
        takes_prefix=True,
        fast_path=replace(bert.FAST_PATH, head=dense_head),
    )
)
register(replace(ROBERTA, model_types=("xlm-roberta", "camembert"), defaults=bert.DEFAULTS))
