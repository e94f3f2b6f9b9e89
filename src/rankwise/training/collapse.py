"""Whether a trained classifier gives one answer to everything, a known end of small fine-tunes (arXiv 2006.04884)."""

import numpy as np

from rankwise.data.prepare import Split
from rankwise.recipe import TrainSpec
from rankwise.training.events import Collapsed, HistoryEntry
from rankwise.training.validation import Validation

LOOKED_AT = 200  # training rows, spread over all of them
UNEVEN = 0.8  # of the rows in one class: then always to answer with it is learnt soon, and left late
FEW_UPDATES = 100  # the least that `auto` makes


def collapse(validation: Validation, train: Split, best: HistoryEntry, spec: TrainSpec) -> Collapsed | None:
    """The one class that training rows get, though they have several; None for a classifier that tells any apart.

    Nothing is computed where the validation rows got several answers, for then their mcc is hardly ever 0.
    """
    if best.mcc != 0:
        return None
    rows = np.unique(np.linspace(0, len(train) - 1, LOOKED_AT).astype(np.int64))
    labels = train.labels[rows]
    if labels.ndim > 1:  # where a text may have no label, one answer to everything is a question of thresholds
        return None
    answers = validation.logits(train.tokens.take(rows)).argmax(-1)
    if len(np.unique(answers)) > 1 or len(np.unique(labels)) == 1:
        return None
    right = int((labels == answers[0]).sum())
    if right > UNEVEN * len(rows):
        hint = "the classes are uneven: type --set train.class_weights=balanced"
    elif best.step < FEW_UPDATES:
        hint = f"these are the weights after {best.step} updates: type --set train.min_updates={2 * FEW_UPDATES}"
    else:
        hint = f"type --set train.seed={spec.seed + 1}"
        if not spec.rate_is_idle:
            lower, higher = f"{spec.learning_rate / 10:g}", f"{spec.learning_rate * 10:g}"
            hint += f", or --set train.learning_rate={lower} if the loss has jumped, {higher} if it hardly moved"
    return Collapsed(answer=validation.classifier.classes[answers[0]], rows=len(rows), right=right, hint=hint)
