"""A number for a text: one output, in the unit of the labels. Shapes: N rows.

A head learns standardised labels, mean 0 and deviation 1 over the training rows, so that learning rates mean the same in any
unit; when training ends both are folded into its last linear layer, and an artifact's logit is the number. What the other
tasks call probabilities are the numbers (N, 1) as the head gives them; a decision is such a number within the bounds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from rankwise.data.labels import in_figures
from rankwise.data.tasks.cells import numbers_of, quantile_bins
from rankwise.data.tasks.names import REGRESSION
from rankwise.data.tasks.task import Labels, Probabilities, Task
from rankwise.errors import DataError, RecipeError, Unlabelled, as_set

if TYPE_CHECKING:
    from rankwise.data.files.table import Table
    from rankwise.recipe import DataSpec, EvaluateSpec, Recipe
    from rankwise.stats.intervals import Interval
    from rankwise.stats.scores import Scores

NOT_KNOWN = "(not known)"
OF_CLASSES: Mapping[str, Any] = {  # settings that are for classes, and what they are where nobody sets them
    "train.class_weights": "none",
    "train.focal": 0.0,
    "train.label_smoothing": 0.0,
    "train.contrast": 0.0,
}
SELECTED_BY = {"accuracy", "log_loss", "root_mean_squared_error"}


@dataclass(frozen=True)
class Regression(Task):
    """A number. Labels are numbers (N,), NaN for one that is not known; the one "class" is what the number is called."""

    mean: float = 0.0
    """What a logit of 0 stands for; of the training labels while a head learns them, 0 in an artifact."""
    deviation: float = 1.0
    """By how much a number grows with its logit; likewise, and 1 in an artifact."""
    reach: tuple[float, float] | None = None
    """The lowest and the highest training label, where held-out rows are to say whether decisions stay between them."""
    bounds: tuple[float, float] | None = None
    """The lowest and the highest number that is decided for; None where any may be."""

    name = REGRESSION
    problem_type = "regression"
    credit_name = "R²"
    points = "points of R²"
    headline = ("pearson", "mean_absolute_error")
    compared_by = ("r2", "pearson")
    floor = "mean of the training labels"
    is_tuned = True
    has_classes = False

    def learnt(self, labels: Labels, spec: DataSpec) -> Self:
        """The task with mean, deviation and bounds of training labels (N,), as the recipe has them."""
        known = labels[~np.isnan(labels)]
        ends = (float(known.min()), float(known.max()))
        return replace(
            self,
            mean=float(known.mean()),
            deviation=float(known.std()) or 1.0,
            reach=ends if spec.bounds == "auto" else None,
            bounds=None if isinstance(spec.bounds, str) else spec.bounds,
        )

    @property
    def remembered(self) -> dict[str, Any]:
        return {"bounds": self.bounds}

    @property
    def about_choice(self) -> str:
        if self.bounds is None:
            return "numbers are told as they come, within no bounds (data.bounds)"
        told = f"numbers are told within {' and '.join(map(in_figures, self.bounds))}"
        if self.bounds != self.reach:
            return f"{told}, as data.bounds says"
        return f"{told}, the lowest and the highest training label: that lowers the squared error on rows held out"

    @property
    def in_units(self) -> Self:
        """The task of a head whose logits are the numbers."""
        return replace(self, mean=0.0, deviation=1.0)

    def standardised(self, labels: Labels) -> Labels:
        """Labels as a head learns them, (N,)."""
        return np.asarray((labels - self.mean) / self.deviation)

    def suited(self, recipe: Recipe) -> Recipe:
        """Without pairs of a class, which a ladder asks for where rows are few."""
        return recipe.with_overrides(["train.contrast=0"]) if recipe.train.contrast else recipe

    def check(self, recipe: Recipe) -> None:
        """Raises RecipeError for what is for classes alone."""
        if recipe.data.classes:
            raise RecipeError(f"data.classes is for classes, and a number is estimated ({REGRESSION}); leave it out")
        for key, unset in OF_CLASSES.items():
            if getattr(recipe.train, key.removeprefix("train.")) != unset:
                raise RecipeError(f"{key} is for classes, and a number is estimated ({REGRESSION}); leave it out")
        if recipe.train.select_by not in SELECTED_BY:
            raise RecipeError(
                f"train.select_by={recipe.train.select_by} is of classes, and a number is estimated ({REGRESSION}); type "
                "--set train.select_by=root_mean_squared_error"
            )

    def metric(self, asked: str) -> str:
        """The root mean squared error, whichever of the usual scores is asked for."""
        del asked
        return "root_mean_squared_error"

    def probabilities(self, logits: NDArray[np.float32]) -> Probabilities:
        """The numbers (N, 1) that logits (N, 1) stand for, in double precision."""
        return np.asarray(logits.astype(np.float64) * self.deviation + self.mean)

    def logits(self, probabilities: Probabilities) -> NDArray[np.float32]:
        """The logits (N, 1) of numbers (N, 1)."""
        return ((probabilities - self.mean) / self.deviation).astype(np.float32)

    def decide(self, probabilities: Probabilities) -> Labels:
        """The number of each row (N,), within the bounds."""
        return np.asarray(np.clip(probabilities[:, 0], *(self.bounds or (-np.inf, np.inf))))

    def confidence(self, probabilities: Probabilities) -> NDArray[np.float64]:
        """NaN (N,), for nothing is known of it."""
        return np.full(len(probabilities), np.nan)

    def right(self, probabilities: Probabilities, truth: Labels) -> NDArray[np.bool_]:
        """Which numbers are exactly right."""
        return np.asarray(self.decide(probabilities) == truth)

    def credit(self, probabilities: Probabilities, truth: Labels) -> NDArray[np.float64]:
        """1 minus the squared error over the variance of these rows' numbers, whose mean is R²; may be below 0."""
        from rankwise.stats.regression import credit

        return credit(self.decide(probabilities), truth)

    def worst(self, probabilities: Probabilities, truth: Labels) -> NDArray[np.int64]:
        """The rows whose number is known, the one farthest off first."""
        off = np.abs(self.decide(probabilities) - truth)
        order = np.argsort(-off, kind="stable")
        return np.asarray(order[~np.isnan(off[order])])

    def rivals(self, number: int) -> NDArray[np.bool_]:
        del number
        return np.zeros(len(self.classes), dtype=np.bool_)

    def tuned(self, probabilities: Probabilities, truth: Labels) -> Self:
        """The task within the training labels' bounds, where that lowers the squared error on these rows."""
        if self.reach is None:
            return self
        bounded = replace(self, bounds=self.reach)
        known = ~np.isnan(truth)
        plain, within = (((one.decide(probabilities) - truth)[known] ** 2).sum() for one in (self, bounded))
        return bounded if within < plain else self

    def scores(self, probabilities: Probabilities, truth: Labels, spec: EvaluateSpec) -> Scores:
        """Pearson, Spearman, mean absolute error, root mean squared error and R²."""
        from rankwise.stats.regression import score_numbers

        return score_numbers(self.decide(probabilities), truth, resamples=spec.resamples, confidence=spec.confidence)

    def quick_scores(self, probabilities: Probabilities, truth: Labels) -> dict[str, float | None]:
        """The same without intervals."""
        from rankwise.stats.regression import quick_scores

        return quick_scores(self.decide(probabilities), truth)

    def difference(self, one: Probabilities, other: tuple[Task, Probabilities], truth: Labels, confidence: float) -> Interval:
        """One's R² minus the other's: their squared errors, row by row."""
        from rankwise.stats.regression import paired_credit

        task, numbers = other
        return paired_credit(self.decide(one), task.decide(numbers), truth, confidence=confidence)

    def strata(self, labels: Labels) -> NDArray[np.int64]:
        """The tenth that each number is in, of as many rows each."""
        return quantile_bins(labels)

    def answer(self, decided: Any, names: Sequence[Any]) -> float:
        del names
        return float(decided)

    def names(self, label: Any) -> tuple[str, ...]:
        return (NOT_KNOWN if math.isnan(label) else in_figures(label),)

    def parse(self, table: Table, numbering: Sequence[str], spec: DataSpec) -> Labels:
        """The numbers in a table's labels. Raises DataError for a label that is none, unless such ones may be unknown."""
        del numbering
        cells = table.labels or ()
        numbers = numbers_of(table)
        strange = np.flatnonzero(np.isnan(numbers))
        if len(strange) and len(strange) == len(cells):
            raise Unlabelled(
                f"{table.layout.path}: no label in column '{table.layout.label}' is a number, such as '{cells[0]:.40}'; is "
                "it the right column? Name another: --set data.label=COLUMN"
            )
        if len(strange) and spec.unseen_labels == "fail":
            row = int(strange[0])
            raise DataError(
                f"{table.layout.path}: row {table.rows[row]}: label '{cells[row]:.40}' is no number, {len(strange)} rows "
                f"like it; correct them, or leave them out of the scores: {as_set('data.unseen_labels', 'wrong')}"
            )
        return numbers
