"""A classifier and a split → probabilities, and scores with intervals.

Rows run in batches of similar length, in eval mode, and come back in their own order. Shapes: N rows, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray

from rankwise.data.batches import Padding, collate, scoring_batches
from rankwise.data.prepare import Split
from rankwise.data.shifts import Shifted
from rankwise.data.tokens import Tokens
from rankwise.errors import NonFiniteLoss
from rankwise.model.adapters import Classifier
from rankwise.model.hidden_cache import Prefix
from rankwise.recipe import EvaluateSpec
from rankwise.stats import scores as metrics
from rankwise.system.memory import TRIM_EVERY, return_freed_memory

Probabilities = NDArray[np.float64]


@dataclass(frozen=True)
class Mistake:
    """A text that the classifier got wrong, and how sure it was."""

    row: int
    text: str
    truth: str
    predicted: str
    confidence: float


@dataclass(frozen=True)
class Evaluation:
    """Scores of one split, with what they were made from."""

    scores: metrics.Scores
    mistakes: tuple[Mistake, ...]
    """The most confident ones first."""
    probabilities: Probabilities = field(repr=False)
    """(N, C)"""
    truth: NDArray[np.int64] = field(repr=False)
    """(N,), -1 for a class the classifier does not know."""

    def as_dict(self) -> dict[str, Any]:
        return {**self.scores.as_dict(), "mistakes": [vars(mistake) for mistake in self.mistakes]}


def evaluate(
    classifier: Classifier,
    split: Split,
    *,
    padding: Padding,
    spec: EvaluateSpec | None = None,
    mistakes: int = 10,
    precision: str = "fp32",
    accelerator: Accelerator | None = None,
) -> Evaluation:
    """Score a split, every score with its bootstrap interval."""
    spec = spec or EvaluateSpec()
    found = logits(
        classifier, split.tokens, padding=padding, batch_size=spec.batch_size, precision=precision, accelerator=accelerator
    )
    probabilities = softmax(found)
    scores = metrics.score(
        probabilities, split.labels, classifier.classes, resamples=spec.resamples, confidence=spec.confidence
    )
    return Evaluation(scores, _mistakes(classifier, split, probabilities, mistakes), probabilities, split.labels)


def quick_scores(
    classifier: Classifier, split: Split, *, shifted: Sequence[Shifted] = (), prefix: Prefix | None = None, **how: Any
) -> dict[str, Any]:
    """accuracy, macro_f1, mcc and log_loss of a split, which choose a checkpoint; no intervals. `how` goes to `logits`.

    Where the split's texts come `shifted` too, also `shifts`, the accuracy under each kind, and `worst_shift`, the lowest of
    these and of the texts as they are. Raises NonFiniteLoss where training has spoilt the weights.
    """
    found = logits(classifier, split.tokens, prefix=prefix, **how)
    if not np.isfinite(found).all():
        raise NonFiniteLoss(
            "what the classifier answers is no longer finite; lower train.learning_rate, lengthen train.warmup, or set "
            "train.clip_norm"
        )
    probabilities = softmax(found)
    predicted = probabilities.argmax(-1)
    matrix = metrics.confusion_matrix(split.labels, predicted, len(classifier.classes))  # leaves unknown classes out
    scores: dict[str, Any] = {
        "accuracy": round(float((predicted == split.labels).mean()), 6),
        "macro_f1": round(float(metrics.macro_f1(matrix)), 6),
        "mcc": round(float(metrics.mcc(matrix)), 6),
        "log_loss": round(float(metrics.log_loss(probabilities, split.labels)), 6),
    }
    if shifted:
        under = {kind.kind: probabilities_under(classifier, kind, probabilities, **how).argmax(-1) for kind in shifted}
        scores["shifts"] = {kind: round(float((found == split.labels).mean()), 6) for kind, found in under.items()}
        scores["worst_shift"] = min(scores["accuracy"], *scores["shifts"].values())
    return scores


def probabilities_under(classifier: Classifier, shifted: Shifted, probabilities: Probabilities, **how: Any) -> Probabilities:
    """Probabilities (N, C) of texts under a shift, from those of the texts as they are: only changed texts run again."""
    found = probabilities.copy()
    if len(shifted.places):
        found[shifted.places] = softmax(logits(classifier, shifted.tokens, **how))
    return found


def logits(
    classifier: Classifier,
    tokens: Tokens,
    *,
    padding: Padding,
    batch_size: int,
    dropout: bool = False,
    precision: str = "fp32",
    prefix: Prefix | None = None,
    accelerator: Accelerator | None = None,
) -> NDArray[np.float32]:
    """Logits of every text (N, C), in the texts' order; dropout off unless asked for. The model's mode is put back.

    `prefix` holds what enters the lowest adapted layer, where it is known. With an `accelerator` of several processes each
    takes its share of the batches and all get the whole.
    """
    model = classifier.model
    was_training = model.training
    model.train(dropout)
    found = np.zeros((len(tokens), len(classifier.classes)), dtype=np.float32)  # (N, C)
    index, processes = (accelerator.process_index, accelerator.num_processes) if accelerator else (0, 1)
    places, outputs = [], []
    with torch.inference_mode():
        for number, rows in enumerate(scoring_batches(tokens.lengths, batch_size)[index::processes]):
            if number % TRIM_EVERY == TRIM_EVERY - 1:
                return_freed_memory()
            inputs = {name: tensor.to(classifier.device) for name, tensor in collate(tokens, rows, padding).items()}
            entering = None if prefix is None else prefix.take(rows, classifier.device)
            output = classifier.logits(inputs, precision=precision, entering=entering)  # (B, C)
            if output.device.type == "cpu":
                found[rows] = output.numpy()
            else:
                places.append(rows)
                outputs.append(output)
    if places:  # fetched at the end, so that a GPU is not waited for after each batch
        found[np.concatenate(places)] = torch.cat(outputs).cpu().numpy()
    model.train(was_training)
    if accelerator is not None and processes > 1:
        shared = accelerator.reduce(torch.from_numpy(found).to(classifier.device), "sum")
        found = shared.cpu().numpy()
    return found


def softmax(values: NDArray[np.float32]) -> Probabilities:
    """Logits (N, C) → probabilities (N, C), in double precision."""
    shifted = values.astype(np.float64) - values.max(axis=-1, keepdims=True)
    exponents = np.exp(shifted)
    return np.asarray(exponents / exponents.sum(axis=-1, keepdims=True))


def _mistakes(classifier: Classifier, split: Split, probabilities: Probabilities, count: int) -> tuple[Mistake, ...]:
    predicted = probabilities.argmax(-1)
    confidence = probabilities.max(-1)
    wrong = np.flatnonzero(predicted != split.labels)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:count]
    return tuple(
        Mistake(
            row=int(split.rows[place]),
            text=split.texts[place],
            truth=classifier.classes[split.labels[place]] if split.labels[place] >= 0 else "(unknown class)",
            predicted=classifier.classes[predicted[place]],
            confidence=float(confidence[place]),
        )
        for place in worst
    )
