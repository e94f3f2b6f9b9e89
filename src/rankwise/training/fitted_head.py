"""A head that starts as a logistic regression on the frozen encoder's features: linear probing before fine-tuning.

Kumar et al., arXiv 2202.10054. Shapes: N rows, H hidden, C classes.
"""

from __future__ import annotations

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from rankwise.data.batches import Padding
from rankwise.data.prepare import Split
from rankwise.inference.features import head_features
from rankwise.model.classifier import Classifier
from rankwise.model.hidden_cache import HiddenStates

HEAD_ROWS = 2_000  # texts whose features a head is fitted on, where no cache makes them cheap


def fit_head(
    classifier: Classifier, split: Split, *, padding: Padding, precision: str, seed: int, hidden: HiddenStates | None = None
) -> int:
    """Put the fitted regression into the head's last projection; returns the rows that it was fitted on.

    Features are those of the model as it starts, in eval mode; classes that the rows lack keep their start.
    """
    rows = np.random.default_rng(seed).permutation(len(split))[: len(split) if hidden is not None else HEAD_ROWS]
    features = head_features(classifier, split.tokens, rows, padding=padding, precision=precision, hidden=hidden)  # (N, H)
    labels = split.labels[rows]
    present = np.unique(labels)
    if len(present) < 2:
        return 0
    fitted = LogisticRegression(max_iter=200).fit(features, labels)
    weight, bias = fitted.coef_, fitted.intercept_  # (C, H), (C,); one row for two classes
    if len(present) == 2:
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    last = classifier.last_projection
    with torch.no_grad():
        last.weight[present] = torch.as_tensor(weight, dtype=last.weight.dtype, device=last.weight.device)
        if last.bias is not None:
            last.bias[present] = torch.as_tensor(bias, dtype=last.bias.dtype, device=last.bias.device)
    return len(rows)
