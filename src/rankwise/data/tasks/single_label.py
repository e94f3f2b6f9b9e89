"""One class per text: a softmax over the classes, of which the likeliest is the decision. Shapes: N rows, C classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rankwise.data.tasks.names import SINGLE_LABEL
from rankwise.data.tasks.task import UNKNOWN, ClassTask, Labels, Probabilities, Task

if TYPE_CHECKING:
    from rankwise.recipe import EvaluateSpec
    from rankwise.stats.intervals import Interval
    from rankwise.stats.scores import Scores

LEAST_PROBABILITY = 1e-12  # which a class has that no text of the training rows has


@dataclass(frozen=True)
class SingleLabel(ClassTask):
    """One class per text. Labels are class numbers (N,), -1 for a class that is not known."""

    name = SINGLE_LABEL
    problem_type = "single_label_classification"
    credit_name = "accuracy"
    headline = ("accuracy", "macro_f1")

    def probabilities(self, logits: NDArray[np.float32]) -> Probabilities:
        """The softmax of logits (N, C), in double precision."""
        shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
        exponents = np.exp(shifted)
        return np.asarray(exponents / exponents.sum(axis=-1, keepdims=True))

    def logits(self, probabilities: Probabilities) -> NDArray[np.float32]:
        """The probabilities' logarithms (N, C), whose softmax they are."""
        return np.log(np.maximum(probabilities, LEAST_PROBABILITY)).astype(np.float32)

    def decide(self, probabilities: Probabilities) -> Labels:
        """The likeliest class of each row (N,)."""
        return np.asarray(probabilities.argmax(-1))

    def confidence(self, probabilities: Probabilities) -> NDArray[np.float64]:
        """The likeliest class's probability."""
        return np.asarray(probabilities.max(-1))

    def right(self, probabilities: Probabilities, truth: Labels) -> NDArray[np.bool_]:
        return np.asarray(self.decide(probabilities) == truth)

    def credit(self, probabilities: Probabilities, truth: Labels) -> NDArray[np.float64]:
        """1 for a right decision, 0 for a wrong one."""
        return self.right(probabilities, truth).astype(np.float64)

    def scores(self, probabilities: Probabilities, truth: Labels, spec: EvaluateSpec) -> Scores:
        from rankwise.stats.scores import score

        return score(probabilities, truth, self.classes, resamples=spec.resamples, confidence=spec.confidence)

    def quick_scores(self, probabilities: Probabilities, truth: Labels) -> dict[str, float]:
        from rankwise.stats import scores as stats

        decided = self.decide(probabilities)
        matrix = stats.confusion_matrix(truth, decided, len(self.classes))
        scores = {
            "accuracy": (decided == truth).mean(),
            "macro_f1": stats.macro_f1(matrix),
            "mcc": stats.mcc(matrix),
            "log_loss": stats.log_loss(probabilities, truth),
        }
        return {name: round(float(value), 6) for name, value in scores.items()}

    def difference(self, one: Probabilities, other: tuple[Task, Probabilities], truth: Labels, confidence: float) -> Interval:
        """One's accuracy minus the other's."""
        from rankwise.stats.paired import paired_bootstrap

        task, probabilities = other
        return paired_bootstrap(self.right(one, truth), task.right(probabilities, truth), confidence=confidence)

    def strata(self, labels: Labels) -> NDArray[np.int64]:
        """The class numbers themselves."""
        return labels

    def names(self, label: Any) -> tuple[str, ...]:
        return (self.classes[label] if label >= 0 else UNKNOWN,)

    def _numbers(self, tags: Sequence[tuple[str, ...]], number_of: Mapping[str, int]) -> Labels:
        return np.fromiter((number_of.get(label, -1) for (label,) in tags), dtype=np.int64, count=len(tags))
