"""A report → its experiments, run, beside its published numbers.

    OUT/EXPERIMENT-seed-S/          a run folder each
    OUT/EXPERIMENT-seed-S-….parquet what another way of asking a run answered (Monte Carlo dropout), by the run's digest

What is finished there is read, what was stopped goes on, so the same call ends what it began.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from rankwise.data.labelled import Labelled, read_labelled
from rankwise.errors import MissingExtra
from rankwise.planning.plan import plan
from rankwise.published.reports import DataName, Experiment, ExperimentStarted, Report
from rankwise.recipe import Recipe
from rankwise.run.format import ScoredRows
from rankwise.run.manifest import MANIFEST, SCORED_ROWS
from rankwise.run.opening import Existing
from rankwise.system.events import Events, Listener
from rankwise.system.files import sha256, to_json, write_json
from rankwise.system.sealed import damage, sealed_folder
from rankwise.workflows.by_importance import with_scores
from rankwise.workflows.compare import Answers, Comparison, System, compare
from rankwise.workflows.train import train_on


@dataclass(frozen=True)
class Request:
    """Which experiments of a report are run, how often, and on what."""

    report: Report
    overrides: tuple[str, ...] = ()
    """What every experiment changes, as for --set."""
    sources: Mapping[DataName, str] = field(default_factory=dict)
    """Where each data set is; the hub, where this does not say."""
    seeds: int = 1
    """Each experiment is trained with seeds 0 to `seeds` - 1."""
    only: tuple[str, ...] = ()
    """Names of the experiments to run; all when empty."""


@dataclass(frozen=True)
class Outcome:
    """One experiment: what the report printed is in `experiment`, what came of it here beside it."""

    experiment: Experiment
    counted: int
    """Parameters that it trains on the report's own encoder, by the planner."""
    counted_here: int
    """Parameters that it trains on the encoder used here."""
    updates: int | None = None
    training_rows: int | None = None
    validation_accuracy: float | None = None
    """Of the chosen checkpoint, the mean over seeds."""
    majority: float | None = None
    """Test accuracy of always answering the commonest class."""
    system: System | None = None
    """Test scores and costs; None where it was left out."""
    left_out: str | None = None
    """Why it was not run."""

    @property
    def learned(self) -> bool:
        """Whether its test accuracy is shown to be above the commonest class's; True where that is not known."""
        low = self.system.accuracy.low if self.system else None
        return low is None or self.majority is None or low > self.majority


@dataclass(frozen=True)
class Reproduction:
    """What `reproduce` returns."""

    report: Report
    base: str
    """The encoder used here."""
    overrides: tuple[str, ...]
    outcomes: tuple[Outcome, ...]
    comparisons: Mapping[DataName, Comparison]
    """Of the experiments on each data set; systems are called after experiments."""
    doubts: tuple[str, ...]
    """What does not add up: in the parameters, as counted, then what the report's own words show."""

    def as_dict(self) -> dict[str, Any]:
        """The reproduction as plain JSON values."""
        outcomes = [
            vars(outcome) | {"learned": outcome.learned, "experiment": outcome.experiment.model_dump(mode="json")}
            for outcome in self.outcomes
        ]
        return {
            "report": self.report.number,
            "title": self.report.title,
            "base": self.base,
            "overrides": list(self.overrides),
            "outcomes": to_json(outcomes),
            "comparisons": {name: comparison.as_dict() for name, comparison in self.comparisons.items()},
            "doubts": list(self.doubts),
        }


@dataclass
class _Trained:
    """An experiment's recipe here, and what its runs answered so far, one for each seed."""

    experiment: Experiment
    recipe: Recipe
    labelled: Labelled = field(repr=False)
    answers: list[Answers] = field(default_factory=list)
    left_out: str | None = None

    @property
    def counted(self) -> int:
        return plan(self.recipe, classes=len(self.labelled.classes)).ledger.trainable_parameters


def reproduce(request: Request, out: Path, *, listeners: Iterable[Listener] = (), overwrite: bool = False) -> Reproduction:
    """Run a report's experiments into `out` and lay its numbers beside ours.

    Listeners hear ExperimentStarted before each training, then its events: `done` where it is there already, `asked_by` the
    experiment that needs it where the request does not name it. An experiment that needs an extra which is not installed is
    left out, and says so. Raises a RankwiseError before anything trains where a recipe, its data or its budget are not in
    order.
    """
    report, only, listeners = request.report, request.only, tuple(listeners)
    tables: dict[str, Labelled] = {}
    chosen = [_settled(experiment, request, tables) for experiment in report.chosen(only)]
    for trained in chosen:
        if trained.experiment.asks is None:
            _ = trained.counted  # a plan that is over budget says so now
    by_name = {trained.experiment.name: trained for trained in chosen}
    total = request.seeds * len(chosen)
    for number, (trained, seed) in enumerate(product(chosen, range(request.seeds)), 1):
        name, asked = trained.experiment.name, by_name.get(trained.experiment.asks or "")
        askers = [one.experiment.name for one in chosen if one.experiment.asks == name and only and name not in only]
        folder = out / f"{name}-seed-{seed}"
        if asked is None:
            done = not overwrite and (folder / MANIFEST).is_file()
        else:
            done = not asked.left_out and damage(_answers_folder(trained, asked, seed, folder)) is None
        Events(*listeners).emit(ExperimentStarted(name, seed, number, total, " and ".join(askers), done))
        if asked is None:
            _train(trained, seed, folder, listeners, existing="overwrite" if overwrite else "resume")
        else:
            _ask(trained, asked, seed, folder)
    answers: dict[DataName, list[Answers]] = {}
    for trained in chosen:
        answers.setdefault(trained.experiment.data, []).extend(trained.answers)
    comparisons = {name: compare(those) for name, those in answers.items() if those}
    outcomes = tuple(_outcome(trained, comparisons.get(trained.experiment.data)) for trained in chosen)
    doubts = (*_miscounts(outcomes), *report.doubts)
    reproduction = Reproduction(report, chosen[0].recipe.base, request.overrides, outcomes, comparisons, doubts)
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "reproduction.json", reproduction.as_dict())
    return reproduction


def _settled(experiment: Experiment, request: Request, tables: dict[str, Labelled]) -> _Trained:
    """The experiment with what the caller changes, and its data, read once for all that read the same."""
    changes: list[str] = []
    if experiment.data in request.sources:  # the classes are those of the files
        changes = [f"data.source={json.dumps(request.sources[experiment.data])}", "data.classes=[]"]
    recipe = experiment.load().with_overrides([*changes, *request.overrides])
    key = recipe.data.model_dump_json()
    if key not in tables:
        tables[key] = read_labelled(recipe.data)
    return _Trained(experiment, with_scores(recipe, tables[key]), tables[key])


def _train(trained: _Trained, seed: int, folder: Path, listeners: Sequence[Listener], *, existing: Existing) -> None:
    if trained.left_out:
        return
    recipe = trained.recipe.with_overrides([f"train.seed={seed}"])
    try:
        run = train_on(trained.labelled, recipe, folder, listeners=listeners, existing=existing)
    except MissingExtra as missing:
        trained.left_out = str(missing)
        return
    # By name, for overrides may make two experiments one and the same recipe.
    trained.answers.append(Answers(run, run.scored_rows(), name=trained.experiment.name))


def _ask(asking: _Trained, asked: _Trained, seed: int, folder: Path) -> None:
    """What a run of another experiment answers with dropout on, kept in a sealed folder beside `folder`."""
    if asked.left_out:
        asking.left_out = asked.left_out
        return
    run, kept = asked.answers[seed].run, _answers_folder(asking, asked, seed, folder)
    if damage(kept):
        passes = asking.experiment.mc_dropout or 1
        probabilities = run.predictor.probabilities(asked.labelled.test.texts, mc_dropout=passes, seed=seed)
        after = replace(run.scored_rows(), probabilities=probabilities.astype(np.float32))
        with sealed_folder(kept) as draft:
            after.write(draft / SCORED_ROWS, run.preprocessing.classes)
    rows = ScoredRows.read(kept / SCORED_ROWS, run.preprocessing.classes)
    asking.answers.append(Answers(run, rows, name=asking.experiment.name))


def _answers_folder(asking: _Trained, asked: _Trained, seed: int, folder: Path) -> Path:
    passes, digest = asking.experiment.mc_dropout or 1, sha256(asked.answers[seed].run.folder / MANIFEST)[:12]
    return folder.with_name(f"{folder.name}-{passes}-{digest}")


def _outcome(trained: _Trained, comparison: Comparison | None) -> Outcome:
    systems, runs = comparison.systems if comparison else (), [answers.run for answers in trained.answers]
    majority = runs[0].scores.baselines.get("majority class") if runs else None
    return Outcome(
        experiment=trained.experiment,
        counted=trained.experiment.counted(),
        counted_here=trained.counted,
        updates=runs[0].facts.steps if runs else None,
        training_rows=runs[0].facts.rows.train if runs else None,
        validation_accuracy=float(np.mean([run.scores.validation.accuracy for run in runs])) if runs else None,
        majority=majority.accuracy.value if majority else None,
        system=next((system for system in systems if system.name == trained.experiment.name), None),
        left_out=trained.left_out,
    )


def _miscounts(outcomes: Sequence[Outcome]) -> list[str]:
    """A line for each printed parameter count that is not what the layers it describes train."""
    printed = {(said, one.counted) for one in outcomes if (said := one.experiment.trained_parameters)}
    return [
        f"It prints {said:,} trained parameters; the layers that it describes train {counted:,}, "
        f"{abs(counted - said):,} {'more' if counted > said else 'fewer'}."
        for said, counted in sorted(printed)
        if said != counted
    ]
