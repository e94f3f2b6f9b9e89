"""What an engine's process does with a task of a sweep: train and score one configuration, or make a finalist's run.

Refusals, divergence and training that cannot start are results, returned as `Rejected`; everything else that is raised stops
the sweep. Imports no Optuna: processes that train need none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rankwise.errors import OverBudget, PlanError, RecipeError, TrainingError
from rankwise.recipe import Recipe
from rankwise.sweep.results import FinalResult, Objective, Report, Retrain, TrialResult


@dataclass(frozen=True)
class Rejected:
    """What a task gives back for a recipe that was refused before training, that can't be trained here, or that diverged."""

    state: str
    reason: str
    excess: float
    """How far it is beyond what is allowed, relative to that."""
    trained_parameters: int | None = None
    """What it would have trained, where that was too much."""


@dataclass(frozen=True)
class Task:
    """One configuration for an engine: trained and scored with some seeds, or as a whole run in a folder."""

    recipe: Recipe
    seeds: tuple[int, ...]
    folder: str | None = None


@dataclass(frozen=True)
class TrialWork:
    """What an engine does with a task."""

    objective: Objective
    retrain: Retrain | None

    def __call__(self, task: Task, report: Report) -> list[TrialResult] | FinalResult | Rejected:
        recipes = [task.recipe.with_overrides([f"train.seed={seed}"]) for seed in task.seeds]
        try:
            if task.folder is not None:
                assert self.retrain is not None, "finalists are asked for where there is a way to train them"
                return self.retrain(recipes[0], task.folder)
            reports = [report, *[_unheard] * (len(recipes) - 1)]  # the first seed decides whether a trial is pruned
            return [self.objective(recipe, heard) for recipe, heard in zip(recipes, reports, strict=True)]
        except OverBudget as problem:
            reason = f"it would train {problem.trained:,} parameters, and fewer than {problem.cap:,} may train"
            return Rejected("rejected", reason, (problem.trained - problem.cap) / problem.cap, problem.trained)
        except (PlanError, RecipeError) as problem:
            return Rejected("rejected", str(problem).splitlines()[0], 1.0)
        except TrainingError as problem:
            return Rejected("failed", str(problem).splitlines()[0], 1.0)


def _unheard(entry: Mapping[str, float]) -> None:
    """A report that nobody listens to."""
