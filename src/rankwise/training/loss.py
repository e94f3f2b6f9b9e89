"""What training minimises: the torch half of a task. Shapes: B rows, C classes.

A micro-batch's loss is summed, and divided by what the rows of the whole update weigh, so that cutting an update up changes
nothing but memory.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from rankwise.data.batches import Rows
from rankwise.data.prepare import Prepared
from rankwise.errors import TrainingError, nearest
from rankwise.recipe import TrainSpec


class SingleLabelLoss:
    """Cross-entropy of one class per text, weighted by class and smoothed as the recipe says.

    Raises TrainingError for a weight of a class that is not there.
    """

    def __init__(self, spec: TrainSpec, data: Prepared, device: torch.device) -> None:
        self.labels = data.train.labels
        self.label_smoothing = spec.label_smoothing
        counts = np.bincount(self.labels, minlength=len(data.classes)).tolist()
        self.weights = class_weights(spec, dict(zip(data.classes, counts, strict=True)))
        self.weights_on_device = None if self.weights is None else self.weights.to(device)

    def __call__(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The loss, (), summed over rows, of logits (B, C) for class numbers (B,)."""
        weights = None if self.weights_on_device is None else self.weights_on_device.to(logits)
        return cross_entropy(logits, labels, weight=weights, label_smoothing=self.label_smoothing, reduction="sum")

    def right(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """How many rows are right, ()."""
        return (logits.argmax(-1) == labels).sum()

    def weight_of(self, rows: Rows) -> float:
        """What these training rows weigh together: their number, or the sum of their classes' weights."""
        if self.weights is None:
            return float(len(rows))
        return float(self.weights[torch.from_numpy(self.labels[rows])].sum())


def class_weights(spec: TrainSpec, counts: Mapping[str, int]) -> torch.Tensor | None:
    """Loss weight of each class (C,), in the order of `counts`; balanced means rows / (C · rows of the class)."""
    if spec.class_weights == "none":
        return None
    if spec.class_weights == "balanced":
        rows = sum(counts.values())
        return torch.tensor([rows / (len(counts) * max(1, count)) for count in counts.values()])
    for name in spec.class_weights:
        if name not in counts:
            raise TrainingError(
                f"train.class_weights has '{name}', which is no class; expected {', '.join(counts)}{nearest(name, counts)}"
            )
    return torch.tensor([float(spec.class_weights.get(name, 1.0)) for name in counts])
