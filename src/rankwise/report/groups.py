"""Runs of one recipe that differ in their seed are a group; its numbers are means over them, with intervals.

A score varies with the seed and with the test rows. Accuracy and macro-F1 are what `rankwise compare` makes of both. Of the
other scores a run keeps its interval alone, so theirs are from s²/S, the variance of a mean over S seeds, and the mean of the
variances behind the runs' intervals, which is never too little, for all are scored on the same rows. The degrees of freedom
of the sum are Satterthwaite's (1946), rows counting as many. What has no rows, such as seconds, gets Student's interval over
the seeds; a single run keeps its own interval.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from scipy.special import stdtrit

from rankwise.errors import RunError
from rankwise.recipe.differences import names
from rankwise.run.folder import Run
from rankwise.stats.intervals import Interval
from rankwise.stats.seeds import SCORES
from rankwise.system.events import HistoryEntry, UpdateLogged, read_events
from rankwise.workflows.compare import System, compare, settings_of_run, system_of

Line = list[tuple[float, float]]
Band = list[tuple[float, float, float]]
Bounds = tuple[float, float]

SPLITS = {"train": "training", "validation": "validation", "test": "test"}  # and what a page calls them
SHARE: Bounds = (0.0, 1.0)
LIMITS: Mapping[str, Bounds] = {"mcc": (-1.0, 1.0), "log_loss": (0.0, math.inf)}


@dataclass(frozen=True)
class Group:
    """Runs of one recipe on the same data."""

    name: str
    """The recipe's, and what tells it from others of that name."""
    runs: tuple[Run, ...]

    @property
    def first(self) -> Run:
        """The run with the lowest seed, for what all of them share."""
        return self.runs[0]

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(run.recipe.train.seed for run in self.runs)

    @property
    def confidence(self) -> float:
        """The level of every interval, such as 0.95."""
        return self.first.scores.test.confidence_level

    @property
    def trained_parameters(self) -> int:
        return self.first.plan_facts.trainable_parameters

    def score(self, key: str) -> Interval:
        """A score of the test rows, such as `accuracy`, pooled over the runs."""
        if key in SCORES and len(self.runs) > 1:
            interval: Interval = getattr(self._system, key)
            return interval
        return self.pooled((getattr(run.scores.test, key) for run in self.runs), within=LIMITS.get(key, SHARE))

    def scores_of_runs(self, key: str) -> tuple[float, ...]:
        """The same score, one value for each run that has it."""
        return tuple(value for run in self.runs if (value := getattr(run.scores.test, key).value) is not None)

    def seconds(self, what: Literal["training", "all"] = "training") -> Interval:
        """How long `training` took, or `all` of a run."""
        return self.measured(getattr(run.facts.seconds, what) for run in self.runs)

    def peak_gb(self) -> Interval:
        """Peak memory in 10⁹ bytes."""
        peaks = [run.facts.actual.peak_bytes for run in self.runs]
        return self.measured(None if peak is None else peak / 1e9 for peak in peaks)

    def measured(self, values: Iterable[float | None]) -> Interval:
        """Mean and interval of what was measured once a run; not defined where a run did not keep it."""
        return self.pooled((Interval(value, None, None) for value in values), within=(0, math.inf))

    def pooled(self, intervals: Iterable[Interval], *, within: Bounds = SHARE) -> Interval:
        """One interval from those of the runs; it can't leave `within`."""
        return pooled(list(intervals), confidence=self.confidence, within=within)

    @cached_property
    def _system(self) -> System:
        """The runs as one system of a comparison."""
        return compare(self.runs, confidence=self.confidence).systems[0]

    @cached_property
    def histories(self) -> list[tuple[HistoryEntry, ...]]:
        """The evaluations during training, a list for each run."""
        return [run.scores.history for run in self.runs]

    @cached_property
    def logged_updates(self) -> list[list[UpdateLogged]]:
        """The updates that each run logged; of a run that was resumed, the last time each was made."""
        return [_logged_updates(run) for run in self.runs]


def group_by_recipe(runs: Sequence[Run]) -> list[Group]:
    """Runs that differ in train.seed alone become one group, in their first run's order.

    Raises RunError where two runs have the same recipe, data and seed.
    """
    same_recipe: dict[str, list[Run]] = {}
    for run in runs:
        others = same_recipe.setdefault(system_of(run), [])
        for other in others:
            if other.recipe.train.seed == run.recipe.train.seed:
                raise RunError(
                    f"{other.folder} and {run.folder} are the same recipe on the same data with the same seed "
                    f"({run.recipe.train.seed}), so they say nothing about chance; give one of them"
                )
        others.append(run)
    by_seed = [tuple(sorted(same, key=lambda run: run.recipe.train.seed)) for same in same_recipe.values()]
    recipe_names = [same[0].recipe.name for same in by_seed]
    unique_names = names(recipe_names, [settings_of_run(same[0]) for same in by_seed])
    return [Group(name, same) for name, same in zip(unique_names, by_seed, strict=True)]


def pooled(intervals: Sequence[Interval], *, confidence: float = 0.95, within: Bounds = SHARE) -> Interval:
    """The mean of some runs' values, with an interval that counts seeds and rows; not defined where one of them is not."""
    values = [interval.value for interval in intervals if interval.value is not None]
    if not values or len(values) < len(intervals):
        return Interval(None, None, None)
    if len(set(intervals)) == 1:
        return intervals[0]
    mean, tail = float(np.mean(values)), (1 + confidence) / 2
    of_seeds = float(np.var(values, ddof=1)) / len(values)
    width = 2 * float(stdtrit(np.inf, tail))  # of an interval, in standard deviations
    of_rows = float(np.mean([((interval.high or 0) - (interval.low or 0)) ** 2 for interval in intervals])) / width**2
    freedom = (len(values) - 1) * (1 + min(of_rows / of_seeds, 1e6)) ** 2 if of_seeds else np.inf
    reach = float(stdtrit(freedom, tail)) * (of_seeds + of_rows) ** 0.5
    return Interval(mean, max(within[0], mean - reach), min(within[1], mean + reach))


def mean_line(lines: Sequence[Line]) -> tuple[Line, Band]:
    """The mean of several lines (x, y) and, where there are several, their lowest and highest, over the x that all span.

    Between its own points a line is straight. Where no x is spanned by all, as of runs that were evaluated once and not after
    the same update, the mean lies between where the first one ends and the last one begins, and a line goes on level.
    """
    lines = [line for line in lines if line]
    if len(lines) <= 1:
        return (lines[0] if lines else []), []
    start, end = sorted((max(line[0][0] for line in lines), min(line[-1][0] for line in lines)))
    xs = sorted({x for line in lines for x, _ in line if start <= x <= end})
    heights = np.stack([np.interp(xs, [x for x, _ in line], [y for _, y in line]) for line in lines])  # (lines, xs)
    means, lows, highs = heights.mean(0).tolist(), heights.min(0).tolist(), heights.max(0).tolist()
    return list(zip(xs, means, strict=True)), list(zip(xs, lows, highs, strict=True))


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices, cheapest first, of the points (cost, gain) that no other equals or beats in both while beating it in one."""
    on_front = [
        index
        for index, (cost, gain) in enumerate(points)
        if not any((c <= cost and g >= gain) and (c < cost or g > gain) for c, g in points)
    ]
    return sorted(on_front, key=lambda index: points[index])


def run_name(folder: Path) -> str:
    """The folder as one would type it; its name alone where it lies outside the working folder."""
    path = Path(os.path.relpath(folder))
    return folder.resolve().name if ".." in path.parts else path.as_posix()


def _logged_updates(run: Run) -> list[UpdateLogged]:
    events = read_events(run.folder / "events.jsonl")
    by_step = {event.step: event for event in events if isinstance(event, UpdateLogged)}
    return [by_step[step] for step in sorted(by_step)]
