"""Scoring a classifier while it trains: in eval mode for as long as it takes, then in the mode that it was in.

Under several processes each computes its share of the batches, and all get the whole. Shapes: N rows, C classes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray

from rankwise.data.batches import Padding, padded_batches, scoring_batches
from rankwise.data.prepare import Split
from rankwise.data.shifts import Shifted
from rankwise.data.tasks import Labels, Probabilities, SingleLabel, Task
from rankwise.data.tokens import Tokens, text_means
from rankwise.errors import NonFiniteLoss
from rankwise.inference.evaluation import Evaluation, evaluated, probabilities_under
from rankwise.inference.scorer import gathered
from rankwise.model.classifier import Classifier, in_eval_mode, to_array, to_tensors
from rankwise.model.hidden_cache import HiddenStates
from rankwise.recipe import EvaluateSpec
from rankwise.training.events import ValidationScores


@dataclass(frozen=True)
class Validation:
    """How a classifier that trains is scored: padding, precision, texts of a forward pass, the processes that share them."""

    classifier: Classifier
    padding: Padding
    batch_size: int
    precision: str = "fp32"
    accelerator: Accelerator | None = None
    of_task: Task | None = None
    """What is decided about a text; a label of the classifier's classes where nothing is given."""

    @property
    def task(self) -> Task:
        return self.of_task or SingleLabel(self.classifier.classes)

    def logits(self, tokens: Tokens, hidden: HiddenStates | None = None) -> NDArray[np.float32]:
        """Logits (N, C) of every text; `hidden` are the states that enter the lowest adapted layer, where they are known."""
        classifier, device = self.classifier, self.classifier.device
        processes = self.accelerator.num_processes if self.accelerator else 1
        rows = scoring_batches(tokens.lengths, self.batch_size)
        mine = rows[self.accelerator.process_index :: processes] if self.accelerator else rows

        def outputs() -> Iterator[Any]:
            for batch, inputs in zip(mine, padded_batches(tokens, mine, self.padding), strict=True):
                entering = None if hidden is None else hidden.take(batch, device)
                yield to_array(classifier.logits(to_tensors(inputs, device), precision=self.precision, entering=entering))

        with in_eval_mode(classifier.model):
            values = gathered(mine, outputs(), shape=(len(tokens), len(classifier.classes)))
        if self.accelerator is not None and processes > 1:
            values = self.accelerator.reduce(torch.from_numpy(values).to(device), "sum").cpu().numpy()
        return text_means(values, tokens.window_counts)

    def scores(
        self, split: Split, *, shifted: Sequence[Shifted] = (), hidden: HiddenStates | None = None
    ) -> ValidationScores:
        """The scores of a split, and of its texts where they come `shifted` too.

        Raises NonFiniteLoss where training has spoilt the weights.
        """
        task = self.task
        values = self.logits(split.tokens, hidden)
        if not np.isfinite(values).all():
            raise NonFiniteLoss(
                "what the classifier answers is no longer finite; lower train.learning_rate, lengthen train.warmup, or set "
                "train.clip_norm"
            )
        probabilities = task.probabilities(values)
        scores = validation_scores(probabilities, split.labels, task)
        if not shifted:
            return scores
        under = {kind.kind: probabilities_under(kind, probabilities, task, self._logits_under) for kind in shifted}
        rights = {kind: task.right(values, split.labels) for kind, values in under.items()}
        shifts = {kind: round(float(right.mean()), 6) for kind, right in rights.items()}
        return replace(scores, shifts=shifts, worst_shift=min(scores.accuracy or 0.0, *shifts.values()))

    def _logits_under(self, shifted: Shifted) -> NDArray[np.float32]:
        return self.logits(shifted.tokens)

    def evaluate(self, split: Split, spec: EvaluateSpec) -> Evaluation:
        """Every score of a split with its interval, and the mistakes."""
        return evaluated(self.logits(split.tokens), split, self.task, spec)


def validation_scores(probabilities: Probabilities, labels: Labels, task: Task) -> ValidationScores:
    """The scores of probabilities (N, C), without intervals."""
    scores: dict[str, Any] = {**task.quick_scores(probabilities, labels)}
    return ValidationScores(**scores)
