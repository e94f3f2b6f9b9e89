"""What a sweep found, as plain values: every trial with its settings and scores, the best, the front, the finalists.

`Study.load("sweeps/first")` reads a sweep's folder, `Study.load("postgresql://…/db#first")` a study in a shared database;
both may still be running. Scores are those of validation rows; the finalists have test scores too. Loads no torch.
"""

import json
import operator
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any, Self

import optuna
from optuna.trial import FrozenTrial, TrialState

from rankwise.data.files.formats.csv import write_lines
from rankwise.errors import RunError
from rankwise.recipe import Recipe
from rankwise.sweep.results import COSTS, OBJECTIVES, SCORES, Final, State, Trial, configured
from rankwise.sweep.storage import ALIVE, ENDED, existing
from rankwise.system.storage import whole_file, write_whole


@dataclass(frozen=True)
class Study:
    """All trials of a sweep, in the order in which they were started."""

    name: str
    objectives: tuple[str, ...]
    """What is maximized or minimized; the first one orders the leaderboard."""
    base: Recipe
    """The recipe that every configuration changes."""
    trials: tuple[Trial, ...] = field(repr=False)
    finals: tuple[Final, ...] = field(default=(), repr=False)
    varied: tuple[str, ...] = ()
    """The recipe keys that the space varies."""
    complete: tuple[FrozenTrial, ...] = field(default=(), repr=False, compare=False)
    """The finished trials as Optuna has them, for `importances`."""

    @classmethod
    def load(cls, folder_or_url: str | Path) -> Self:
        """The study in a sweep's folder, or in a database as URL#NAME. Raises RunError."""
        with existing(folder_or_url) as studies:
            return cls.of(*studies)

    @classmethod
    def of(cls, search: optuna.Study, finals: optuna.Study | None = None) -> Self:
        """What stands in Optuna's study of the search, and of the finalists. Raises RunError for one of something else."""
        facts = search.user_attrs.get("sweep")
        if not isinstance(facts, dict):
            raise RunError(
                f"the study '{search.study_name}' was not made by rankwise sweep; give another name: --out sweeps/NAME"
            )
        return cls(
            name=search.study_name,
            objectives=tuple(facts["objectives"]),
            base=Recipe.from_dict(facts["base"]),
            trials=tuple(_trials(search, facts["objectives"])),
            finals=tuple(_finals(finals)) if finals is not None else (),
            varied=tuple(facts["varied"]),
            complete=tuple(search.get_trials(deepcopy=False, states=[TrialState.COMPLETE])),
        )

    @property
    def finished(self) -> tuple[Trial, ...]:
        """The finished trials, the best by the first objective first; of equals the one with the lower log-loss."""
        first = self.objectives[0]
        ended = [trial for trial in self.trials if trial.state == "finished"]  # in the order of their numbers
        ended.sort(key=lambda trial: trial.mean("log_loss") if "log_loss" in trial.scores else 0.0)
        return tuple(sorted(ended, key=lambda trial: -_gain(first, trial.values[first])))

    @property
    def best(self) -> Trial | None:
        """The finalist whose fresh seeds scored best on validation rows; while there are none, the best finished trial.

        Of finalists those come first of which the fewest runs diverged, then those of which the most are done.
        """
        finished, first = self.finished, self.objectives[0]
        if first in COSTS or all(final.reason for final in self.finals):
            return finished[0] if finished else None

        def on_fresh_seeds(trial: Trial) -> tuple[int, int, float]:
            runs = [final for final in self.finals if final.trial == trial.number]
            scores = [final.validation[first] for final in runs if not final.reason]
            return len(scores) - len(runs), len(scores), _gain(first, fmean(scores)) if scores else 0.0

        finalists = {final.trial for final in self.finals}
        return max((trial for trial in finished if trial.number in finalists), key=on_fresh_seeds)

    @property
    def headline(self) -> str:
        """The score that is told where the first objective is a cost, and while trials learn."""
        return "r2" if any("r2" in trial.scores for trial in self.trials) else "accuracy"

    def front(self) -> tuple[Trial, ...]:
        """The finished trials that no other beats in one objective without losing in another, in the leaderboard's order."""
        finished = self.finished
        gains = [[_gain(name, trial.values[name]) for name in self.objectives] for trial in finished]
        return tuple(
            trial
            for trial, mine in zip(finished, gains, strict=True)
            if not any(other != mine and all(map(operator.ge, other, mine)) for other in gains)
        )

    def importances(self) -> dict[str, float]:
        """How much each varied setting decides whether a trial is among the best, the most important first; they sum to 1.

        PED-ANOVA (arXiv 2304.10255) of the first objective: the best tenth against all, or at least five trials, or half of
        them where they are few. Empty where they are fewer than four or scored alike; of few trials it is a hint.
        """
        complete, first = self.complete, self.objectives[0]
        if len(complete) < 4 or len({t.values[0] for t in complete}) < 2 or not any(t.params for t in complete):
            return {}
        evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=min(0.5, max(0.1, 5 / len(complete))))
        study = optuna.create_study(directions=[OBJECTIVES[name] for name in self.objectives])  # in memory
        study.add_trials(complete)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns that it takes the lowest for the best, and that it is new
            shares = optuna.importance.get_param_importances(
                study, evaluator=evaluator, target=lambda trial: -_gain(first, trial.values[0])
            )
        return dict(sorted(shares.items(), key=lambda item: -item[1]))

    def recipe(self, trial: Trial) -> Recipe:
        """The recipe that a trial trained."""
        return configured(self.base, trial.params)

    def count(self, *states: State) -> int:
        """How many trials are in these states."""
        return sum(trial.state in states for trial in self.trials)


def ended_trial(number: int, params: Mapping[str, Any], objectives: Iterable[str], outcome: Mapping[str, Any]) -> Trial:
    """A trial with the outcome that `Board.finish` writes."""
    values = dict(zip(objectives, outcome.get("objectives", ()), strict=False))
    others = {key: value for key, value in outcome.items() if key not in ("objectives", "excess")}
    return Trial(number, params=params, values=values, **others)


def write_tables(study: Study, folder: str | Path) -> list[Path]:
    """Write leaderboard.csv, trials.csv in the order of their start, and the best trial's recipe if any; return the paths."""
    folder = Path(folder)
    written = [folder / "leaderboard.csv", folder / "trials.csv"]
    scores = [name for name in (*SCORES, "worst_shift") if any(name in trial.scores for trial in study.trials)]
    rows = {trial.number: _row(trial, scores, study.varied) for trial in study.trials}
    _write(written[0], [{"place": rank, **rows[trial.number]} for rank, trial in enumerate(study.finished, start=1)])
    _write(written[1], list(rows.values()))
    if best := study.best:
        recipe = study.recipe(best).model_copy(update={"name": f"{study.name.lstrip('.')}-best", "published": None})
        written.append(folder / "best.yaml")
        write_whole(written[-1], recipe.to_yaml().encode(), shared=True)
    return written


def _trials(search: optuna.Study, objectives: list[str]) -> Iterator[Trial]:
    """The trials of a search, without those that repeated another or were lost and started again."""
    for trial in search.get_trials(deepcopy=False):
        if trial.state == TrialState.FAIL or "params" not in trial.user_attrs:
            continue
        params = trial.user_attrs["params"]
        if trial.state in ALIVE:
            seen = tuple({"step": step, objectives[0]: value} for step, value in trial.intermediate_values.items())
            yield Trial(trial.number, "running" if trial.state == TrialState.RUNNING else "waiting", params, history=(seen,))
        else:
            yield ended_trial(trial.number, params, objectives, trial.user_attrs["outcome"])


def _finals(finals: optuna.Study) -> Iterator[Final]:
    for trial in finals.get_trials(deepcopy=False, states=ENDED):
        outcome = trial.user_attrs["outcome"]
        yield Final(**outcome.get("final", trial.user_attrs["params"] | {"reason": outcome.get("reason")}))


def _gain(objective: str, value: float) -> float:
    """What is the larger the better."""
    return value if OBJECTIVES[objective] == "maximize" else -value


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    with whole_file(path, shared=True) as draft, draft.open("w", encoding="utf-8", newline="") as file:
        shown = ({name: f"{value:.6g}" if isinstance(value, float) else value for name, value in row.items()} for row in rows)
        write_lines(file, list(rows[0]) if rows else ["trial"], shown)


def _row(trial: Trial, scores: Sequence[str], varied: Sequence[str]) -> dict[str, Any]:
    row: dict[str, Any] = {"trial": trial.number, "state": trial.state}
    for name in scores:
        row |= {name: trial.mean(name) if name in trial.scores else None, f"{name}_sd": trial.spread(name)}
    row |= {name: getattr(trial, name) for name in COSTS}
    row |= {"seeds": len(trial.seeds) or None, "seed_numbers": " ".join(map(str, trial.seeds))}
    row["validation_rows"] = trial.validation_rows
    params = {key: trial.params.get(key, "") for key in varied}
    row |= {key: value if isinstance(value, str) else json.dumps(value) for key, value in params.items()}
    return row | {"reason": trial.reason}
