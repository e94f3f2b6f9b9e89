"""The words of a sweep, as plain values: an objective and its result, a trial, a finalist.

Nothing here loads torch or Optuna.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from statistics import fmean, stdev
from typing import Any, Literal, Protocol

from rankwise.recipe import Recipe
from rankwise.system.events import Event

State = Literal["finished", "pruned", "rejected", "failed", "running", "waiting"]
Direction = Literal["maximize", "minimize"]
OBJECTIVES: Mapping[str, Direction] = {
    "accuracy": "maximize",
    "macro_f1": "maximize",
    "mcc": "maximize",
    "worst_shift": "maximize",
    "log_loss": "minimize",
    "trained_parameters": "minimize",
    "seconds": "minimize",
}
COSTS = ("trained_parameters", "seconds")  # the objectives that are no scores


@dataclass(frozen=True)
class TrialResult:
    """What an objective gives back for one recipe with one seed."""

    scores: Mapping[str, float]
    """accuracy, macro_f1, mcc and log_loss on the validation rows, of the best evaluation."""
    trained_parameters: int
    seconds: float
    """Spent in training and its evaluations."""
    history: tuple[Mapping[str, float], ...] = ()
    """Every evaluation: step, epoch, training loss and the scores."""
    validation_rows: int = 0
    data_sha256: str = ""
    """Of the texts and labels, so that trials on other data are not compared."""


class Report(Protocol):
    """Hears every evaluation within a trial; raises `Stop` when the trial is not worth going on with."""

    def __call__(self, entry: Mapping[str, float], /) -> None: ...


class Objective(Protocol):
    """A recipe → its scores on validation rows. Raises PlanError for a plan that is refused before training.

    It is pickled, sent to other processes, and called there many times.
    """

    def __call__(self, recipe: Recipe, report: Report, /) -> TrialResult: ...


class Stop(Exception):
    """Raised by a Report: the trial is pruned."""


@dataclass(frozen=True)
class FinalResult:
    """What a whole run of a finalist gives back: scores by name on validation and on test rows."""

    validation: Mapping[str, float]
    test: Mapping[str, float]
    seconds: float
    data_sha256: str


class Retrain(Protocol):
    """Trains a recipe as a whole run in a folder; goes on where it was stopped. Pickled like an Objective."""

    def __call__(self, recipe: Recipe, folder: str, /) -> FinalResult: ...


@dataclass(frozen=True)
class Imported:
    """An Objective or a Retrain by its name, imported where it is called: a driver need not load what trains."""

    module: str
    name: str

    def __call__(self, *arguments: Any) -> Any:
        return getattr(import_module(self.module), self.name)(*arguments)


@dataclass(frozen=True)
class Trial:
    """One configuration, with what one or several seeds of it gave."""

    number: int
    state: State
    params: Mapping[str, Any]
    """The recipe keys of the configuration and their values."""
    values: Mapping[str, float] = field(default_factory=dict)
    """Each objective's mean over the seeds; empty unless finished."""
    scores: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """accuracy, macro_f1, mcc and log_loss on the validation rows, one number for each seed."""
    seeds: tuple[int, ...] = ()
    seconds: float | None = None
    """Training and its evaluations, mean over the seeds; until it was pruned, where it was."""
    trained_parameters: int | None = None
    history: tuple[tuple[Mapping[str, float], ...], ...] = ()
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
class Final:
    """A finalist trained again as a whole run, on a seed that the search did not use."""

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
class FinalEnded(Event, kind="final"):
    """A finalist's whole run is finished, or diverged."""

    final: Final


@dataclass(frozen=True)
class SweepStopped(Event, kind="stopped"):
    """A driver stops before the sweep is done; `interrupted` trials wait to be trained again."""

    interrupted: int
    standing: Standing


def configured(base: Recipe, params: Mapping[str, Any]) -> Recipe:
    """The base with some keys changed. Raises RecipeError where they don't go together."""
    return base.with_overrides(f"{key}={json.dumps(value)}" for key, value in params.items())


def values_of(objectives: Sequence[str], results: Sequence[TrialResult]) -> dict[str, float]:
    """Each objective's mean over the seeds."""
    by_seed = [{**one.scores, "trained_parameters": one.trained_parameters, "seconds": one.seconds} for one in results]
    return {name: fmean(values[name] for values in by_seed) for name in objectives}
