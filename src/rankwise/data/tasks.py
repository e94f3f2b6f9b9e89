"""What a classifier decides about a text, and how right it is: from labels to class numbers, from logits to scores.

One task today, a single label per text. Another one (several labels, ordered labels, pairs of texts) is another class with
these methods; what torch computes of it, the loss, is in training/loss.py under the task's name. Shapes: N rows, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from rankwise.data.labels import numbers_of
from rankwise.stats import scores as stats

if TYPE_CHECKING:
    from rankwise.data.files.table import Table
    from rankwise.recipe import DataSpec, EvaluateSpec

Probabilities = NDArray[np.float64]
Labels = NDArray[np.int64]


class Task(Protocol):
    """The steps between a label's text, a classifier's logits and a score."""

    name: ClassVar[str]

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of their numbers."""

    def parse(self, table: Table, numbering: Sequence[str], spec: DataSpec) -> Labels:
        """The labels of a table as class numbers (N,), -1 for a class that is not known. Raises DataError."""

    def probabilities(self, logits: NDArray[np.float32]) -> Probabilities:
        """Logits (N, C) → probabilities (N, C)."""

    def decide(self, probabilities: Probabilities) -> Labels:
        """Probabilities (N, C) → class numbers (N,)."""

    def confusion(self, truth: Labels, decided: Labels) -> NDArray[np.int64]:
        """How often class i, down, was taken for class j, across: (C, C); rows of unknown classes are left out."""

    def scores(self, probabilities: Probabilities, truth: Labels, spec: EvaluateSpec) -> stats.Scores:
        """Every score with its interval."""

    def quick_scores(self, probabilities: Probabilities, truth: Labels) -> dict[str, float]:
        """The scores that choose a checkpoint, without intervals."""


@dataclass(frozen=True)
class SingleLabel:
    """One class per text: a softmax over the classes, of which the likeliest is the decision."""

    name: ClassVar[str] = "single-label"
    classes: tuple[str, ...]

    def parse(self, table: Table, numbering: Sequence[str], spec: DataSpec) -> Labels:
        """The labels of a table as class numbers (N,), -1 for a class that is not known. Raises DataError."""
        return numbers_of(table, self.classes, tuple(numbering), spec)

    def probabilities(self, logits: NDArray[np.float32]) -> Probabilities:
        """The softmax of logits (N, C), in double precision."""
        shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
        exponents = np.exp(shifted)
        return np.asarray(exponents / exponents.sum(axis=-1, keepdims=True))

    def decide(self, probabilities: Probabilities) -> Labels:
        """The likeliest class of each row (N,)."""
        return np.asarray(probabilities.argmax(-1))

    def confusion(self, truth: Labels, decided: Labels) -> NDArray[np.int64]:
        """How often class i, down, was taken for class j, across: (C, C); rows of unknown classes are left out."""
        return stats.confusion_matrix(truth, decided, len(self.classes))

    def scores(self, probabilities: Probabilities, truth: Labels, spec: EvaluateSpec) -> stats.Scores:
        """Accuracy, F1, calibration and the others, each with its bootstrap interval."""
        return stats.score(probabilities, truth, self.classes, resamples=spec.resamples, confidence=spec.confidence)

    def quick_scores(self, probabilities: Probabilities, truth: Labels) -> dict[str, float]:
        """accuracy, macro_f1, mcc and log_loss."""
        decided = self.decide(probabilities)
        matrix = self.confusion(truth, decided)
        scores = {
            "accuracy": (decided == truth).mean(),
            "macro_f1": stats.macro_f1(matrix),
            "mcc": stats.mcc(matrix),
            "log_loss": stats.log_loss(probabilities, truth),
        }
        return {name: round(float(value), 6) for name, value in scores.items()}
