"""RoBERTa (arXiv 1907.11692), and XLM-RoBERTa and CamemBERT, which are built as it is."""

from dataclasses import replace
from typing import Any

from rankwise.encoders.families import bert


def _head(model: Any, hidden: Any) -> Any:
    head = model.classifier
    return head.out_proj(head.dropout(head.dense(head.dropout(hidden[:, 0])).tanh()))


ROBERTA = replace(
    bert.BERT,
    model_types=("roberta",),
    root="roberta",
    sizes={**bert.BERT.sizes, "V": ("vocab_size", 50265)},
    after="",
    head=bert.DENSE_HEAD,
    first_position=2,  # padding_idx + 1
    fast_path=replace(bert.FAST_PATH, head=_head),
)
XLM_ROBERTA = replace(ROBERTA, model_types=("xlm-roberta", "camembert"), sizes=bert.BERT.sizes)
