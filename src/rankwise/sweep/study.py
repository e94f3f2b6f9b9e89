"""What a sweep found, as plain values: every trial with its settings and scores, the best, the front, the finalists.

`Study.load("sweeps/first")` reads a sweep's folder, `Study.load("postgresql://…/db#first")` a study in a shared database;
both may still be running. Scores are those of validation rows; the finalists have test scores too. Loads no torch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from rankwise.errors import require
from rankwise.recipe import Recipe
from rankwise.sweep.results import COSTS, OBJECTIVES, Final, State, Trial, configured


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
    source: Any = field(default=None, repr=False, compare=False)
    """Directions and finished trials as Optuna has them, for `importances`."""

    @classmethod
    def load(cls, folder_or_url: str | Path) -> Study:
        """The study in a sweep's folder, or in a database as URL#NAME. Raises RunError; MissingExtra without Optuna."""
        require("optuna", extra="sweep")
        from rankwise.sweep.storage import located, opened

        url, name = located(folder_or_url)
        with opened(url, name, ["maximize"]) as studies:  # they are there, with directions of their own
            return cls.of(*studies)

    @classmethod
    def of(cls, source: Any, finals: Any = None) -> Study:
        """What stands in Optuna's study of the search, and in that of the finalists where there is one."""
        from rankwise.sweep.storage import facts_of, finals_of, trials_of

        facts = facts_of(source)
        return cls(
            name=source.study_name,
            objectives=tuple(facts["objectives"]),
            base=Recipe.from_dict(facts["base"]),
            trials=tuple(trials_of(source, facts["objectives"])),
            finals=tuple(finals_of(finals)) if finals is not None else (),
            varied=tuple(facts["varied"]),
            source=(
                source.directions,
                [trial for trial in source.get_trials(deepcopy=False) if trial.state.name == "COMPLETE"],
            ),
        )

    @property
    def finished(self) -> tuple[Trial, ...]:
        """The finished trials, the best by the first objective first; of equals the one with the lower log-loss."""
        first = self.objectives[0]
        sign = _sign(first)

        def order(trial: Trial) -> tuple[float, float, int]:
            log_loss = trial.mean("log_loss") if "log_loss" in trial.scores else 0.0
            return -sign * trial.values[first], log_loss, trial.number

        return tuple(sorted((trial for trial in self.trials if trial.state == "finished"), key=order))

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
            return len(scores) - len(runs), len(scores), _sign(first) * fmean(scores) if scores else 0.0

        finalists = {final.trial for final in self.finals}
        return max((trial for trial in finished if trial.number in finalists), key=on_fresh_seeds)

    def front(self) -> tuple[Trial, ...]:
        """The finished trials that no other beats in one objective without losing in another, in the leaderboard's order."""
        finished = self.finished
        return tuple(trial for trial in finished if not any(self._dominates(other, trial) for other in finished))

    def importances(self) -> dict[str, float]:
        """How much each varied setting decides whether a trial is among the best, the most important first; they sum to 1.

        PED-ANOVA (arXiv 2304.10255) of the first objective, as Optuna computes it; empty where trials are fewer than four or
        scored alike. Of few trials it is a hint.
        """
        from rankwise.sweep.storage import importances

        return importances(*self.source) if self.source is not None else {}

    def recipe(self, trial: Trial) -> Recipe:
        """The recipe that a trial trained."""
        return configured(self.base, trial.params)

    def count(self, *states: State) -> int:
        """How many trials are in these states."""
        return sum(trial.state in states for trial in self.trials)

    def _dominates(self, one: Trial, other: Trial) -> bool:
        ahead = [_sign(name) * (one.values[name] - other.values[name]) for name in self.objectives]
        return min(ahead) >= 0 and max(ahead) > 0


def _sign(objective: str) -> int:
    return 1 if OBJECTIVES[objective] == "maximize" else -1
