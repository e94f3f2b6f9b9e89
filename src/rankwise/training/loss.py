"""What training minimises: the torch half of a task. Shapes: B rows, C classes.

A micro-batch's loss is summed, and divided by what the rows of the whole update weigh, so that cutting an update up changes
nothing but memory.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, normalize

from rankwise.data.batches import Rows
from rankwise.data.prepare import Prepared
from rankwise.data.tasks import LABEL_COLUMNS, MULTI_LABEL, ORDERED, REGRESSION, Labels, Regression
from rankwise.errors import TrainingError, nearest
from rankwise.model.classifier import Classifier
from rankwise.recipe import TrainSpec

LEAST_DOUBT = 1e-12
"""Where a row's 1 - p is taken as constant: powers below 1 have no finite slope at 0."""


class Loss(Protocol):
    """What is minimised, of logits (B, C) for labels as the task has them."""

    def __call__(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The loss, (), summed over rows."""

    def right(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """How many rows are right, (); of numbers the sum of what `Task.credit` says of each."""

    def weight_of(self, rows: Rows) -> float:
        """What these training rows weigh together."""


def loss_of(spec: TrainSpec, data: Prepared, device: torch.device) -> Loss:
    """The loss of the data's task. Raises TrainingError for what the recipe asks for and the task does not have."""
    losses: dict[str, Callable[..., Loss]] = {
        ORDERED: OrderedLoss,
        MULTI_LABEL: MultiLabelLoss,
        LABEL_COLUMNS: LabelColumnsLoss,
        REGRESSION: RegressionLoss,
    }
    return losses.get(data.task.name, SingleLabelLoss)(spec, data, device)


class LabelColumnsLoss:
    """Cross-entropy of each label column, the mean over columns; a label that is missing adds nothing.

    Raises TrainingError for weights of classes and focal loss, which several columns do not have.
    """

    def __init__(self, spec: TrainSpec, data: Prepared, device: torch.device) -> None:
        del device
        asked = {"train.class_weights": spec.class_weights != "none", "train.focal": bool(spec.focal)}
        if idle := [key for key, is_asked in asked.items() if is_asked]:
            raise TrainingError(
                f"{idle[0]} is for one label column or several labels; leave it out, or train a run for a column"
            )
        self.sizes = list((data.preprocessing.columns or {}).values())
        self.label_smoothing = spec.label_smoothing

    def __call__(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        loss = logits.new_zeros(())
        for part, truth in zip(torch.split(logits, self.sizes, 1), torch.split(labels, self.sizes, 1), strict=True):
            known = truth[:, 0] >= 0
            losses = cross_entropy(part, truth.argmax(1), label_smoothing=self.label_smoothing, reduction="none")
            loss = loss + torch.where(known, losses, 0.0).sum()
        return loss / len(self.sizes)

    def right(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        rights = [
            (part.argmax(1) == truth.argmax(1)) | (truth[:, 0] < 0)
            for part, truth in zip(torch.split(logits, self.sizes, 1), torch.split(labels, self.sizes, 1), strict=True)
        ]
        return torch.stack(rights).all(0).sum()

    def weight_of(self, rows: Rows) -> float:
        return float(len(rows))


class RegressionLoss:
    """The squared error of standardised labels."""

    def __init__(self, spec: TrainSpec, data: Prepared, device: torch.device) -> None:
        del spec, device
        assert isinstance(data.task, Regression), "numbers are estimated"
        self.mean, self.deviation = data.task.mean, data.task.deviation

    def __call__(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return self._squares(logits, labels).sum()

    def right(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return (1 - self._squares(logits, labels)).sum()

    def weight_of(self, rows: Rows) -> float:
        return float(len(rows))

    def _squares(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """(B,) of each row."""
        wanted = ((labels - self.mean) / self.deviation).to(logits)
        return (logits[:, 0] - wanted) ** 2


class MultiLabelLoss:
    """Binary cross-entropy of each answer, the mean over classes, positives weighted by class as the recipe says.

    As transformers' classifiers have it for `multi_label_classification`; smoothed labels lie so far from 0 and 1, and an
    answer that is already right weighs less with `train.focal`.
    """

    def __init__(self, spec: TrainSpec, data: Prepared, device: torch.device) -> None:
        self.smoothing, self.focal = spec.label_smoothing, spec.focal
        self.weights = positive_weights(spec, data.train.labels, data.classes)
        self.weights_on_device = None if self.weights is None else self.weights.to(device)

    def __call__(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        weights = None if self.weights_on_device is None else self.weights_on_device.to(logits)
        wanted = labels.to(logits) * (1 - self.smoothing) + self.smoothing / 2
        losses = binary_cross_entropy_with_logits(logits, wanted, pos_weight=weights, reduction="none")
        if self.focal:
            doubt = torch.sigmoid(torch.where(labels == 1, -logits, logits))
            losses = losses * doubt.clamp_min(LEAST_DOUBT) ** self.focal
        return losses.sum() / labels.shape[1]

    def right(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return ((logits > 0) == (labels == 1)).all(dim=1).sum()

    def weight_of(self, rows: Rows) -> float:
        return float(len(rows))


class SingleLabelLoss:
    """Cross-entropy of one class per text, weighted by class, smoothed or focal as the recipe says.

    Raises TrainingError for a weight of a class that is not there.
    """

    def __init__(self, spec: TrainSpec, data: Prepared, device: torch.device) -> None:
        self.labels = data.train.labels
        self.label_smoothing, self.focal = spec.label_smoothing, spec.focal
        self.weights = class_weights(spec, self.labels, data.classes)
        self.weights_on_device = None if self.weights is None else self.weights.to(device)

    def __call__(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The loss, (), summed over rows, of logits (B, C) for class numbers (B,)."""
        weights = None if self.weights_on_device is None else self.weights_on_device.to(logits)
        if self.focal:
            return focal_loss(logits, labels, gamma=self.focal, weights=weights)
        return cross_entropy(logits, labels, weight=weights, label_smoothing=self.label_smoothing, reduction="sum")

    def right(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """How many rows are right, ()."""
        return (logits.argmax(-1) == labels).sum()

    def weight_of(self, rows: Rows) -> float:
        """What these training rows weigh together: their number, or the sum of their classes' weights."""
        if self.weights is None:
            return float(len(rows))
        return float(self.weights[torch.from_numpy(self.labels[rows])].sum())


class OrderedLoss(SingleLabelLoss):
    """As of single labels, with the squared earth mover's distance beside it, so that what is farther off costs more.

    That is the squared difference of cumulated probabilities, summed over classes (Hou et al., arXiv 1611.05916).
    """

    def __call__(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        weights = 1.0 if self.weights_on_device is None else self.weights_on_device.to(logits)[labels]
        wanted = torch.arange(logits.shape[1], device=logits.device) >= labels[:, None]  # (B, C), cumulated
        squares = (logits.softmax(1).cumsum(1) - wanted.to(logits)) ** 2
        return super().__call__(logits, labels) + (squares.sum(1) * weights).sum()

    def right(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return ((logits.softmax(1).cumsum(1) >= 0.5).int().argmax(1) == labels).sum()


def focal_loss(
    logits: torch.Tensor, labels: torch.Tensor, *, gamma: float, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """The sum over rows of w · (1 - p)^gamma · -ln p, (), with p the probability of a row's own class, w that class's weight.

    logits (B, C), class numbers (B,), weights (C,): the focal loss of Lin et al. (arXiv 1708.02002), equation 5, in softmax.
    """
    missed = cross_entropy(logits, labels, reduction="none")  # (B,), -ln p
    doubt = (-torch.expm1(-missed)).clamp_min(LEAST_DOUBT)  # (B,), 1 - p
    focal = doubt**gamma * missed
    return (focal if weights is None else weights[labels] * focal).sum()


class Contrast:
    """The squared error of cosines within an update, 1 for two texts of a class and 0 for others, each half counted alike.

    As SetFit trains (arXiv 2209.11055), with every pair that the rows of a micro-batch make, so its cost is linear in rows.
    """

    def __init__(self, classifier: Classifier, weight: float) -> None:
        self.weight = weight
        self._read: list[torch.Tensor] = []
        classifier.last_projection.register_forward_pre_hook(self._note)

    def __call__(self, labels: torch.Tensor, windows: torch.Tensor | None = None) -> torch.Tensor:
        """The loss, (), summed over rows, of what the head has just read (W, H) for class numbers (B,)."""
        read = text_means(self._read.pop(), windows)
        unit = normalize(read.float(), dim=1)
        same = labels[:, None] == labels[None]  # (B, B), or with several labels (B, B, C)
        same = same.all(dim=2) if same.ndim > 2 else same
        error = (unit @ unit.T - same.to(unit.dtype)) ** 2
        others = ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        halves = [error[pairs].mean() for pairs in (same & others, ~same) if pairs.any()]
        return self.weight * len(labels) * torch.stack(halves).sum() if halves else read.sum() * 0

    def _note(self, _: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if inputs[0].requires_grad:  # not where texts are scored
            self._read[:] = [inputs[0]]


def weights_of_classes(spec: TrainSpec, labels: Labels, classes: Sequence[str]) -> torch.Tensor | None:
    """What each class weighs (C,), for training rows with these labels, (N,) or (N, C); None where all weigh alike."""
    if spec.class_weights == "none":
        return None
    return (class_weights if labels.ndim == 1 else positive_weights)(spec, labels, classes)


def positive_weights(spec: TrainSpec, labels: NDArray[np.int64], classes: Sequence[str]) -> torch.Tensor | None:
    """What a text's having each class weighs (C,), for training rows with these labels (N, C); None where all weigh alike.

    Balanced means as much, all rows together, as that other rows do not have it. Raises TrainingError for a class that is
    not there.
    """
    if spec.class_weights == "none":
        return None
    if spec.class_weights == "balanced":
        having = np.maximum(1, (labels == 1).sum(axis=0))
        return torch.from_numpy(((len(labels) - having) / having).astype(np.float32))
    return _named_weights(spec.class_weights, classes)


def text_means(values: torch.Tensor, windows: torch.Tensor | None) -> torch.Tensor:
    """The mean of each text's windows (B, D), of which it has `windows` (B,), end to end (W, D); None where each has one."""
    if windows is None:
        return values
    text = torch.repeat_interleave(windows)
    return values.new_zeros(len(windows), values.shape[1]).index_add(0, text, values) / windows[:, None]


def class_weights(spec: TrainSpec, labels: NDArray[np.int64], classes: Sequence[str]) -> torch.Tensor | None:
    """Loss weight of each class (C,), for training rows with these class numbers (N,); None where all weigh alike.

    Balanced means rows / (C · rows of the class).
    """
    counts = dict(zip(classes, np.bincount(labels, minlength=len(classes)).tolist(), strict=True))
    if spec.class_weights == "none":
        return None
    if spec.class_weights == "balanced":
        rows = sum(counts.values())
        return torch.tensor([rows / (len(counts) * max(1, count)) for count in counts.values()])
    return _named_weights(spec.class_weights, classes)


def _named_weights(weights: Mapping[str, float], classes: Sequence[str]) -> torch.Tensor:
    """The weight of each class (C,), 1 where none is named. Raises TrainingError for a name that is no class."""
    for name in weights:
        if name not in classes:
            raise TrainingError(
                f"train.class_weights has '{name}', which is no class; expected {', '.join(classes)}{nearest(name, classes)}"
            )
    return torch.tensor([float(weights.get(name, 1.0)) for name in classes])
