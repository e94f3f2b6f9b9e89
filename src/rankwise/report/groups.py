"""Runs of one recipe that differ in their seed are a group; its numbers are means over them, with intervals.

A score varies with the seed and with the test rows. Accuracy and macro-F1, or of numbers R² and Pearson, are what `rankwise
compare` makes of both. Of the other scores a run keeps its interval alone, so theirs are from s²/S, the variance of a mean
over S seeds, and the mean of the variances behind the runs' intervals, which is never too little, for all are scored on the
same rows. The degrees of freedom of the sum are Satterthwaite's (1946), rows counting as many. What has no rows, such as
seconds, gets Student's interval over the seeds; a single run keeps its own interval.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from scipy.special import stdtrit

from rankwise.errors import RunError
from rankwise.recipe.differences import names
from rankwise.run.folder import Run
from rankwise.run.format import CleanScores
from rankwise.stats.intervals import Interval
from rankwise.stats.scores import UNDEFINED, Scores
from rankwise.workflows.compare import System, compare, settings_of_run, system_of

SHARE, SIGNED = (0.0, 1.0), (-1.0, 1.0)
LIMITS = {  # of what is no share
    **dict.fromkeys(("mcc", "quadratic_kappa", "difference", "drop"), SIGNED),
    **dict.fromkeys(("pearson", "spearman"), SIGNED),
    **dict.fromkeys(("log_loss", "mean_absolute_error", "root_mean_squared_error"), (0.0, math.inf)),
    "r2": (-math.inf, 1.0),
}


@dataclass(frozen=True)
class Group:
    """Runs of one recipe on the same data."""

    name: str
    """The recipe's, and what tells it from others of that name."""
    runs: tuple[Run, ...]
    explain: bool = False
    """Whether the words of its mistakes are explained, for which its runs are loaded."""

    @property
    def first(self) -> Run:
        """The run with the lowest seed, for what all of them share."""
        return self.runs[0]

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(run.recipe.train.seed for run in self.runs)

    @property
    def confidence(self) -> float:
        return self.first.scores.test.confidence_level

    @property
    def trained_parameters(self) -> int:
        return self.first.plan_facts.trainable_parameters

    def score(self, key: str) -> Interval:
        """A score of the test rows, such as `accuracy`, pooled over the runs; not defined where the task has none such."""
        if key not in self.first.scores.test.names:
            return UNDEFINED
        if key in self.first.task.compared_by and len(self.runs) > 1:
            return self._system.named(key)
        return self.pooled((run.scores.test for run in self.runs), key)

    def of_runs(self, value: Callable[[Run], float | None]) -> list[float]:
        """The values of several runs, as far as they have them; none of a single run, whose value is the group's."""
        return [one for run in self.runs if len(self.runs) > 1 and (one := value(run)) is not None]

    def seconds(self, what: Literal["training", "all"] = "training") -> Interval:
        """How long `training` took, or `all` of a run."""
        return self._measured(getattr(run.facts.seconds, what) for run in self.runs)

    def peak_gb(self) -> Interval:
        """Peak memory in 10⁹ bytes; not defined where a run did not keep it."""
        return self._measured(map(peak_gb, self.runs))

    def pooled(self, scores: Iterable[object], key: str) -> Interval:
        """One interval from those that scores of each run have of that name; it can't leave what is possible."""
        intervals = [one.named(key) if isinstance(one, Scores | CleanScores) else getattr(one, key) for one in scores]
        return pooled(intervals, confidence=self.confidence, within=LIMITS.get(key, SHARE))

    def _measured(self, values: Iterable[float | None]) -> Interval:
        intervals = [Interval(value, None, None) for value in values]
        return pooled(intervals, confidence=self.confidence, within=(0, math.inf))

    @cached_property
    def _system(self) -> System:
        return compare(self.runs, confidence=self.confidence).systems[0]


def peak_gb(run: Run) -> float | None:
    """A run's peak memory in 10⁹ bytes, where it was kept."""
    peak = run.facts.actual.peak_bytes
    return None if peak is None else peak / 1e9


def group_by_recipe(runs: Sequence[Run]) -> list[Group]:
    """Runs that differ in train.seed alone become one group, in their first run's order.

    Raises RunError where two runs have the same recipe, data and seed.
    """
    by_recipe: dict[str, dict[int, Run]] = {}  # and seed
    for run in runs:
        seed, others = run.recipe.train.seed, by_recipe.setdefault(system_of(run), {})
        if seed in others:
            raise RunError(
                f"{others[seed].folder} and {run.folder} are the same recipe on the same data with the same seed "
                f"({seed}), so they say nothing about chance; give one of them"
            )
        others[seed] = run
    groups = [tuple(run for _, run in sorted(same.items())) for same in by_recipe.values()]
    unique_names = names([first.recipe.name for first, *_ in groups], [settings_of_run(first) for first, *_ in groups])
    return list(map(Group, unique_names, groups))


def pooled(intervals: Sequence[Interval], *, confidence: float = 0.95, within: tuple[float, float] = SHARE) -> Interval:
    """The mean of some runs' values, with an interval that counts seeds and rows; not defined where one of them is not."""
    values = [interval.value for interval in intervals if interval.value is not None]
    if not values or len(values) < len(intervals):
        return Interval(None, None, None)
    if len(set(intervals)) == 1:
        return intervals[0]
    mean, tail = float(np.mean(values)), (1 + confidence) / 2
    of_seeds = float(np.var(values, ddof=1)) / len(values)
    width = 2 * float(stdtrit(np.inf, tail))  # of an interval, in standard deviations
    of_rows = float(np.mean([interval.width**2 for interval in intervals])) / width**2
    freedom = (len(values) - 1) * (1 + min(of_rows / of_seeds, 1e6)) ** 2 if of_seeds else np.inf
    reach = float(stdtrit(freedom, tail)) * (of_seeds + of_rows) ** 0.5
    return Interval(mean, max(within[0], mean - reach), min(within[1], mean + reach))
