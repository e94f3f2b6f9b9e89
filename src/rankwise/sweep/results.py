"""The words of a sweep, as plain values: a process that trains needs no Optuna for them, and who reads a study no torch."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pkgutil import resolve_name
from statistics import fmean, stdev
from typing import Any, Literal

from rankwise.errors import OverBudget, PlanError, RecipeError, TrainingError
from rankwise.recipe import Recipe
from rankwise.stats.score_names import OF_NUMBERS
from rankwise.system.events import Event

State = Literal["finished", "pruned", "rejected", "failed", "running", "waiting"]
Direction = Literal["maximize", "minimize"]
OBJECTIVES: Mapping[str, Direction] = {
    "accuracy": "maximize",
    "macro_f1": "maximize",
    "mcc": "maximize",
    "worst_shift": "maximize",
    "log_loss": "minimize",
    "r2": "maximize",
    "pearson": "maximize",
    "spearman": "maximize",
    "root_mean_squared_error": "minimize",
    "mean_absolute_error": "minimize",
    "trained_parameters": "minimize",
    "seconds": "minimize",
}
COSTS = ("trained_parameters", "seconds")  # the objectives that are no scores
OF_CLASSES = ("accuracy", "macro_f1", "mcc", "log_loss")
SCORES = (*OF_CLASSES, *OF_NUMBERS)  # an evaluation has the first or the last; worst_shift only where it chose the checkpoint


@dataclass(frozen=True)
class Task:
    """One configuration for an engine: trained and scored with some seeds, or as a whole run in a folder."""

    recipe: Recipe
    seeds: tuple[int, ...]
    folder: str | None = None


@dataclass(frozen=True)
class Result:
    """What training one recipe with one seed gave."""

    scores: Mapping[str, float]
    """accuracy, macro_f1, mcc and log_loss on the validation rows, or those of a number, of the best evaluation."""
    trained_parameters: int
    seconds: float
    """Spent in training and its evaluations; in everything, of a whole run."""
    history: tuple[Mapping[str, float], ...] = ()
    """Every evaluation: step, epoch, training loss and the scores."""
    validation_rows: int = 0
    data_sha256: str = ""
    """Of the texts and labels, so that trials on other data are not compared."""
    test: Mapping[str, float] = field(default_factory=dict)
    """Scores on the test rows, of a whole run."""


@dataclass(frozen=True)
class Rejected:
    """What a task gives back for a recipe that was refused before training, that can't be trained here, or that diverged."""

    state: Literal["rejected", "failed"]
    reason: str
    excess: float = 1.0
    """How far it is beyond what is allowed, relative to that."""
    trained_parameters: int | None = None
    """What it would have trained, where that was too much."""


class Stop(Exception):
    """Raised by a Report: the trial is pruned."""


Report = Callable[[Mapping[str, float]], None]
"""Hears every evaluation within a trial; raises `Stop` when the trial is not worth going on with."""
Objective = Callable[[Recipe, Report], Result]
"""Trains and scores a recipe. Raises PlanError for a plan that is refused before training."""
Retrain = Callable[[Recipe, str], Result]
"""Trains a recipe as a whole run in a folder; goes on where it was stopped."""


@dataclass(frozen=True)
class Imported:
    """An Objective or a Retrain as `module:name`, imported where it is called: a driver need not load what trains."""

    name: str

    def __call__(self, *arguments: Any) -> Any:
        return resolve_name(self.name)(*arguments)


@dataclass(frozen=True)
class TrialWork:
    """What an engine does with a task; it is pickled, sent to other processes, and called there many times.

    Refusals, divergence and training that cannot start are results, returned as `Rejected`; everything else that is raised
    stops the sweep.
    """

    objective: Objective
    retrain: Retrain | None

    def __call__(self, task: Task, report: Report) -> list[Result] | Rejected:
        first, *others = [task.recipe.with_overrides([f"train.seed={seed}"]) for seed in task.seeds]
        try:
            if task.folder is not None:
                assert self.retrain is not None, "finalists are asked for where there is a way to train them"
                return [self.retrain(first, task.folder)]
            # the first seed decides whether a trial is pruned
            return [self.objective(first, report), *(self.objective(recipe, lambda _: None) for recipe in others)]
        except OverBudget as problem:
            reason = f"it would train {problem.trained:,} parameters, and fewer than {problem.cap:,} may train"
            return Rejected("rejected", reason, (problem.trained - problem.cap) / problem.cap, problem.trained)
        except (PlanError, RecipeError) as problem:
            return Rejected("rejected", str(problem).splitlines()[0])
        except TrainingError as problem:
            return Rejected("failed", str(problem).splitlines()[0])


@dataclass(frozen=True)
class Trial:
    """One configuration, with what one or several seeds of it gave."""

    number: int
    state: State
    params: Mapping[str, Any]
    """The recipe keys of the configuration and their values."""
    values: Mapping[str, float] = field(default_factory=dict)
    """Each objective's mean over the seeds; empty unless finished."""
    scores: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """accuracy, macro_f1, mcc and log_loss on the validation rows, or those of a number; one for each seed."""
    seeds: Sequence[int] = ()
    seconds: float | None = None
    """Training and its evaluations, mean over the seeds; until it was pruned, where it was."""
    trained_parameters: int | None = None
    history: Sequence[Sequence[Mapping[str, float]]] = ()
    """For each seed every evaluation: step, epoch, training loss, scores."""
    validation_rows: int | None = None
    reason: str = ""
    """Why it was rejected, was pruned or failed."""

    def mean(self, metric: str) -> float:
        """A score's mean over the seeds."""
        return fmean(self.scores[metric])

    def spread(self, metric: str) -> float | None:
        """A score's standard deviation over the seeds; None for a single one, or for what is no score."""
        values = self.scores.get(metric, ())
        return stdev(values) if len(values) > 1 else None


@dataclass(frozen=True)
class Final(Event, kind="final"):
    """A finalist trained again as a whole run, on a seed that the search did not use; as an event, it has just ended."""

    trial: int
    """The number of the trial whose configuration it has."""
    seed: int
    folder: str
    """Its run folder, on the machine that trained it."""
    validation: Mapping[str, float] = field(default_factory=dict)
    test: Mapping[str, float] = field(default_factory=dict)
    """Scores of the test rows, which were scored once."""
    seconds: float | None = None
    reason: str = ""
    """Why it has no scores: it diverged with this seed."""


def configured(base: Recipe, params: Mapping[str, Any]) -> Recipe:
    """The base with some keys changed. Raises RecipeError where they don't go together."""
    return base.with_overrides(f"{key}={json.dumps(value)}" for key, value in params.items())


@dataclass(frozen=True)
class Standing:
    """How far a search is, counting the trials of all its drivers."""

    done: int
    """Trials that were finished, pruned or failed, of `total`."""
    total: int
    eta_seconds: float | None
    best: Trial | None


@dataclass(frozen=True)
class SearchStarted(Event, kind="sweep"):
    """A driver takes part in a search, running so many trials beside each other."""

    jobs: int
    standing: Standing


@dataclass(frozen=True)
class TrialEnded(Event, kind="trial"):
    """A trial is finished, pruned, rejected or failed."""

    trial: Trial
    standing: Standing


@dataclass(frozen=True)
class TrialsAwaited(Event, kind="waiting"):
    """Nothing can be started until so many trials of other drivers have come further."""

    trials: int


@dataclass(frozen=True)
class ProcessDied(Event, kind="died"):
    """The process of a trial died; the trial waits to be trained again."""

    number: int


@dataclass(frozen=True)
class FinalistsChosen(Event, kind="finalists"):
    """The numbers of the trials that are trained again, in so many whole runs."""

    runs: int
    trials: tuple[int, ...]


@dataclass(frozen=True)
class SweepStopped(Event, kind="stopped"):
    """A driver stops before the sweep is done; what it was running waits to be trained again."""
