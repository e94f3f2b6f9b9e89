"""What to do with a classifier's logits: answer, or hand the text to a person, and why. numpy alone, since serving does it.

`workflows.decide` makes a rule from rows that were held out. Shapes: N texts, C classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankwise.stats.scaling import Scaling

UNSURE = "unsure"  # what stands in a label's place
UNLIKE = "unlike the training texts"

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Labels = NDArray[np.int64]
Bounds = tuple[float, float] | None
"""The lowest and the highest number that there may be; None where any may be."""


@dataclass(frozen=True)
class Costs:
    """What answers cost, in any unit: the least expected cost decides."""

    asking: float
    """Of handing a text to a person."""
    of_answers: tuple[tuple[float, ...], ...]
    """(C, C): of the answer across where the class down is true."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """When to answer and with what; every part may be left out."""

    scaling: Scaling
    least_confidence: float | None = None
    """Of an answer: its scaled probability."""
    most_energy: float | None = None
    """Of a text that is like those of training."""
    least_in_set: float | None = None
    """From which scaled probability on a class is in a text's set."""
    costs: Costs | None = None
    reach: float | None = None
    """By how far the range of an estimated number reaches to each side of it, in its unit; None of classes."""

    @property
    def gives_sets(self) -> bool:
        """Whether a text gets a set of classes, or a number a range."""
        return self.least_in_set is not None or self.reach is not None

    def decide(
        self, probabilities: Floats, energies: NDArray[np.floating[Any]] | None = None, *, answers: Labels | None = None
    ) -> "Decided":
        """Decide texts by their scaled probabilities (N, C) and energies (N,), where these are known.

        `answers` are the task's, (N,), the likeliest class where they are left out; of classes in an order their median.
        """
        rows, reasons = len(probabilities), np.full(len(probabilities), "", dtype=object)
        answers = probabilities.argmax(axis=1) if answers is None else answers
        in_set = None if self.least_in_set is None else in_sets(probabilities, self.least_in_set)
        if in_set is not None:
            in_set[np.arange(rows), answers] = True
        if self.costs is not None:
            expected = probabilities @ np.array(self.costs.of_answers)  # (N, C)
            answers = expected.argmin(axis=1)
            for row in np.flatnonzero(expected.min(axis=1) > self.costs.asking):
                reasons[row] = f"an answer would cost {expected[row].min():.3g}, asking {self.costs.asking:.3g}"
        confidence = probabilities[np.arange(rows), answers]
        if self.least_confidence is not None:
            reasons[confidence < self.least_confidence] = f"less sure than {self.least_confidence:.4f}"
        elif in_set is not None and self.costs is None:
            reasons[in_set.sum(axis=1) > 1] = "several labels are in its set"
        if self.most_energy is not None and energies is not None:
            reasons[energies > self.most_energy] = UNLIKE
        return Decided(answers, confidence, reasons, in_set)


@dataclass(frozen=True)
class Decided:
    """What a rule makes of N texts."""

    answers: Labels
    """(N,), given or not."""
    confidence: Floats
    """(N,) the answers' scaled probabilities."""
    reasons: NDArray[np.object_] = field(repr=False)
    """(N,) strings: why a text goes to a person, empty where it is answered."""
    in_set: Bools | None
    """(N, C) which classes are in a text's set."""

    @property
    def answered(self) -> Bools:
        """Which texts are answered, (N,)."""
        return np.asarray(self.reasons == "")

    def by_text(self) -> tuple[Sequence[Any], ...]:
        """Its columns, a value for each text, which `map` takes; sets are None where there are none."""
        sets: Sequence[Any] = [None] * len(self.answers) if self.in_set is None else list(self.in_set)
        return self.answers.tolist(), self.confidence.tolist(), self.reasons.tolist(), sets


def energy(logits: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """-log Σ exp of logits (N, C), (N,): higher for texts unlike those of training (Liu et al., arXiv 2010.03759)."""
    logits = np.asarray(logits, dtype=np.float64)
    most = logits.max(axis=1)
    return np.asarray(-(most + np.log(np.exp(logits - most[:, None]).sum(axis=1))), dtype=np.float32)


def in_sets(probabilities: Floats, least: float) -> Bools:
    """Which classes are in each text's set (N, C): those that reach `least`, and the likeliest, so that no set is empty."""
    chosen = probabilities >= least
    chosen[np.arange(len(probabilities)), probabilities.argmax(axis=1)] = True
    return np.asarray(chosen)


def ranges(estimates: Floats, reach: float, bounds: Bounds) -> Floats:
    """The lower and the upper end (N, 2) of the ranges around estimated numbers (N,), which reach so far to each side."""
    estimates = within(bounds, estimates)
    return np.stack([within(bounds, estimates - reach), within(bounds, estimates + reach)], axis=1)


def within(bounds: Bounds, numbers: Floats) -> Floats:
    """Numbers (N,), each moved to the bound that it is beyond."""
    return numbers if bounds is None else np.asarray(np.clip(numbers, *bounds))
