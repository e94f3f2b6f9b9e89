"""One class per text, of classes in an order: stars, priorities. Shapes: N rows, C classes.

A mistake is the larger the farther off it is, so the decision is the median of the probabilities, which errs by the fewest
classes in the mean, and mean absolute error and quadratic weighted kappa stand beside accuracy.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rankwise.data.tasks.names import ORDERED
from rankwise.data.tasks.single_label import SingleLabel
from rankwise.data.tasks.task import Labels, Probabilities

if TYPE_CHECKING:
    from rankwise.recipe import EvaluateSpec
    from rankwise.stats.scores import Scores


@dataclass(frozen=True)
class Ordered(SingleLabel):
    """One class per text, of classes from low to high. Labels are class numbers (N,), -1 for one that is not known."""

    name = ORDERED
    headline = ("accuracy", "quadratic_kappa")

    def decide(self, probabilities: Probabilities) -> Labels:
        """The median of each row's probabilities (N,): the first class up to which they add up to a half."""
        half = 0.5 - 1e-9  # rounding decides nothing
        return np.asarray((probabilities.cumsum(axis=-1) >= half * probabilities.sum(axis=-1, keepdims=True)).argmax(-1))

    def confidence(self, probabilities: Probabilities) -> NDArray[np.float64]:
        """The probability of the class that was decided for."""
        return np.take_along_axis(probabilities, self.decide(probabilities)[:, None], axis=1)[:, 0]

    def scores(self, probabilities: Probabilities, truth: Labels, spec: EvaluateSpec) -> Scores:
        """As of single labels, where a decision is the class that is told, with `mean_absolute_error`, in classes, and
        `quadratic_kappa`. Calibration is that of the likeliest class.
        """
        from rankwise.stats.ordered import mean_absolute_error, quadratic_kappa
        from rankwise.stats.scores import score

        decided, resamples, confidence = self.decide(probabilities), spec.resamples, spec.confidence
        kappa = quadratic_kappa(decided, truth, len(self.classes), resamples=resamples, confidence=confidence)
        error = mean_absolute_error(decided, truth, resamples=resamples, confidence=confidence)
        scores = score(probabilities, truth, self.classes, decided=decided, resamples=resamples, confidence=confidence)
        return replace(scores, more={"quadratic_kappa": kappa, "mean_absolute_error": error})
