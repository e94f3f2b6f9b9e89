"""The second stage of a sweep: the best configurations as whole runs on fresh seeds, each of which scores the test once."""

from __future__ import annotations

from dataclasses import asdict

import optuna
from optuna.trial import FrozenTrial

from rankwise.errors import RunError
from rankwise.recipe import Recipe
from rankwise.sweep.engines.local import Done, Event
from rankwise.sweep.results import Final, FinalEnded, FinalistsChosen, Rejected, Task, configured
from rankwise.sweep.stage import Running, Stage, Sweep, waits
from rankwise.sweep.storage import MOST_DEATHS, Board
from rankwise.sweep.study import Study


class Finals(Stage):
    """Whole runs of a search's best configurations."""

    def __init__(self, sweep: Sweep, board: Board, study: Study) -> None:
        super().__init__(sweep, board)
        search, first = sweep.space.search, sweep.base.train.seed + sweep.space.search.seeds
        best = study.front() if len(study.objectives) > 1 else study.finished
        self.wanted = {  # (trial, seed) of each run, and its recipe
            (trial.number, seed): configured(sweep.base, trial.params)
            for trial in best[: search.finalists]
            for seed in range(first, first + search.finalist_seeds)
        }
        self.searched = {trial.number: trial.params for trial in study.finished}

    def run(self) -> None:
        trials = list(dict.fromkeys(number for number, _ in self.wanted))
        self.sweep.events.emit(FinalistsChosen(len(self.wanted), tuple(trials)))
        self._enqueue()
        super().run()

    def has_time(self) -> bool:
        return self.sweep.timing.allows_final()

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
            number, seed = trial.user_attrs["params"]["trial"], trial.user_attrs["params"]["seed"]
            folder = str(self.sweep.folder / "finals" / f"trial-{number}-seed-{seed}")
            params = {"trial": number, "seed": seed, "folder": folder}  # this driver's; another one has its own
            if self.board.claim(trial, trial.user_attrs["fingerprint"], params, waiting=self.waiting):
                self.hand_over(trial, Task(recipe, (seed,), folder))
                return True
        return False

    def ended(self, running: Running, event: Event) -> None:
        assert isinstance(event, Done), f"a whole run is not stopped, but here is {event}"
        (result,) = event.result
        params = running.trial.user_attrs["params"]
        self.check_data(self.searched[params["trial"]], result.data_sha256)
        score = result.scores.get(self.sweep.space.objectives[0], 0.0)
        final = Final(**params, validation=result.scores, test=result.test, seconds=result.seconds)
        self.board.finish(running.trial, {"state": "finished", "objectives": [score], "final": asdict(final)})
        self.sweep.events.emit(FinalEnded(final))

    def rejected(self, trial: optuna.Trial, rejected: Rejected) -> None:
        """It diverges with this seed, which is worth knowing."""
        self.board.finish(trial, {"state": rejected.state, "reason": rejected.reason})
        self.sweep.events.emit(FinalEnded(Final(**trial.user_attrs["params"], reason=rejected.reason)))

    def died(self, trial: optuna.Trial, deaths: int) -> None:
        """It waits again, and goes on from its last checkpoint."""
        self.let_wait(trial, deaths)
        if deaths >= MOST_DEATHS:
            raise RunError(
                f"{trial.user_attrs['params']['folder']}: its process died {MOST_DEATHS} times, as it does where memory runs "
                "out; try fewer trials at a time: --jobs 1"
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
