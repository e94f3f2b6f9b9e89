"""Several labels a text, or none: a sigmoid for each class, with a threshold above which the text has it.

Shapes: N rows, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from rankwise.data.tasks.names import MULTI_LABEL
from rankwise.data.tasks.task import UNKNOWN, ClassTask, Labels, Probabilities, Question, Task

if TYPE_CHECKING:
    from rankwise.recipe import EvaluateSpec
    from rankwise.stats.intervals import Interval
    from rankwise.stats.scores import Scores

LEAST_PROBABILITY = 1e-7  # a float's distance from 1


@dataclass(frozen=True)
class MultiLabel(ClassTask):
    """Several labels a text. Labels are 1 for a class that a text has, else 0 (N, C); -1 throughout where one is unknown."""

    thresholds: tuple[float, ...] | None = None
    """The probability from which a text has a class, for each of them (C,); a half where nothing was chosen."""

    name = MULTI_LABEL
    problem_type = "multi_label_classification"
    credit_name = "F1 of a text"
    headline = ("macro_f1", "micro_f1")
    compared_by = ("macro_f1", "accuracy")
    is_tuned = True

    @property
    def limits(self) -> NDArray[np.float64]:
        """The thresholds, (C,)."""
        return np.full(len(self.classes), 0.5) if self.thresholds is None else np.array(self.thresholds)

    def probabilities(self, logits: NDArray[np.float32]) -> Probabilities:
        """The sigmoid of each logit (N, C), in double precision."""
        return np.asarray(0.5 * (1.0 + np.tanh(0.5 * logits.astype(np.float64))))

    def logits(self, probabilities: Probabilities) -> NDArray[np.float32]:
        """The log-odds (N, C), whose sigmoids they are."""
        kept = np.clip(probabilities, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
        return np.log(kept / (1 - kept)).astype(np.float32)

    def decide(self, probabilities: Probabilities) -> Labels:
        """1 for each class whose probability reaches its threshold, (N, C)."""
        return np.asarray(probabilities >= self.limits).astype(np.int64)

    def confidence(self, probabilities: Probabilities) -> NDArray[np.float64]:
        """The probability of the least sure of a row's labels; of a row that gets none, that it lacks the likeliest.

        Not the product over all classes: of 28 clear answers, each 98 % sure, that would be 57 %, and it would fall with
        every class that a run has, so that nobody could say which value is a good one.
        """
        given = np.where(self.decide(probabilities) == 1, probabilities, np.inf).min(axis=-1)
        return np.asarray(np.where(np.isfinite(given), given, 1 - probabilities.max(axis=-1)))

    def right(self, probabilities: Probabilities, truth: Labels) -> NDArray[np.bool_]:
        """Which rows have exactly the right labels."""
        return np.asarray((self.decide(probabilities) == truth).all(axis=1))

    def credit(self, probabilities: Probabilities, truth: Labels) -> NDArray[np.float64]:
        """The F1 of a row's labels; 1 where it has none and gets none, 0 where one of them is unknown."""
        decided = self.decide(probabilities)
        known, hits = truth.min(axis=1) >= 0, (decided * (truth == 1)).sum(axis=1)
        sizes = decided.sum(axis=1) + (truth == 1).sum(axis=1)
        return np.where(known, np.where(sizes > 0, 2 * hits / np.maximum(sizes, 1), 1.0), 0.0)

    @property
    def remembered(self) -> dict[str, Any]:
        return {"thresholds": self.thresholds}

    def rivals(self, number: int) -> NDArray[np.bool_]:
        del number
        return np.zeros(len(self.classes), dtype=np.bool_)

    def metric(self, asked: str) -> str:
        """Macro-F1 in accuracy's place, which is that of whole rows and says little of single labels."""
        return "macro_f1" if asked == "accuracy" else asked

    def tuned(self, probabilities: Probabilities, truth: Labels) -> Self:
        """The task with the threshold of each class that has the best F1 on these rows; as it is without rows."""
        from rankwise.stats.several import best_thresholds

        known = truth.min(axis=1) >= 0
        if not known.any():
            return self
        chosen = best_thresholds(probabilities[known], truth[known])
        return replace(self, thresholds=tuple(chosen.tolist()))

    def scores(self, probabilities: Probabilities, truth: Labels, spec: EvaluateSpec) -> Scores:
        from rankwise.stats.several import score_several

        decided, resamples = self.decide(probabilities), spec.resamples
        return score_several(probabilities, decided, truth, self.classes, resamples=resamples, confidence=spec.confidence)

    def quick_scores(self, probabilities: Probabilities, truth: Labels) -> dict[str, float]:
        """accuracy of whole rows, macro_f1, mcc and log_loss over all pairs of row and class.

        Where no thresholds are chosen, they are those that suit these rows best, for so they will be.
        """
        from rankwise.stats.several import quick_scores

        task = self if self.thresholds is not None else self.tuned(probabilities, truth)
        return quick_scores(probabilities, task.decide(probabilities), truth)

    def difference(self, one: Probabilities, other: tuple[Task, Probabilities], truth: Labels, confidence: float) -> Interval:
        """One's macro-F1 minus the other's."""
        from rankwise.stats.several import paired_macro_f1

        task, probabilities = other
        return paired_macro_f1(self.decide(one), task.decide(probabilities), truth, confidence=confidence)

    def strata(self, labels: Labels) -> NDArray[np.int64]:
        """The rarest class of each row; C for a row that has none, -1 for one that is not known."""
        has = labels == 1
        either = np.where(has.any(axis=1), rarest_classes(has), len(self.classes))
        return np.where(labels.min(axis=1) < 0, -1, either)

    def questions(self, labels: Labels) -> tuple[Question, ...]:
        """For each class whether a text has it."""
        return tuple(
            Question(name, (f"not {name}", name), column) for name, column in zip(self.classes, labels.T, strict=True)
        )

    def answer(self, decided: Any, names: Sequence[Any]) -> Any:
        """The labels of a row, in the order of the classes."""
        return tuple(names[number] for number in np.flatnonzero(decided).tolist())

    def names(self, label: Any) -> tuple[str, ...]:
        if min(label, default=0) < 0:
            return (UNKNOWN,)
        return tuple(name for name, has in zip(self.classes, label, strict=True) if has)

    def _numbers(self, tags: Sequence[tuple[str, ...]], number_of: Mapping[str, int]) -> Labels:
        numbers = np.zeros((len(tags), len(self.classes)), dtype=np.int64)
        for row, several in enumerate(tags):
            for tag in several:
                number = number_of.get(tag)
                if number is None:
                    numbers[row] = -1
                    break
                numbers[row, number] = 1
        return numbers


def rarest_classes(has: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Of the classes that each row has (N, C) the one that the fewest rows have, (N,)."""
    order = np.argsort(has.sum(axis=0), kind="stable")
    return np.asarray(order[has[:, order].argmax(axis=1)], dtype=np.int64)
