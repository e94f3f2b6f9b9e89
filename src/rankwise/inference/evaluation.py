"""Logits of a split → its scores with intervals, and the mistakes. Shapes: N rows, C classes."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rankwise.data.batches import Padding
from rankwise.data.pairs import shown
from rankwise.data.prepare import Split
from rankwise.data.shifts import Shifted
from rankwise.data.tasks import Labels, Probabilities, SingleLabel, Task
from rankwise.inference.scorer import Scorer, logits
from rankwise.recipe import EvaluateSpec
from rankwise.stats import scores as stats


@dataclass(frozen=True)
class Evaluation:
    """Scores of one split, with what they were made from."""

    scores: stats.ScoresWithMistakes
    probabilities: Probabilities = field(repr=False)
    """(N, C)"""
    truth: Labels = field(repr=False)
    """As the task has labels, -1 for a class the classifier does not know."""


def evaluate(
    scorer: Scorer,
    split: Split,
    *,
    padding: Padding,
    spec: EvaluateSpec | None = None,
    mistakes: int = 10,
    task: Task | None = None,
) -> Evaluation:
    """Score a split, every score with its bootstrap interval; a label a text where no other `task` is given."""
    spec = spec or EvaluateSpec()
    values = logits(scorer, split.tokens, padding=padding, batch_size=spec.batch_size)
    return evaluated(values, split, task or SingleLabel(scorer.classes), spec, mistakes=mistakes)


def evaluated(values: NDArray[np.float32], split: Split, task: Task, spec: EvaluateSpec, *, mistakes: int = 10) -> Evaluation:
    """Scores of a split whose logits (N, C) are known."""
    probabilities = task.probabilities(values)
    scores = task.scores(probabilities, split.labels, spec)
    surest = _mistakes(task, split, probabilities, mistakes, keep_texts=spec.keep_texts)
    return Evaluation(stats.ScoresWithMistakes(**vars(scores), mistakes=surest), probabilities, split.labels)


def probabilities_under(
    shifted: Shifted, probabilities: Probabilities, task: Task, logits_of: Callable[[Shifted], NDArray[np.float32]]
) -> Probabilities:
    """Probabilities (N, C) of texts under a shift, from those of the texts as they are: only changed texts run again."""
    under = probabilities.copy()
    if len(shifted.indices):
        under[shifted.indices] = task.probabilities(logits_of(shifted))
    return under


def _mistakes(
    task: Task, split: Split, probabilities: Probabilities, count: int, *, keep_texts: bool
) -> tuple[stats.Mistake, ...]:
    """The rows whose class was not the decision, the most confident ones first; of numbers those farthest off."""
    decided = task.decide(probabilities)
    confidence = task.confidence(probabilities)
    worst = task.worst(probabilities, split.labels)[:count]
    return tuple(
        stats.Mistake(
            row=int(split.rows[index]),
            text=shown(split.texts[index]) if keep_texts else None,
            truth=task.shown(split.labels[index]),
            predicted=task.shown(decided[index]),
            confidence=float(confidence[index]) if task.has_classes else None,
        )
        for index in worst
    )
