"""The second stage of a sweep: the best configurations as whole runs on fresh seeds, each of which scores the test once."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from rankwise.errors import RunError
from rankwise.recipe import Recipe
from rankwise.sweep.results import Final, FinalEnded, FinalistsChosen, Rejected, Result, Task, configured
from rankwise.sweep.stage import Running, Stage, Sweep, waits
from rankwise.sweep.storage import MOST_DEATHS, Board
from rankwise.sweep.study import Study


class Finals(Stage):
    """Whole runs of a search's best configurations."""

    def __init__(self, sweep: Sweep, board: Board, study: Study) -> None:
        super().__init__(sweep, board, sweep.timing.allows_final)
        search, first = sweep.space.search, sweep.base.train.seed + sweep.space.search.seeds
        best = study.front() if len(study.objectives) > 1 else study.finished
        self.wanted = {  # (trial, seed) of each run, and its recipe
            (trial.number, seed): configured(sweep.base, trial.params)
            for trial in best[: search.finalists]
            for seed in range(first, first + search.finalist_seeds)
        }
        self.searched = {trial.number: trial.params for trial in study.finished}

    def run(self) -> None:
        trials = tuple(dict.fromkeys(number for number, _ in self.wanted))
        self.sweep.events.emit(FinalistsChosen(len(self.wanted), trials))
        self._enqueue()
        super().run()

    def is_wanting(self) -> bool:
        return waits([trial for trial in self.board.trials() if self._recipe(trial) is not None])

    def start(self) -> bool:
        self._enqueue()
        while self.is_wanting():
            trial = self.board.ask()
            recipe = self._recipe(trial)
            if recipe is None:  # another driver took what waited, so Optuna made this one; or a former call wanted it
                self.board.give_up(trial, "not wanted")
                continue
            params = trial.user_attrs["params"]
            folder = str(self.sweep.folder / "finals" / f"trial-{params['trial']}-seed-{params['seed']}")
            params = {**params, "folder": folder}  # this driver's; another one has its own
            if self.board.claim(trial, trial.user_attrs["fingerprint"], params, waiting=self.waiting):
                self.hand_over(trial, Task(recipe, (params["seed"],), folder))
                return True
        return False

    def finish(self, running: Running, end: list[Result] | Rejected | None) -> None:
        assert end is not None, "a whole run is not stopped early"
        params = running.trial.user_attrs["params"]
        if isinstance(end, Rejected):  # it diverges with this seed, which is worth knowing
            final = Final(**params, reason=end.reason)
            outcome: dict[str, Any] = {"state": end.state, "reason": end.reason}
        else:
            (result,) = end
            self.check_data(self.searched[params["trial"]], result.data_sha256)
            final = Final(**params, validation=result.scores, test=result.test, seconds=result.seconds)
            score = result.scores.get(self.sweep.space.objectives[0], 0.0)
            outcome = {"state": "finished", "objectives": [score], "final": asdict(final)}
        self.board.finish(running.trial, outcome)
        self.sweep.events.emit(FinalEnded(final))

    def gives_up(self, running: Running) -> None:
        """Leaves it to the next call, which goes on from its last checkpoint."""
        raise RunError(
            f"{running.trial.user_attrs['params']['folder']}: its process died {MOST_DEATHS} times, as it does where memory "
            "runs out; try fewer trials at a time: --jobs 1"
        )

    def _recipe(self, trial: optuna.Trial | FrozenTrial) -> Recipe | None:
        """What a trial of this study is to train; None where that is not wanted here."""
        params = trial.user_attrs.get("params", {})
        return self.wanted.get((params.get("trial"), params.get("seed")))

    def _enqueue(self) -> None:
        """Queue for `ask` what is wanted and not there yet."""
        held = (trial.user_attrs for trial in self.board.trials() if "given up" not in trial.user_attrs)
        known = {attrs.get("fingerprint") for attrs in held}
        for (number, seed), recipe in self.wanted.items():
            key = f"{recipe.fingerprint}:{seed}"
            if key not in known:
                attrs = {"params": {"trial": number, "seed": seed}, "fingerprint": key}
                self.board.study.enqueue_trial({}, user_attrs=attrs)
